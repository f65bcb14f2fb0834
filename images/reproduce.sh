#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the image twice from the commit that is checked out and one package snapshot, in different
# folders, first with nothing of an earlier build, then with what is kept, and compares every byte of what
# comes out:
#
#   reproduce.sh [OPTION...]    options of build.sh, but --out
#
# It ends with "identical", or says which parts of the image differ, in how many bytes and in which files of
# the root, and with status 1.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
out=$(dirname "$here")/build/image-twice

differs() { # FILE FILE: the places
    local count
    count=$({ cmp -l "$1" "$2" || true; } | wc -l)
    echo "  $count bytes differ, the first: $({ cmp "$1" "$2" || true; } | sed 's/.* differ: //')"
}

explain() { # the parts that the files are made of
    local part first=$out/a/parts second=$out/b/parts
    for part in tree.list vmlinuz initrd.cpio.zst microcode.cpio roothash root.erofs root.verity \
        uki.measured.efi pcrsig.json uki.unsigned.efi uki.efi disk.raw; do
        if ! cmp -s "$first/$part" "$second/$part"; then
            echo "$part:"
            case $part in
            *.list) diff "$first/$part" "$second/$part" | head -n 40 || true ;;
            *) differs "$first/$part" "$second/$part" ;;
            esac
        fi
    done
}

list_tree() { # tree.list: each file of the root with mode, owner and hash
    {
        find tree -printf '%p %M %U:%G %l\n' | LC_ALL=C sort
        find tree -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
    } >tree.list
}

rm -rf "$out/source" "$out/a" "$out/b"
mkdir -p "$out"
# One commit, whatever becomes of the working tree meanwhile.
git clone -q --shared "$(dirname "$here")" "$out/source"
keys=(--keys "$out/keys")
for option in "$@"; do if [ "$option" = --keys ]; then keys=(); fi; done
for build in a b; do
    fresh=yes
    if [ "$build" = b ]; then fresh=no; fi
    "$out/source/images/build.sh" --out "$out/$build" "${keys[@]}" --fresh "$fresh" "$@"
    (cd "$out/$build/parts" && list_tree)
done
same=yes
for file in "$out"/a/postern-*; do
    if cmp -s "$file" "$out/b/$(basename "$file")"; then
        echo "the same: $(sha256sum "$file" | cut -c1-16) $(basename "$file")"
    else
        echo "different: $(basename "$file")"
        same=no
    fi
done
if [ "$same" = no ]; then
    explain
    exit 1
fi
echo "identical: two images of commit $(git -C "$out/source" rev-parse --short=12 HEAD)"
