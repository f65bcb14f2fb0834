#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# bundle.sh VERSION ROOT VERITY UKI KEY OUT: makes the update bundle OUT (postern-VERSION-x86_64.update).
#
# A bundle is a ustar archive of plain files, in this order:
#   SHA256SUMS                   as sha256sum(1) writes it: one line for each file below, no other
#   SHA256SUMS.sig               64 bytes: the Ed25519 signature of SHA256SUMS by the update key
#   postern_VERSION_x86-64.root    the erofs of the root slot
#   postern_VERSION_x86-64.verity  its dm-verity hashes
#   postern_VERSION_x86-64.efi     the UKI, signed for Secure Boot, with the root hash in it
# Version and architecture are in the names, and these are in what is signed. KEY is the update key's
# private half as PEM; images have the public half as /usr/lib/postern/update-keys/NAME.pem (each
# *.pem there counts, so that a key can be replaced by two updates). Nothing in a bundle is compressed:
# the erofs is already. Who reads it: control/appliance/bundle.c.
#
# The same files, key and SOURCE_DATE_EPOCH give the same bundle.
set -euo pipefail

[ $# = 6 ] || { sed -n 's/^# \(bundle.sh VERSION.*\)/usage: \1/p' "$0" >&2; exit 64; }
version=$1 root=$2 verity=$3 uki=$4 key=$(readlink -f "$5") out=$(readlink -m "$6")
case $version in
[0-9]*) ;;
*) echo "bundle.sh: a version starts with a digit" >&2; exit 65 ;;
esac
case $version in
*[!0-9A-Za-z.~^-]*) echo "bundle.sh: a version has letters, digits and . ~ ^ - only" >&2; exit 65 ;;
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
name=postern_${version}_x86-64
# Links, which tar follows: the files are large.
ln -s "$(readlink -f "$root")" "$work/$name.root"
ln -s "$(readlink -f "$verity")" "$work/$name.verity"
ln -s "$(readlink -f "$uki")" "$work/$name.efi"
cd "$work"
sha256sum "$name.root" "$name.verity" "$name.efi" >SHA256SUMS
openssl pkeyutl -sign -rawin -inkey "$key" -in SHA256SUMS -out SHA256SUMS.sig
tar --create --file "$out" --format=ustar --dereference --owner=0 --group=0 --numeric-owner --mode=0644 \
    --mtime="@${SOURCE_DATE_EPOCH:-0}" SHA256SUMS SHA256SUMS.sig "$name.root" "$name.verity" "$name.efi"
