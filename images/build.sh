#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the appliance's image from the commit that is checked out (images/README.md):
#
#   build.sh [--out DIR] [--keys DIR] [--version V] [--kernel debian|nic-tls] [--fresh yes]
#
# In DIR (build/image): postern-VERSION-x86_64.raw.zst, .update, .spdx.json, .packages. The keys are in
# build/image/keys unless others are named; they are made where there are none. --fresh yes takes
# nothing from earlier builds but the tools and the packages (reproduce.sh).
# shellcheck disable=SC2154,SC2034 # the parts of the build share their variables
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
# shellcheck source=images/lib.sh
. "$here/lib.sh"
# shellcheck source=images/debs.sh
. "$here/debs.sh"
# shellcheck source=images/root.sh
. "$here/root.sh"
# shellcheck source=images/uki.sh
. "$here/uki.sh"
# shellcheck source=images/disk.sh
. "$here/disk.sh"
# shellcheck source=images/kernel/nic_tls.sh
. "$here/kernel/nic_tls.sh"

usage() { sed -n 's/^# \{0,1\}//; 3,9p' "$here/build.sh" >&2; exit 64; }

arguments() {
    out=$source_tree/build/image keys='' version='' kernel=debian fresh=no
    while [ $# -gt 0 ]; do
        [ $# -ge 2 ] || usage
        case $1 in
        --out) out=$(readlink -m "$2") ;;
        --keys) keys=$(readlink -m "$2") ;;
        --version) version=$2 ;;
        --kernel) kernel=$2 ;;
        --fresh) fresh=$2 ;;
        *) usage ;;
        esac
        shift 2
    done
    [[ $kernel =~ ^(debian|nic-tls)$ ]] || die "the kernel $kernel: debian or nic-tls"
    [ -n "$keys" ] || keys=$out/keys
    [ -n "$version" ] || version=$(sed -n "s/^ *version: '\(.*\)',/\1/p" "$source_tree/meson.build")
    # The name of a partition has 36 characters, and postern_..._verity is one.
    [[ $version =~ ^[0-9][0-9A-Za-z.~^-]{0,20}$ ]] ||
        die "the version $version: a digit first, then at most 20 letters, digits and . ~ ^ -"
}

# source_copy: $work/source is the commit; what is not committed comes along, and is said. Modes are the
# umask's: in git's archives the group may write, unless the builder's git is told otherwise.
source_copy() {
    mkdir -p "$work/source"
    if [ -z "$(git -C "$source_tree" status --porcelain)" ]; then
        git -C "$source_tree" archive HEAD | tar -x --no-same-permissions -C "$work/source"
        build_id=$(git -C "$source_tree" rev-parse HEAD)
    else
        say "WARNING: there are changes without a commit: the image has them, and nobody can make it again"
        (cd "$source_tree" && git ls-files -z --cached --others --exclude-standard |
            while IFS= read -r -d '' file; do if [ -e "$file" ]; then printf '%s\0' "$file"; fi; done |
            tar -c --null -T -) | tar -x --no-same-permissions -C "$work/source"
        build_id=$(git -C "$source_tree" rev-parse HEAD)-changed
    fi
    SOURCE_DATE_EPOCH=$(git -C "$source_tree" log -1 --format=%ct)
    export SOURCE_DATE_EPOCH
    images=$work/source/images
}

results() { # from $work to $out, as $name
    name=$out/postern-$version-x86_64
    if [ "$kernel" != debian ]; then name=$name-$kernel; fi
    say "compressing"
    in_tools zstd -q -f -10 -T0 "$work/disk.raw" -o "$work/disk.raw.zst"
    cp "$work/packages" "$name.packages"
    in_tools env "SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH" "$images/bundle.sh" "$version" "$work/root.erofs" \
        "$work/root.verity" "$work/uki.efi" "$keys/update.key" "$work/bundle"
    mv "$work/bundle" "$name.update"
    in_tools python3 "$images/sbom.py" "$(basename "$name")" "$version" "$build_id" "$(uuid sbom)" "$work/packages" "$debs/Packages" \
        "$work/disk.raw.zst" "$work/tree/usr/share/doc" >"$name.spdx.json"
    mv "$work/disk.raw.zst" "$name.raw.zst"
}

main() {
    [ "$(id -u)" = 0 ] || die "only root can make the trees that the image is made of"
    arguments "$@"
    descriptors_close
    local began=$SECONDS
    umask 022
    work=$out/parts
    rm -rf "$work"
    mkdir -p "$work" "$keys" "$cache"
    say "making version $version in $out"
    source_copy
    exec 8>"$cache/.image.lock" # two builds at a time make trees and packages one after the other
    flock 8
    tools=$(tools_tree tool)
    debs_need
    exec 8>&-
    in_tools "$images/keys.sh" "$keys" >&2
    say "the packages of the root"
    root_make
    root_pack
    boot_make
    disk_make
    results
    say "done in $((SECONDS - began)) seconds: $(du -h --apparent-size "$name.raw.zst" | cut -f1) compressed"
}

main "$@"; exit
