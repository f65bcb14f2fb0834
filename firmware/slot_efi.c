/* SPDX-License-Identifier: Apache-2.0 */
#include "slot_efi.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FOLDER "/sys/firmware/efi/efivars"

enum {
    PATH = 1024,
    ATTRIBUTES = 4, /* bytes in front of each variable's value */
    KEPT = 7,       /* non-volatile, for the boot loader, for the running system */
};

static const char *const vendors[] = {
    [SLOT_EFI_LOADER] = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
    [SLOT_EFI_SYSTEMD] = "8cf2644b-4b0b-428f-9387-6d876050dc67",
};

static bool path_make(char out[PATH], const char *root, enum slot_efi_vendor vendor,
                      const char *name)
{
    int n = snprintf(out, PATH, "%s" FOLDER "/%s-%s", root, name, vendors[vendor]);

    return n > 0 && n < PATH;
}

bool slot_efi_present(const char *root)
{
    char path[PATH];
    int n = snprintf(path, sizeof(path), "%s" FOLDER, root);

    return n > 0 && n < PATH && access(path, F_OK) == 0;
}

/* UTF-16 with or without its terminator. */
static int text_decode(const uint8_t *value, size_t len, char ret[SLOT_EFI_TEXT])
{
    size_t units = len / 2, out = 0;

    if (len % 2 != 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < units; i++) {
        unsigned c = value[2 * i] | (unsigned)value[2 * i + 1] << 8;
        if (c == 0)
            break;
        if (out + 1 == SLOT_EFI_TEXT)
            return ERR_SYNTAX;
        ret[out++] = c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    ret[out] = '\0';
    return ERR_OK;
}

int slot_efi_read(const char *root, enum slot_efi_vendor vendor, const char *name,
                  char ret[SLOT_EFI_TEXT])
{
    uint8_t bytes[ATTRIBUTES + 2 * SLOT_EFI_TEXT + 2];
    char path[PATH];

    ret[0] = '\0';
    int fd = path_make(path, root, vendor, name) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return errno == ENOENT ? ERR_NOTFOUND : ERR_IO;
    ssize_t n = read(fd, bytes, sizeof(bytes));
    close(fd);
    if (n < 0)
        return ERR_IO;
    if (n < ATTRIBUTES || n == sizeof(bytes))
        return ERR_SYNTAX;
    int err = text_decode(bytes + ATTRIBUTES, (size_t)n - ATTRIBUTES, ret);
    if (err)
        ret[0] = '\0';
    return err;
}

/* The kernel protects variables from an accidental rm by this flag. */
static void make_mutable(int fd)
{
    int flags;

    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_IMMUTABLE_FL) {
        flags &= ~FS_IMMUTABLE_FL;
        (void)ioctl(fd, FS_IOC_SETFLAGS, &flags); /* the write fails where this did */
    }
}

static int remove_variable(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? ERR_OK : ERR_IO;
    make_mutable(fd);
    close(fd);
    return unlink(path) == 0 || errno == ENOENT ? ERR_OK : ERR_IO;
}

int slot_efi_write(const char *root, enum slot_efi_vendor vendor, const char *name,
                   const char *text)
{
    uint8_t bytes[ATTRIBUTES + 2 * SLOT_EFI_TEXT] = {KEPT};
    size_t len = strlen(text), size = ATTRIBUTES + 2 * (len + 1);
    char path[PATH];

    if (len >= SLOT_EFI_TEXT || !path_make(path, root, vendor, name)) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    if (len == 0)
        return remove_variable(path);
    for (size_t i = 0; i < len; i++)
        bytes[ATTRIBUTES + 2 * i] = (uint8_t)text[i];
    int old = open(path, O_RDONLY | O_CLOEXEC);
    if (old >= 0) {
        make_mutable(old);
        close(old);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return ERR_IO;
    /* One write is one variable: the firmware replaces it at once. Where a folder stands for the
     * machine, a longer text that was there must not show behind this one. */
    bool ok = write(fd, bytes, size) == (ssize_t)size &&
              (root[0] == '\0' || ftruncate(fd, (off_t)size) == 0);
    int why = errno;
    close(fd);
    errno = why;
    return ok ? ERR_OK : ERR_IO;
}
