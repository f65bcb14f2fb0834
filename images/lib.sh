# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the parts of the build share their variables
# What the parts of the image's build share: words, the cache, and running a program in the tool tree.
#
# The tool tree is a Debian 13 root of its own, so that an image made on Debian 12 is the same as one
# made on Debian 13. It is made once and kept under the hash of its recipe.

images=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
source_tree=$(dirname "$images")
cache=${POSTERN_ROOTS:-/var/cache/postern-roots}
suite=trixie
architecture=amd64
# shellcheck source=tests/lib/archive.sh
. "$source_tree/tests/lib/archive.sh"
# shellcheck source=tests/lib/cache.sh
. "$source_tree/tests/lib/cache.sh"

say() { printf '%s %s\n' "$(date +%H:%M:%S)" "$*" >&2; }
die() { printf 'image: %s\n' "$*" >&2; exit 1; }

# words PLACE: the packages of images/packages that go to that place.
words() { awk -v place="$1" '$1 == place { print $2 }' "$images/packages"; }

security_mirror() { # the security archive beside archive_mirror's
    archive_mirror | sed -E 's|/debian/?$|/debian-security|'
}

sources() { # apt's sources of the release, with its corrections
    local signed="signed-by=/usr/share/keyrings/debian-archive-keyring.gpg"
    echo "deb [$signed] $(archive_mirror) $suite main non-free-firmware"
    echo "deb [$signed] $(archive_mirror) $suite-updates main non-free-firmware"
    echo "deb [$signed] $(security_mirror) $suite-security main non-free-firmware"
}

proxy_option() { # apt's own proxy, for an apt that does not read this machine's settings
    local proxy
    proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
    [ -z "$proxy" ] || echo "Acquire::http::Proxy \"$proxy\";"
}

# uuid NAME: always the same for this name and version.
uuid() { printf 'postern %s %s' "$version" "$1" | sha256sum | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-8\3-8\4-\5/'; }

recipe_hash() { sha256sum | cut -c1-12; }

tools_make() { # FOLDER PLACE
    local options=() proxy
    proxy=$(proxy_option)
    [ -z "$proxy" ] || options+=(--aptopt="$proxy")
    # shellcheck disable=SC2016 # $1 is mmdebstrap's
    sources | mmdebstrap --quiet --mode=root --variant=minbase "${options[@]}" \
        --architectures="$architecture" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --setup-hook='mkdir -p "$1/usr/sbin"; printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
        --include="$(words "$2" | paste -sd,)" "$suite" "$1" - >&2
}

# tools_tree PLACE: prints the folder of a tree with those packages, made where it is missing.
tools_tree() {
    local folder
    folder=$cache/image-$1s-$( (echo "$suite"; words "$1"; declare -f tools_make) | recipe_hash)
    exec 7>"$cache/.image-$1s.lock" # two builds at a time make it one after the other
    flock 7
    if [ ! -e "$folder/.complete" ]; then
        say "making the tree of ${1}s, about 2 minutes, once"
        rm -rf --one-file-system "$folder"
        tools_make "$folder" "$1" || return 1
        touch "$folder/.complete"
    fi
    cache_use "$folder"
    exec 7>&-
    echo "$folder"
}

# in_tools COMMAND...: runs it in the tool tree, the folders $work, $keys and $cache at their own paths,
# with mounts that end with it; $work is at /mnt, too, for what keeps the path that it was made at. Time
# and language are the same everywhere.
in_tools() {
    unshare --mount --propagation private -- bash -c '
        set -e
        tools=$1
        mount --rbind "$tools" "$tools" # mmdebstrap wants a root that is a mount
        cd "$tools"
        mount -t tmpfs -o mode=1777 tmpfs tmp
        for folder in "$2" "$3" "$4"; do
            mkdir -p ".$folder"
            mount --bind "$folder" ".$folder"
        done
        mount --bind "$2" mnt
        shift 4
        mount -t proc proc proc
        mount --rbind /dev dev
        exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin HOME=/tmp LC_ALL=C.UTF-8 TZ=UTC \
            SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" "$@"' _ "$tools" "$work" "$keys" "$cache" "$@"
}
