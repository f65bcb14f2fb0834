# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What is kept between builds and tests, each in a folder KIND-HASH, the hash of its recipe: another
# recipe makes another folder beside it. The time of such a folder is that of its last use.

cache_days=30

# cache_use FOLDER: it is used now; others of its kind that nobody has used for cache_days go. Who calls
# it holds the lock that all hold who look for a folder of this kind, or make one.
cache_use() {
    local kind old
    kind=$(basename "${1%-*}")
    touch -c "$1"
    # A pipe: the machines that tests start have no /dev/fd, which <( ) wants.
    find "$(dirname "$1")" -mindepth 1 -maxdepth 1 -type d -mtime "+$cache_days" \
        -regextype posix-extended -regex ".*/$kind-[0-9a-f]{12}(\.[a-z]+)?" -print0 |
        while IFS= read -r -d '' old; do
            old=${old%.gone}
            # Another name first: an interruption leaves none that looks whole.
            rm -rf --one-file-system "$old.gone"
            if [ -e "$old" ]; then mv -T "$old" "$old.gone"; fi
            rm -rf --one-file-system "$old.gone"
        done
}
