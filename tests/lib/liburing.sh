#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Where the system's liburing is older than 2.9, builds that of Debian 13 from the source of its
# package, as a static library in a cache, and prints the folder to give pkg-config. Prints nothing,
# and ends well, where the system's is new enough or where none can be had: the system's will do.
set -euo pipefail

version=2.9
sum=57e9b36e4ac1e46b8e0351dfb1694dc59638fc25e384b4ba36d87b800b16db1a
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=tests/lib/archive.sh
. "$here/archive.sh"
folder=${POSTERN_LIBURING:-/var/cache/postern-liburing}/$version-$(sha256sum "$0" | cut -c1-12)

fetch() { # FILE: apt's own helper knows its proxy, and checks the sum
    /usr/lib/apt/apt-helper -q -o APT::Sandbox::User=root download-file \
        "$(archive_mirror)pool/main/libu/liburing/liburing_$version.orig.tar.gz" "$1" "SHA256:$sum"
}

make_it() { # WORK
    fetch "$1/source.tar.gz" || return 1
    echo "liburing.sh: building liburing $version, about 10 seconds" >&2
    tar -x -z -f "$1/source.tar.gz" -C "$1" || return 1
    cd "$1/liburing-$version" || return 1
    ./configure --prefix="$folder" --libdir="$folder/lib" || return 1
    make -C src -j "$(nproc)" ENABLE_SHARED=0 || return 1
    make -C src ENABLE_SHARED=0 install || return 1
    make liburing.pc || return 1
    install -D -m 644 liburing.pc "$folder/lib/pkgconfig/liburing.pc" || return 1
    touch "$folder/.complete"
}

if pkg-config --atleast-version="$version" liburing; then exit 0; fi
if [ ! -e "$folder/.complete" ]; then
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if ! mkdir -p "$folder" 2>/dev/null || ! exec 9>"$folder/.lock" || ! flock 9 ||
        { [ ! -e "$folder/.complete" ] && ! (make_it "$work") >"$work/log" 2>&1 </dev/null; }; then
        if [ -e "$work/log" ]; then tail -n 5 "$work/log" >&2; fi
        echo "liburing.sh: no liburing $version can be had here, the system's will do" >&2
        exit 0
    fi
fi
echo "$folder/lib/pkgconfig"
