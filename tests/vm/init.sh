#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The virtual machine's first process. The root is the host's own, read-only: what is written goes
# to memory and is gone with the machine. What it prints last is the status; how the machine itself
# ends says nothing.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
modules=$POSTERN_VM_MODULES/$(uname -r)

end() {
    echo "vm: status $1"
    /usr/bin/python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)' # power off
}
step() { "$@" || { echo "vm: failed: $*"; end 1; }; }

step mount -t proc proc /proc
step insmod "$modules"/kernel/fs/overlayfs/overlay.ko*
step mount -t tmpfs tmpfs /mnt
step mkdir /mnt/upper /mnt/work /mnt/top
step mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/top
step mount -t proc proc /mnt/top/proc
step mount -t sysfs sysfs /mnt/top/sys
step mount -t devtmpfs devtmpfs /mnt/top/dev
step mkdir -p /mnt/top/dev/shm
step mount -t tmpfs tmpfs /mnt/top/dev/shm
# The kernel itself calls modprobe in this root, for what these modules ask for.
step mkdir /mnt/top/.host
step pivot_root /mnt/top /mnt/top/.host
cd /
step mkdir -p /usr/lib/modules
step ln -s "$modules" /usr/lib/modules/
echo guest.example >/proc/sys/kernel/hostname # Postfix will not deliver for "(none)"
for module in tls gcm ccm chacha20poly1305; do
    step modprobe "$module"
done
/usr/bin/python3 "$(dirname "$0")/guest.py"
end $?
