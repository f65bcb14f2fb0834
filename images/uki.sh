# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the parts of the build share their variables
# What the firmware starts: the initrd, the UKI (kernel, initrd, command line with the root's hash, all
# under one signature), the boot manager.

command_line() {
    # Both consoles are told all; the last one is /dev/console. A panic starts again, and the boot
    # manager counts. Modules that Debian did not sign are refused, and so are ways into the kernel.
    echo "postern.slot=postern_$version roothash=$(cat "$work/roothash") console=tty0 console=ttyS0,115200" \
        "loglevel=5 panic=30 lockdown=integrity module.sig_enforce=1 systemd.machine_id=firmware" \
        "systemd.show_status=yes"
}

boot_unpack() { # $work/boot: files of packages that are not installed
    local package
    mkdir -p "$work/boot"
    for package in "$debs"/systemd-boot-efi_*.deb "$debs"/busybox-static_*.deb; do
        dpkg-deb -x "$package" "$work/boot"
    done
}

# initrd_program FILE: copies it from the root, and the libraries that it needs.
initrd_program() {
    local library
    install -D -m 0755 "$work/tree$1" "$work/initrd/bin/$(basename "$1")"
    while read -r library; do
        [ -e "$work/initrd$library" ] || install -D -m 0755 "$(readlink -f "$work/tree/usr$library" || true)" "$work/initrd$library"
    done < <(in_tools chroot "$work/tree" /usr/bin/ldd "$1" | grep -o '/lib[^ ]*')
}

cpio_make() { # FOLDER: prints it as an archive, the same each time
    find "$1" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    # shellcheck disable=SC2016 # $1 is the inner shell's
    in_tools sh -c 'cd "$1" && find . -mindepth 1 -print0 | sort -z |
        cpio --quiet --null --create --format=newc --reproducible --owner=0:0' _ "$1"
}

initrd_make() { # $work/initrd.cpio.zst
    local applet initrd=$work/initrd
    mkdir -p "$initrd"/{bin,dev,proc,sys,run,tmp,sysroot}
    ln -s bin "$initrd/sbin"
    install -m 0755 "$images/initrd/init" "$initrd/init"
    install -m 0755 "$work/boot/usr/bin/busybox" "$initrd/bin/busybox"
    for applet in sh cat cp cut echo find grep head mkdir modprobe mount readlink rm sed sleep sort switch_root \
        tail tr umount xargs; do
        ln -s busybox "$initrd/bin/$applet"
    done
    initrd_program /usr/sbin/veritysetup
    initrd_program /usr/sbin/findfs
    modules_copy "$work/modules.initrd" "$initrd"
    mkdir -p "$initrd/lib"
    ln -s ../usr/lib/modules "$initrd/lib/modules"
    cpio_make "$initrd" | in_tools zstd -q -15 --single-thread >"$work/initrd.cpio.zst"
}

# microcode_make: $work/microcode.cpio, which the kernel wants uncompressed and before the initrd.
microcode_make() {
    local from=$work/firmware/usr/lib/firmware to=$work/microcode/kernel/x86/microcode
    [ -d "$from/intel-ucode" ] || from=$work/firmware/lib/firmware
    mkdir -p "$to"
    cat "$from"/intel-ucode/* >"$to/GenuineIntel.bin"
    cat "$from"/amd-ucode/*.bin >"$to/AuthenticAMD.bin"
    cpio_make "$work/microcode" >"$work/microcode.cpio"
}

# efi_sign FROM TO: signs it for Secure Boot. The signature has the time of signing in it, and Debian 13's
# systemd-sbsign does not take that from SOURCE_DATE_EPOCH: its clock stands still at the commit's time.
efi_sign() {
    in_tools faketime -f "$(date -u -d "@$SOURCE_DATE_EPOCH" '+%F %T')" /usr/lib/systemd/systemd-sbsign sign \
        --private-key="$keys/db.key" --certificate="$keys/db.pem" --output="$2" "$1" >&2
}

uki_make() { # $work/uki.efi
    local stub=$work/boot/usr/lib/systemd/boot/efi/linuxx64.efi.stub
    command_line >"$work/cmdline"
    set -- --linux="$work/vmlinuz" --initrd="$work/initrd.cpio.zst" --microcode="$work/microcode.cpio" --cmdline="@$work/cmdline" \
        --os-release="@$work/tree/usr/lib/os-release" --uname="$(cat "$work/release")" --stub="$stub" \
        --pcrpkey="$keys/pcr.pem"
    in_tools ukify build "$@" --output="$work/uki.measured.efi" >&2
    # /var is opened before sysinit.target is reached, and this initrd measures no phase: what is
    # signed is PCR 11 with the UKI alone. ukify knows only phases that are measured.
    in_tools python3 "$work/source/images/pcrsig.py" "$work/uki.measured.efi" "$keys/pcr.key" "$keys/pcr.pem" >"$work/pcrsig.json"
    in_tools ukify build "$@" --section=".pcrsig:@$work/pcrsig.json" --output="$work/uki.unsigned.efi" >&2
    efi_sign "$work/uki.unsigned.efi" "$work/uki.efi"
}

esp_make() { # $work/esp: what the EFI partition has
    local esp=$work/esp name
    mkdir -p "$esp"/EFI/{BOOT,Linux,systemd} "$esp/loader/keys/postern"
    efi_sign "$work/boot/usr/lib/systemd/boot/efi/systemd-bootx64.efi" "$esp/EFI/systemd/systemd-bootx64.efi"
    cp "$esp/EFI/systemd/systemd-bootx64.efi" "$esp/EFI/BOOT/BOOTX64.EFI"
    cp "$work/uki.efi" "$esp/EFI/Linux/postern_$version+3.efi"
    for name in PK KEK db; do cp "$keys/$name.auth" "$esp/loader/keys/postern/"; done
    cp "$images/loader.conf" "$esp/loader/"
    find "$esp" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
}

boot_make() {
    say "the initrd"
    initrd_make
    microcode_make
    say "the UKI"
    uki_make
    esp_make
}
