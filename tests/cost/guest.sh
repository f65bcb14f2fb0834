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
# TCP's buffers are from the start what they may grow to: how fast they grow depends on what else
# runs when, and who is woken how often on them.
echo 0 >/proc/sys/net/ipv4/tcp_moderate_rcvbuf
for buffers in rmem wmem; do echo "4096 4194304 4194304" >/proc/sys/net/ipv4/tcp_$buffers; done

fail() { # to where it is seen also from inside of $(...)
    echo "cost: failed: $*" >&2
    cat /tmp/*.log >&2
    postern-cost off
}

to=sink@hop.example

opened() { awk '/^Tcp:/ { n = $6 } END { print n }' /proc/net/snmp; }

# load PORT CONNECTIONS OPTION...: what the gateway spent on it, from the first connection to a
# second after the last: what it puts off is part of the cost. CONNECTIONS: how many may be made,
# to it and by it. One more to the next hop is a handshake, worth half a megabyte.
load() {
    port=$1 connections=$2
    shift 2
    was=$(opened)
    before=$(postern-cost tree "$gateway") || fail tree
    postern-bench load --target "127.0.0.1:$port" --starttls --rcpt "$to" "$@" >/tmp/load.log 2>&1 ||
        fail load "$@"
    sleep 1
    [ $(($(opened) - was)) -eq "$connections" ] || fail "load $*: $(($(opened) - was)) connections"
    echo $(($(postern-cost tree "$gateway") - before))
}

# per COUNT SMALL-LOAD BIG-LOAD: the difference, by the count that is between them.
per() { echo $((($3 - $2) * 1000 / $1)); }

# Bodies. In whose time TCP and its acknowledgements are dealt with is left to chance, which evens
# out over many bytes: what bars are about gets more of them.
small=2097152
large=12582912
larger=18874368

sockets() { # NAME: how many were given kernel records so far
    echo "cost: $1-sockets $(awk '/TlsTxSw|TlsRxSw/ { n += $2 } END { print n + 0 }' /proc/net/tls_stat)"
}

gateway_costs() { # LAYER PORT
    posternd -c "/etc/postern/$1.conf" >"/tmp/$1.log" 2>&1 &
    gateway=$!
    sleep 2
    load "$2" 2 --messages 8 --sessions 1 --per-session 8 >/dev/null # all is warm
    # One session: how the wake-ups of several fall together moves by more than the gate's bar
    # whenever anything else does.
    a=$(load "$2" 1 --messages 20 --sessions 1 --per-session 20 --size 4096)
    b=$(load "$2" 1 --messages 320 --sessions 1 --per-session 320 --size 4096)
    echo "cost: $1-message $(per 300 "$a" "$b")"
    a=$(load "$2" 10 --messages 10 --sessions 1 --per-session 1 --size 4096)
    b=$(load "$2" 40 --messages 40 --sessions 1 --per-session 1 --size 4096)
    echo "cost: $1-session $(per 30 "$a" "$b")"
    a=$(load "$2" 1 --messages 1 --size $small)
    b=$(load "$2" 1 --messages 1 --size $large)
    echo "cost: $1-data-byte $(per $((large - small)) "$a" "$b")"
    size=$large
    [ "$1" = uring ] || size=$larger
    a=$(load "$2" 1 --messages 1 --bdat --size $small)
    b=$(load "$2" 1 --messages 1 --bdat --size "$size")
    echo "cost: $1-bdat-byte $(per $((size - small)) "$a" "$b")"
    sockets "$1"
    kill "$gateway"
    wait "$gateway" || fail "$1 gateway"
}

# What a decision costs that is in the worker's cache: mail to the same host, with the same key, by a route
# that says so and by one that asks DNS.
policy_costs() { # PORT
    cat /dns/zones/signed >/dns/zones/safe.example # nsd takes no file of 1970
    chroot /dns /usr/sbin/nsd -d -c /zones/nsd.conf >/tmp/nsd.log 2>&1 &
    postern-bench sink --listen 127.0.0.1:2526 --starttls --seconds 3600 \
        --cert /etc/postern/cert.pem --key /etc/postern/key.pem >/tmp/sink-policy.log 2>&1 &
    posternd -c /etc/postern/policy.conf >/tmp/policy.log 2>&1 &
    gateway=$!
    sleep 3
    for way in fixed:hop cached:safe; do
        to=sink@${way#*:}.example
        load "$1" 2 --messages 8 --sessions 1 --per-session 8 >/dev/null
        a=$(load "$1" 1 --messages 20 --sessions 1 --per-session 20 --size 4096)
        b=$(load "$1" 1 --messages 320 --sessions 1 --per-session 320 --size 4096)
        echo "cost: policy-${way%:*}-message $(per 300 "$a" "$b")"
    done
    kill "$gateway"
    wait "$gateway" || fail policy gateway
}

for kind in splice kernel ssl; do
    a=$(postern-cost relay $kind $small) || fail relay
    b=$(postern-cost relay $kind $larger) || fail relay
    echo "cost: bare-$kind-byte $(per $((larger - small)) "$a" "$b")"
done
sockets bare
postern-bench sink --listen 127.0.0.1:2525 --starttls --seconds 3600 >/tmp/sink.log 2>&1 &
sleep 1
port=2600
for layer in $POSTERN_LAYERS; do
    gateway_costs "$layer" $port
    port=$((port + 1))
done
policy_costs 2610
echo "cost: end"
postern-cost off
