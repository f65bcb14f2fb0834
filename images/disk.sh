# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the parts of the build share their variables
# The disk: partitions and what is in them, by systemd-repart, without loop devices.

# half FROM HASH: a UUID of 32 digits of the root's hash, as the specification of discoverable
# partitions wants it: its first half for the root, its last for the hashes.
half() { cut -c"$1-$(($1 + 31))" "$2" | sed -E 's/(.{8})(.{4})(.{4})(.{4})(.{12})/\1-\2-\3-\4-\5/'; }

disk_make() { # $work/disk.raw
    local file
    say "the disk"
    mkdir -p "$work/repart"
    for file in "$images"/tree/usr/lib/postern/repart/disk/*.conf; do
        sed -e "s|@VERSION@|$version|; s|@ESP@|$work/esp|; s|@ROOT@|$work/root.erofs|; s|@VERITY@|$work/root.verity|" \
            -e "s|@ROOT_UUID@|$(half 1 "$work/roothash")|; s|@VERITY_UUID@|$(half 33 "$work/roothash")|" \
            "$file" >"$work/repart/$(basename "$file")"
    done
    rm -f "$work/disk.raw"
    # Sectors of 512 bytes also where the host's disks have others: firmware reads no other FAT.
    in_tools systemd-repart --empty=create --size=auto --sector-size=512 --offline=yes --dry-run=no \
        --seed="$(uuid disk)" --definitions="$work/repart" --root=/ "$work/disk.raw" >"$work/repart.log" 2>&1 ||
        { cat "$work/repart.log" >&2; die "systemd-repart failed"; }
}
