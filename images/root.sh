# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the parts of the build share their variables
# The root file system: Debian's packages, postern, images/tree, the kernel's modules; then everything
# that only installing needed is taken out.

# root_packages: $work/tree from the snapshot alone. What maintainers' scripts make of the same packages
# is the same, so that it is kept beside the snapshot; its time is that of the newest package.
root_packages() {
    local base=$debs/../root recipe
    if [ "$fresh" = yes ]; then base=$work/base; fi
    recipe=$( (declare -f root_packages; cat "$images/users" "$images/users.sh") | recipe_hash)
    exec 8>"$base.lock" # two builds at a time make it one after the other
    flock 8
    if [ "$(cat "$base.complete" 2>/dev/null)" != "$recipe" ]; then
        say "installing the packages, about half a minute, once a snapshot"
        rm -rf "$base" "$base.complete"
        mkdir "$base"
        # No service may start while it is configured.
        # shellcheck disable=SC2016 # $1 is mmdebstrap's
        in_tools env SOURCE_DATE_EPOCH="$(cat "$debs/../date")" \
            mmdebstrap --quiet --mode=root --variant=essential --architectures="$architecture" \
            --dpkgopt=force-unsafe-io --aptopt='APT::Install-Recommends "false"' --aptopt='APT::Sandbox::User "root"' \
            --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
            --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/man/*' \
            --setup-hook='mkdir -p "$1/usr/sbin"; printf "#!/bin/sh\nexit 101\n" >"$1/usr/sbin/policy-rc.d"; chmod 755 "$1/usr/sbin/policy-rc.d"' \
            --essential-hook="'$images/users.sh' \"\$1\"" \
            --include="$(words root | paste -sd,)" "$suite" "$(readlink -f "$base")" "deb [trusted=yes] copy:$debs ./" >&2
        rm -f "$base/usr/sbin/policy-rc.d"
        echo "$recipe" >"$base.complete"
    fi
    cp -aT "$base" "$work/tree"
    exec 8>&-
}

# package_list: name, version, architecture, hash of the .deb, and where it is used; sorted.
package_list() {
    in_tools python3 - "$debs" "$work/tree/var/lib/dpkg/status" "$work/packages.boot" "$work/packages.out" <<'END'
import hashlib, re, sys
debs, status, boot, out = sys.argv[1:]
index = {}
for block in open(debs + "/Packages", encoding="utf-8").read().split("\n\n"):
    field = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", block, re.M))
    if field:
        index[field["Package"]] = field
def words(path): return set(open(path, encoding="utf-8").read().split())
installed = set(re.findall(r"^Package: (.*)$", open(status, encoding="utf-8").read(), re.M))
out = words(out)
for name in sorted(installed | words(boot)):
    field = index[name]
    place = "boot" if name not in installed else "out" if name in out else "root"
    print(name, field["Version"], field["Architecture"], field["SHA256"], place)
END
}

postern_build() { # $work/source into $work/tree
    local ccache=(CCACHE_DIR="$cache/image-ccache" CCACHE_BASEDIR=/mnt CCACHE_MAXSIZE=500M)
    if [ "$fresh" = yes ]; then ccache=(CCACHE_DISABLE=1); fi
    in_tools env "${ccache[@]}" sh -ec "
        cd /mnt
        meson setup --prefix=/usr --sysconfdir=/etc postern source >postern.log 2>&1 || { cat postern.log; exit 1; }
        ninja -C postern posternd posternctl postern-platform postern-bench >postern.log 2>&1 || { tail -n 40 postern.log; exit 1; }
        strip postern/posternd postern/posternctl postern/postern-platform postern/postern-bench" >&2
    install -m 0755 "$work/postern/posternd" "$work/tree/usr/sbin/"
    # The last is the other end of the message that posternctl system health sends.
    install -m 0755 "$work/postern/posternctl" "$work/postern/postern-platform" "$work/postern/postern-bench" \
        "$work/tree/usr/bin/"
    install -m 0644 "$work/postern/control/acts/postern.service" "$work/tree/usr/lib/systemd/system/"
    install -m 0644 "$work/source/control/acts/postern.sysusers" "$work/tree/usr/lib/sysusers.d/postern.conf"
}

kernel_unpack() { # $work/kernel: the kernel, and the modules that images/modules names
    local package
    mkdir -p "$work/kernel"
    for package in "$debs"/linux-image-[0-9]*.deb; do dpkg-deb -x "$package" "$work/kernel"; done
    kernel_index
    if [ "$kernel" = nic-tls ]; then
        exec 8>"$cache/.image-kernels.lock" # two builds at a time make it one after the other
        flock 8
        nic_tls_need
        cache_use "$nic_tls"
        rm -rf "$work/kernel"
        cp -a "$nic_tls" "$work/kernel"
        exec 8>&-
        kernel_index
    fi
    cp "$work"/kernel/boot/vmlinuz-* "$work/vmlinuz"
}

kernel_index() { # $work/release, and which of $work/kernel's modules are kept
    local release
    release=$(ls "$work/kernel/usr/lib/modules")
    printf '%s\n' "$release" >"$work/release"
    in_tools depmod -b "$work/kernel/usr" "$release"
    modules_select root initrd <"$work/kernel/usr/lib/modules/$release/modules.dep" >"$work/modules.root"
    modules_select initrd <"$work/kernel/usr/lib/modules/$release/modules.dep" >"$work/modules.initrd"
}

# modules_select WHERE...: the files of images/modules and what they depend on; modules.dep on stdin.
modules_select() {
    awk -v places=" $* " '
        FNR == NR {
            if (NF >= 2 && $1 !~ /^#/ && index(places, " " $1 " ")) wanted[$2] = 1
            next
        }
        { file = $1; sub(/:$/, "", file); needs[file] = $0; sub(/^[^:]*: */, "", needs[file]) }
        END {
            for (file in needs) {
                path = file; sub(/^kernel\//, "", path)
                name = path; sub(/^.*\//, "", name); sub(/\.ko.*$/, "", name)
                keep = name in wanted
                folder = path; sub(/\.ko.*$/, "", folder)
                while (!keep && folder != "") {
                    keep = folder in wanted
                    if (!sub(/\/[^\/]*$/, "", folder)) folder = ""
                }
                if (!keep) continue
                used[file] = 1
                count = split(needs[file], more, " ")
                for (i = 1; i <= count; i++) used[more[i]] = 1
            }
            for (file in used) print file
        }' "$images/modules" - | LC_ALL=C sort
}

modules_copy() { # LIST FOLDER: those modules, and an index of them
    local release from
    release=$(cat "$work/release")
    from=$work/kernel/usr/lib/modules/$release
    mkdir -p "$2/usr/lib/modules/$release"
    tar -C "$from" -cf - -T "$1" | tar -C "$2/usr/lib/modules/$release" -xf -
    # The root and the initrd are compressed as a whole, and emulated machines are slow at xz.
    find "$2/usr/lib/modules/$release" -name '*.ko.xz' -print0 |
        in_tools xargs -0 -r -P "$(nproc)" -n 64 xz -d
    cp "$from/modules.builtin" "$from/modules.builtin.modinfo" "$from/modules.order" "$2/usr/lib/modules/$release/"
    in_tools depmod -b "$2/usr" "$release"
}

# firmware_copy: the files that adapters want, of the modules that are kept.
firmware_copy() {
    local package name file target=$work/tree/usr/lib/firmware
    mkdir -p "$work/firmware" "$target"
    for package in "$debs"/firmware-*.deb "$debs"/*-microcode_*.deb; do dpkg-deb -x "$package" "$work/firmware"; done
    find "$work/tree/usr/lib/modules" -name '*.ko' -print0 |
        in_tools xargs -0 modinfo -F firmware | sort -u | while read -r name; do
        # Some name a pattern of versions.
        for file in "$work"/firmware/usr/lib/firmware/$name; do
            [ -e "$file" ] || continue
            mkdir -p "$target/$(dirname "$name")"
            cp -L "$file" "$target/$(dirname "$name")/"
        done
    done
}

copyrights_copy() { # of what is in the image without being installed
    local file
    for file in "$work"/{boot,firmware,kernel}/usr/share/doc/*/copyright; do
        [ -e "$file" ] || continue
        install -D -m 0644 "$file" "$work/tree/usr/share/doc/$(basename "$(dirname "$file")")/copyright"
    done
}

root_trim() { # what only installing needed
    local root=$work/tree package file
    for package in $(words out); do
        while read -r file; do
            if [ ! -d "$root$file" ] || [ -L "$root$file" ]; then rm -f "$root$file"; fi
        done < <(cat "$root/var/lib/dpkg/info/$package.list" "$root/var/lib/dpkg/info/$package:$architecture.list" 2>/dev/null)
    done
    (cd "$root" && rm -rf var boot media srv opt home)
    mkdir "$root/var"
    rm -rf "${root:?}"/dev/* # the kernel makes them
    rm -rf "$root"/etc/{apt,dpkg,cron*,init.d,rc?.d,logrotate.d,perl,alternatives/README,network,systemd/system,dbus-1}
    rm -rf "$root"/etc/{machine-id,hostname,resolv.conf,*-,.pwd.lock,ssh/ssh_host_*,motd,issue*,update-motd.d}
    rm -rf "$root"/usr/share/{man,info,lintian,bash-completion,zsh,fish,perl5,debconf,bug,menu,pixmaps,dbus-1,polkit-1,initramfs-tools,i18n,locale}
    rm -rf "$root"/usr/lib/{apt,dpkg,kernel,initramfs-tools} "$root"/usr/{libexec,share}/dpkg "$root"/usr/lib/x86_64-linux-gnu/{perl*,gconv}
    # Rules for what a gateway does not have, each of which costs at every device of every boot.
    for file in autosuspend drm evdev fido-id infiniband input-id persistent-alsa persistent-hidraw persistent-input \
        persistent-storage-mtd persistent-storage-tape persistent-v4l sensor btrfs camera joystick memory mouse \
        power-switch touchpad uaccess seat seat-late probe_mtd sound-card iocost e2scrub; do
        rm -f "$root"/usr/lib/udev/rules.d/[0-9][0-9]-"$file".rules
    done
    rm -rf "$root"/usr/lib/udev/hwdb.d "$root"/usr/lib/udev/hwdb.bin # names to show, and keyboards
    rm -f "$root"/usr/lib/tmpfiles.d/{home,x11,debian,systemd-nspawn,portables,20-systemd-ssh-generator}.conf
    # Only root logs in: no program needs another's rights.
    find "$root" -xdev -type f -perm /6000 -exec chmod ug-s {} +
    find "$root/usr/share/doc" -mindepth 1 -type d -empty -delete 2>/dev/null || true
    # Generators run at each boot, and these would find nothing.
    for file in debug getty hibernate-resume integritysetup rc-local run ssh system-update sysv tpm2 veritysetup; do
        rm -f "$root/usr/lib/systemd/system-generators/systemd-$file-generator"
    done
}

root_settle() { # files that every boot finds as they are
    local root=$work/tree unit
    cp -RT --preserve=mode "$images/tree" "$root"
    mkdir -p "$root/boot" "$root/etc/systemd/system" "$root/usr/lib/postern/update-keys"
    : >"$root/etc/machine-id"
    ln -sf ../run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
    ln -sfT ../var/etc/postern "$root/etc/postern"
    rm -f "$root/etc/os-release"
    ln -s ../usr/lib/os-release "$root/etc/os-release"
    cat >"$root/usr/lib/os-release" <<END
NAME="postern"
ID=postern
ID_LIKE=debian
PRETTY_NAME="postern $version"
VERSION_ID="$version"
IMAGE_ID=postern
IMAGE_VERSION="$version"
BUILD_ID="$build_id"
END
    install -m 0644 "$keys/update.pem" "$root/usr/lib/postern/update-keys/"
    cp "$work/packages" "$root/usr/lib/postern/packages"
    in_tools systemd-sysusers --root="$work/tree" >&2
    in_tools systemctl --root="$work/tree" preset-all >&2 2>"$work/preset.log" || { cat "$work/preset.log" >&2; return 1; }
    while read -r unit; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done < <(awk 'NF >= 2 && $1 !~ /^#/ { print $1 }' "$images/masked")
    rm -rf "$root"/etc/{*-,.pwd.lock} "${root:?}/var"
    mkdir "$root/var"
}

root_make() { # $work/tree
    root_packages
    words out | sort -u >"$work/packages.out"
    { words boot; ls "$debs" | sed -n 's/^\(linux-image-[0-9][^_]*\)_.*/\1/p'; } | sort -u >"$work/packages.boot"
    package_list >"$work/packages"
    say "building postern"
    postern_build
    say "the kernel's modules"
    kernel_unpack
    modules_copy "$work/modules.root" "$work/tree"
    firmware_copy
    boot_unpack
    copyrights_copy
    root_trim
    root_settle
}

root_pack() { # $work/root.erofs and $work/root.verity, $work/roothash
    say "the root file system"
    # LZ4: read fastest, and what is downloaded is compressed by zstd once more (62 MB; zstd here: 69).
    # No extended attributes: no program has capabilities of its own.
    # All files have the commit's time: with SOURCE_DATE_EPOCH older ones would keep theirs, and that of some
    # is when the packages were installed here.
    in_tools env -u SOURCE_DATE_EPOCH mkfs.erofs --quiet -x-1 -zlz4hc,level=9 -C65536 -T"$SOURCE_DATE_EPOCH" \
        -U "$(uuid root)" "$work/root.erofs" "$work/tree" >&2
    in_tools veritysetup format "$work/root.erofs" "$work/root.verity" --uuid="$(uuid verity)" \
        --salt="$(printf 'postern %s salt' "$version" | sha256sum | cut -c1-64)" --root-hash-file="$work/roothash" >/dev/null
}
