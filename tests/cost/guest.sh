#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The first process of the cost gate's machine, which has no file but those that run.py packed, and
# whose clock ticks once an instruction. Costs are differences of two loads, so that what a session
# or the gateway itself costs once falls out.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
for module in /modules/*.ko; do insmod "$module"; done
postern-cost up

fail() { # to where it is seen also from inside of $(...)
    echo "cost: failed: $*" >&2
    cat /tmp/*.log >&2
    postern-cost off
}

# load PORT OPTION...: what the gateway spent on it, from the first connection to a second after
# the last: what it puts off is part of the cost.
load() {
    port=$1
    shift
    before=$(postern-cost tree "$gateway") || fail tree
    postern-bench load --target "127.0.0.1:$port" --starttls --rcpt sink@hop.example "$@" >/tmp/load.log 2>&1 ||
        fail load "$@"
    sleep 1
    echo $(($(postern-cost tree "$gateway") - before))
}

# per COUNT SMALL-LOAD BIG-LOAD: the difference, by the count that is between them.
per() { echo $((($3 - $2) * 1000 / $1)); }

sockets() { # NAME: how many were given kernel records so far
    echo "cost: $1-sockets $(awk '/TlsTxSw|TlsRxSw/ { n += $2 } END { print n + 0 }' /proc/net/tls_stat)"
}

gateway_costs() { # LAYER PORT
    posternd -c "/etc/postern/$1.conf" >"/tmp/$1.log" 2>&1 &
    gateway=$!
    sleep 2
    load "$2" --messages 8 --sessions 4 --per-session 2 >/dev/null # all is warm
    # One session: how the wake-ups of several fall together moves by more than the gate's bar
    # whenever anything else does.
    a=$(load "$2" --messages 20 --sessions 1 --per-session 20 --size 4096)
    b=$(load "$2" --messages 320 --sessions 1 --per-session 320 --size 4096)
    echo "cost: $1-message $(per 300 "$a" "$b")"
    a=$(load "$2" --messages 10 --sessions 1 --per-session 1 --size 4096)
    b=$(load "$2" --messages 40 --sessions 1 --per-session 1 --size 4096)
    echo "cost: $1-session $(per 30 "$a" "$b")"
    a=$(load "$2" --messages 1 --size 2097152)
    b=$(load "$2" --messages 1 --size 12582912)
    echo "cost: $1-data-byte $(per 10485760 "$a" "$b")"
    a=$(load "$2" --messages 1 --bdat --size 2097152)
    b=$(load "$2" --messages 1 --bdat --size 12582912)
    echo "cost: $1-bdat-byte $(per 10485760 "$a" "$b")"
    sockets "$1"
    kill "$gateway"
    wait "$gateway" || fail "$1 gateway"
}

for kind in splice kernel ssl; do
    a=$(postern-cost relay $kind 2097152) || fail relay
    b=$(postern-cost relay $kind 12582912) || fail relay
    echo "cost: bare-$kind-byte $(per 10485760 "$a" "$b")"
done
sockets bare
postern-bench sink --listen 127.0.0.1:2525 --starttls --seconds 3600 >/tmp/sink.log 2>&1 &
sleep 1
port=2600
for layer in $POSTERN_LAYERS; do
    gateway_costs "$layer" $port
    port=$((port + 1))
done
echo "cost: end"
postern-cost off
