#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Debian's kernels for virtual machines ("cloud"), fetched as packages with apt's own checks and
# unpacked into a cache. Nothing is installed, and this machine's own sources stay as they are: apt
# gets a folder of its own with the suites that are asked.
#
#   kernels.sh NAME...   fetches what is missing; prints the folder of each, one a line. In it:
#                        vmlinuz, and lib/modules/RELEASE
#   names: 6.1 (Debian 12)  6.12 (Debian 13)  newest (what backports or unstable have)
#
# A kernel stays in the cache for 30 days, then it is looked up again.
set -euo pipefail

# shellcheck source=tests/lib/archive.sh
. "$(dirname "$(readlink -f "$0")")/../lib/archive.sh"
cache=${POSTERN_ROOTS:-/var/cache/postern-roots}
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

suites_of() {
    case $1 in
    6.1) echo bookworm ;;
    6.12) echo trixie ;;
    newest) echo trixie-backports sid ;;
    *) echo "kernels.sh: no kernel is called $1" >&2; return 64 ;;
    esac
}

# apt in its own folder, $apt, which knows the suites of one kernel and no installed package.
apt_here() { # PROGRAM ARGUMENT...
    local program=$1
    shift
    "$program" -q -o Dir::Etc::SourceList="$apt/sources" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State="$apt" -o Dir::State::Lists="$apt/lists" -o Dir::State::status=/dev/null \
        -o Dir::Cache="$apt/cache" -o Acquire::Languages=none -o APT::Architecture=amd64 \
        -o APT::Architectures=amd64 -o APT::Sandbox::User=root "$@" </dev/null
}

# depends PACKAGE VERSION: the packages of the same build that it needs: the kernel and its modules
# are one package in older releases, several in newer ones.
depends() {
    apt_here apt-cache show "$1=$2" | awk -v version="$2" -F': ' '
        $1 == "Depends" {
            count = split($2, parts, / *[,|] */)
            for (i = 1; i <= count; i++)
                if (parts[i] ~ /^linux-(image|binary|modules|base)-[0-9]/ && index(parts[i], "(= " version ")"))
                    { sub(/ .*/, "", parts[i]); print parts[i] }
        }'
}

fetch() { # NAME FOLDER
    local suite apt version image package
    apt=$2.apt
    mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
    for suite in $(suites_of "$1"); do
        echo "deb [signed-by=$keyring] $(archive_mirror) $suite main"
    done >"$apt/sources"
    apt_here apt-get -qq update >&2
    version=$(apt_here apt-cache madison linux-image-cloud-amd64 | awk '{ print $3 }' | sort -V | tail -n 1)
    image=$(depends linux-image-cloud-amd64 "$version" | grep '^linux-image-')
    for package in "$image" $(depends "$image" "$version"); do
        (cd "$apt/debs" && apt_here apt-get -qq download "$package=$version" >&2)
    done
    mkdir -p "$2"
    for package in "$apt"/debs/*.deb; do
        dpkg-deb -x "$package" "$2"
    done
    # Newer packages have /usr merged and the kernel beside its modules.
    [ -d "$2/lib/modules" ] || { mkdir -p "$2/lib" && mv "$2/usr/lib/modules" "$2/lib/"; }
    mv "$(find "$2" -name 'vmlinuz*' -type f | head -n 1)" "$2/vmlinuz"
    depmod -b "$2" "$(ls "$2/lib/modules")"
    rm -rf "$apt"
}

mkdir -p "$cache"
exec 9>"$cache/.kernels.lock"
flock 9
for name in "$@"; do
    suites_of "$name" >/dev/null
    folder=$cache/kernel-$name
    if [ -z "$(find "$folder/.complete" -mtime -30 2>/dev/null)" ]; then
        rm -rf "$folder" "$folder.apt"
        echo "kernels.sh: fetching Debian's kernel $name, about 20 seconds" >&2
        fetch "$name" "$folder"
        touch "$folder/.complete"
    fi
    echo "$folder"
done
