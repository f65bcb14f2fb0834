#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Starts the appliance in QEMU, for a look at it without a machine:
#
#   qemu.sh DISK [FOLDER]
#
# DISK is a file; where there is none it is made of the newest image in build/image, with 4 GB. Beside it are
# the firmware's variables and the TPM's memory, so that DISK stays one machine however often it is started.
# FOLDER has what a stick would have (appliance.conf, postern.conf, tls/): it is put in as one, labelled
# POSTERN. The serial console is this terminal; Ctrl-A X pulls the plug. Port 25 of the appliance is this
# machine's 2525, SSH is 2222; this machine is 10.0.2.2 there.
#
# Emulated by software it is ready after a minute or two; ACCEL=kvm uses the host's virtualisation.
#
# Wants Debian's qemu-system-x86, ovmf and zstd; mtools and dosfstools for a stick; with swtpm it has a TPM.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")

die() { printf 'qemu.sh: %s\n' "$*" >&2; exit 1; }
need() { # PROGRAM PACKAGE
    PATH=$PATH:/usr/sbin command -v "$1" >/dev/null || die "there is no $1: apt-get install $2"
}

disk_make() { # DISK
    local images=("$here"/../build/image/postern-*.raw.zst)
    [ -e "${images[0]}" ] || die "there is no image in build/image: ./dev image makes one"
    # shellcheck disable=SC2012 # the names are ours
    zstd -q -d --sparse "$(ls -t "${images[@]}" | head -n 1)" -o "$1"
    truncate -s 4G "$1"
    cp /usr/share/OVMF/OVMF_VARS_4M.fd "$1.variables"
}

stick_make() { # FOLDER FILE
    need mcopy mtools
    need mkfs.vfat dosfstools
    rm -f "$2"
    truncate -s 64M "$2"
    PATH=$PATH:/usr/sbin mkfs.vfat -n POSTERN "$2" >/dev/null
    mcopy -s -i "$2" "$1"/* ::/
}

tpm_start() { # FOLDER
    mkdir -p "$1"
    swtpm socket --tpm2 --tpmstate "dir=$1" --ctrl "type=unixio,path=$1/socket" --terminate --daemon
}

[ $# = 1 ] || [ $# = 2 ] || { sed -n 's/^# \{0,1\}//; 3,15p' "$0" >&2; exit 64; }
need qemu-system-x86_64 qemu-system-x86
need zstd zstd
[ -e /usr/share/OVMF/OVMF_CODE_4M.fd ] || die "there is no OVMF: apt-get install ovmf"
disk=$(readlink -m "$1")
[ -e "$disk" ] || disk_make "$disk"

options=(-accel "${ACCEL:-tcg}" -cpu "max,-la57" -machine q35 -smp 2 -m 1024 -nodefaults -display none -serial mon:stdio
    -drive "if=pflash,format=raw,unit=0,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
    -drive "if=pflash,format=raw,unit=1,file=$disk.variables"
    -drive "if=none,id=disk,format=raw,discard=unmap,file=$disk" -device "virtio-blk-pci,drive=disk,bootindex=0"
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:2525-:25,hostfwd=tcp:127.0.0.1:2222-:22"
    -device "virtio-net-pci,netdev=net" -device virtio-rng-pci -device qemu-xhci)
if [ $# = 2 ]; then
    stick_make "$2" "$disk.stick"
    options+=(-drive "if=none,id=stick,format=raw,file=$disk.stick" -device "usb-storage,drive=stick,removable=on")
fi
if command -v swtpm >/dev/null; then
    tpm_start "$disk.tpm"
    options+=(-chardev "socket,id=tpm,path=$disk.tpm/socket" -tpmdev "emulator,id=tpm0,chardev=tpm"
        -device "tpm-crb,tpmdev=tpm0")
fi
exec qemu-system-x86_64 "${options[@]}"
