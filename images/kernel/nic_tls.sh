# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the parts of the build share their variables
# The kernel "nic-tls": Debian's source and configuration, with TLS by the network card, which Debian
# leaves out (nic-tls.config), and of the modules only those that the image keeps. It signs its modules
# with a key that is made for this build and removed with it; it takes no others.

# nic_tls_modules: the names that Debian's modules of $work/modules.root have, as lsmod(8) prints them.
nic_tls_modules() {
    echo 'Module Size Used by'
    sed -E 's|.*/||; s|\.ko.*||; s|-|_|g; s|$| 1 0|' "$work/modules.root"
}

# in_kernel_tools FOLDER COMMAND...: in the tree of tools that compile a kernel, FOLDER at its own path.
in_kernel_tools() {
    local tools=$kernel_tools work=$1
    shift
    in_tools nice env KBUILD_BUILD_USER=postern KBUILD_BUILD_HOST=postern \
        KBUILD_BUILD_TIMESTAMP="@$(cat "$work/date")" "$@"
}

nic_tls_configure() { # FOLDER
    # shellcheck disable=SC2016 # $1 is the inner shell's
    in_kernel_tools "$1" sh -ec '
        cd "$1/source"
        xz -dc /usr/src/linux-config-6.12/config.amd64_none_amd64.xz >.config
        make -s olddefconfig
        yes "" | make -s LSMOD="$1/lsmod" localmodconfig
        scripts/kconfig/merge_config.sh -m .config "$1/nic-tls.config"
        make -s olddefconfig' _ "$1" >"$1/configure.log" 2>&1 ||
        { tail -n 40 "$1/configure.log" >&2; die "the kernel's configuration failed, see $1/configure.log"; }
    grep -E '^CONFIG_[A-Z0-9_]+=' "$1/nic-tls.config" | while read -r line; do
        grep -qxF "$line" "$1/source/.config" || die "the kernel does not take $line from images/kernel/nic-tls.config"
    done
}

# nic_tls_build FOLDER RESULT: goes on where an earlier build was interrupted.
nic_tls_build() {
    local folder=$1 began=$SECONDS status=0 release
    say "building the kernel: about an hour of one processor's time; $folder/build.log tells how far it is"
    if [ ! -e "$folder/source/Makefile" ]; then
        mkdir -p "$folder/source"
        xz -dc "$kernel_tools/usr/src/linux-source-6.12.tar.xz" | tar -x -C "$folder/source" --strip-components=1
    fi
    nic_tls_configure "$folder"
    # shellcheck disable=SC2016 # $1 and $2 are the inner shell's
    in_kernel_tools "$folder" sh -ec '
        cd "$1/source"
        make -j "$2" bzImage modules
        rm -rf "$1/result"
        mkdir -p "$1/result/boot"
        make -s INSTALL_MOD_PATH="$1/result/usr" INSTALL_MOD_STRIP=1 modules_install
        cp arch/x86/boot/bzImage "$1/result/boot/vmlinuz-$(make -s kernelrelease)"
        cp .config "$1/result/boot/config-$(make -s kernelrelease)"
        times' _ "$folder" "$(nproc)" >"$folder/build.log" 2>&1 || status=$?
    [ "$status" = 0 ] || { tail -n 40 "$folder/build.log" >&2; die "the kernel does not build, see $folder/build.log"; }
    release=$(basename "$folder"/result/usr/lib/modules/*)
    rm -f "$folder/result/usr/lib/modules/$release/build"
    say "the kernel $release took $((SECONDS - began)) seconds; user and system time: $(tail -n 1 "$folder/build.log")"
    mv "$folder/result" "$2"
    rm -rf "$folder" # and with it the key that signed the modules
}

# nic_tls_need: sets $nic_tls, a folder with boot and usr/lib/modules as Debian's package has them.
nic_tls_need() {
    local build
    kernel_tools=$(tools_tree kernel-tool)
    nic_tls=$cache/kernel-nic-tls-$( (echo "$kernel_tools"; nic_tls_modules; cat "$images/kernel/nic-tls.config" \
        "$images/kernel/nic_tls.sh") | recipe_hash)
    [ ! -e "$nic_tls/boot" ] || return 0
    build=$nic_tls.build
    mkdir -p "$build"
    nic_tls_modules >"$build/lsmod"
    cp "$images/kernel/nic-tls.config" "$build/"
    stat -c %Y "$kernel_tools/usr/src/linux-source-6.12.tar.xz" >"$build/date"
    nic_tls_build "$build" "$nic_tls"
}
