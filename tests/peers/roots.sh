#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the small Debian roots that the peers live in, and the folder of real messages.
#
# Debian's mail servers exclude each other as packages, and no server may start on this machine, so
# that each gets a root of its own (minbase), made once by mmdebstrap and kept under the name and
# hash of its recipe (tests/lib/cache.sh). OpenSMTPD comes from Debian 13 always: the one in Debian 12 (6.8) fails every
# TLS handshake as a server. postfix-new is the first Postfix that has REQUIRETLS, 3.11.
#
#   roots.sh NAME...     makes what is missing; prints the folder of each, one a line
#   names: postfix postfix-new exim opensmtpd nginx haproxy dns corpus
# shellcheck disable=SC2016 # $(...) in apt's formats and $1 in mmdebstrap's hooks are not the shell's
set -euo pipefail

cache=${POSTERN_ROOTS:-/var/cache/postern-roots}
# shellcheck source=tests/lib/archive.sh
. "$(dirname "$(readlink -f "$0")")/../lib/archive.sh"
# shellcheck source=tests/lib/cache.sh
. "$(dirname "$(readlink -f "$0")")/../lib/cache.sh"
own_suite=$(archive_suite)

# recipe NAME: suite, then packages. A change of a line makes a new root.
recipe() {
    case $1 in
    postfix) echo "$own_suite postfix,ca-certificates" ;;
    postfix-new) echo "forky postfix,ca-certificates" ;;
    exim) echo "$own_suite exim4-daemon-light,ca-certificates" ;;
    opensmtpd) echo "trixie opensmtpd,ca-certificates" ;;
    nginx) echo "$own_suite nginx,libnginx-mod-stream" ;;
    haproxy) echo "$own_suite haproxy" ;;
    dns) echo "$own_suite nsd,ldnsutils,unbound,gnutls-bin,ca-certificates" ;;
    # Packages that ship real mail as test data: bounces of a hundred servers, the email parser's
    # tests, DKIM's, a list manager's, a spam filter's samples.
    corpus) echo "$own_suite libpython3-testsuite python3-flufl.bounce python3-dkim mailman3 spamassassin" ;;
    *) echo "roots.sh: no recipe for $1" >&2; return 64 ;;
    esac
}

root_make() { # FOLDER SUITE PACKAGES
    local options=() proxy
    proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
    [ -z "$proxy" ] || options+=(--aptopt="Acquire::http::Proxy \"$proxy\"")
    # A mirror may be weeks behind with a suite that changes daily; signatures are checked all the same.
    [ "$2" != forky ] || options+=(--aptopt='Acquire::Check-Valid-Until "false"')
    # No service may start while it is configured, and documentation is not needed.
    mmdebstrap --quiet --mode=root --variant=minbase "${options[@]}" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --setup-hook='mkdir -p "$1/usr/sbin"; printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
        --include="$3" "$2" "$1" "$(archive_mirror)" </dev/null >&2
}

corpus_make() { # FOLDER PACKAGE...
    local folder=$1 package work
    shift
    work=$(mktemp -d)
    chmod 755 "$work"
    for package in "$@"; do
        if [ "$package" = libpython3-testsuite ]; then # that of the release's own Python
            package=lib$(apt-cache depends python3 | awk '/Depends: python3\.[0-9]+$/ { print $2 }')-testsuite
        fi
        (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" </dev/null >&2)
    done
    for package in "$work"/*.deb; do
        dpkg-deb --fsys-tarfile "$package" | tar -x -C "$work" --wildcards \
            './usr/lib/python3*/test/test_email/data/*' './usr/lib/python3*/test/mime.types' \
            '*/tests/data/*' '*/testing/*.eml' '*/sample-*spam.txt' '*/sample-*spam.txt.gz' '*.eml' \
            2>/dev/null || true # a package without one of these patterns
        rm "$package"
    done
    mkdir -p "$folder"
    (cd "$work" && find . -type f \( -name '*.txt' -o -name '*.eml' -o -name '*.gz' -o -name '*.message' \) -print0 |
        while IFS= read -r -d '' file; do
            name=$(tr '/' '_' <<<"${file#./}")
            case $name in
            *.gz) gzip -dc "$file" >"$folder/${name%.gz}" ;;
            *) cp "$file" "$folder/$name" ;;
            esac
        done)
    rm -r "$work"
}

make_one() { # NAME
    local line suite packages folder
    line=$(recipe "$1")
    suite=${line%% *} packages=${line#* }
    folder=$cache/$1-$(printf '%s\n' "$line" | sha256sum | cut -c1-12)
    if [ ! -e "$folder/.complete" ]; then
        rm -rf "$folder"
        echo "roots.sh: making $1 ($suite), about 30 seconds" >&2
        if [ "$1" = corpus ]; then
            # shellcheck disable=SC2086 # a list of words
            corpus_make "$folder" $packages
        else
            root_make "$folder" "$suite" "$packages"
        fi
        touch "$folder/.complete"
    fi
    cache_use "$folder"
    echo "$folder"
}

descriptors_close
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
for name in "$@"; do
    make_one "$name"
done
