#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the keys that an appliance trusts, once for an organisation:
#
#   keys.sh DIR     makes them in DIR; a folder that has them all is kept as it is
#
#   PK KEK db       Secure Boot: .key, .pem, and .auth, which enrols it into a firmware in setup mode.
#                   db signs systemd-boot and the UKI of each version; KEK can change db, PK can
#                   change KEK.
#   pcr             .key signs what PCR 11 will be when a UKI of ours has been booted; .pem is what
#                   each /var is bound to. A new version opens /var because the same key signed it.
#   update          .key signs the list of an update's files (Ed25519); .pem is what each appliance
#                   checks it with.
#   guid            the owner of the Secure Boot keys in a firmware's list
#
# Needs openssl and efitools.
set -euo pipefail

days=10950 # firmware does not look at it; thirty years, for what does

say() { printf 'keys.sh: %s\n' "$*"; }
die() {
    printf 'keys.sh: %s\n' "$*" >&2
    exit 1
}

files=(guid pcr.key pcr.pem update.key update.pem)
for name in PK KEK db; do files+=("$name.key" "$name.pem" "$name.auth"); done

# present FOLDER: how many of the files are there.
present() {
    local file count=0
    for file in "${files[@]}"; do
        if [ -e "$1/$file" ]; then count=$((count + 1)); fi
    done
    echo "$count"
}

secure_boot_make() { # in the current folder
    local name signer
    cat /proc/sys/kernel/random/uuid >guid
    for name in PK KEK db; do
        openssl req -new -x509 -newkey rsa:2048 -nodes -sha256 -days "$days" -subj "/CN=postern $name/" \
            -keyout "$name.key" -out "$name.pem" 2>/dev/null
        cert-to-efi-sig-list -g "$(cat guid)" "$name.pem" "$name.esl" >/dev/null
    done
    for name in PK KEK db; do
        signer=PK
        if [ "$name" = db ]; then signer=KEK; fi
        sign-efi-sig-list -g "$(cat guid)" -k "$signer.key" -c "$signer.pem" "$name" "$name.esl" "$name.auth" >/dev/null
        rm "$name.esl"
    done
}

pcr_make() {
    openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out pcr.key 2>/dev/null
    openssl pkey -in pcr.key -pubout -out pcr.pem
}

update_make() {
    openssl genpkey -algorithm ed25519 -out update.key
    openssl pkey -in update.key -pubout -out update.pem
}

[ $# = 1 ] || { sed -n 's/^# \{0,1\}//; 3,16p' "$0" >&2; exit 64; }
folder=$1
for program in openssl cert-to-efi-sig-list sign-efi-sig-list; do
    command -v "$program" >/dev/null || die "there is no $program: apt-get install openssl efitools"
done
umask 077
mkdir -p "$folder"
count=$(present "$folder")
if [ "$count" = "${#files[@]}" ]; then
    say "$folder has all keys: kept as they are"
    exit 0
fi
[ "$count" = 0 ] ||
    die "$folder has $count of ${#files[@]} files: put the others back, or name another folder; none is made anew beside old ones"

# Made whole beside it, then moved: an interruption leaves no half of a set.
work=$(mktemp -d "$folder/.making.XXXXXX")
trap 'rm -rf "$work"' EXIT
(
    cd "$work"
    secure_boot_make
    pcr_make
    update_make
    chmod 0600 ./*.key
    chmod 0644 guid ./*.pem ./*.auth
)
[ "$(present "$work")" = "${#files[@]}" ] || die "not all keys could be made"
mv -n "$work"/* "$folder/"
say "made in $folder: Secure Boot (PK, KEK, db), PCR 11, update"
cat <<END
Keep the .key files off the network, in two places, and never on an appliance. What depends on each:
  db.key      Without it no new version boots where these keys are enrolled. Who has it can boot
              anything there: then sign a new db with KEK.key, and the old one into dbx.
  pcr.key     Without it a new version can't open /var by the TPM (the recovery key still does).
              Who has it and db.key can open the /var of a machine that he holds.
  update.key  Without it no appliance takes an update. Who has it can have versions installed; where
              Secure Boot is on, they boot only if db.key has signed them too.
  PK.key, KEK.key  Only to change the others: keep them apart from these.
All other files are public; the image has them.
END
