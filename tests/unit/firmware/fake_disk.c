/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_disk.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cmocka.h>

static void put32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> 8 * i);
}

static void put64(uint8_t *p, uint64_t value)
{
    put32(p, (uint32_t)value);
    put32(p + 4, (uint32_t)(value >> 32));
}

/* Its first three fields are little-endian. */
static void put_guid(uint8_t *p, const char *text)
{
    static const int order[16] = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
    char hex[33];
    size_t len = 0;

    for (; *text && len < 32; text++)
        if (*text != '-')
            hex[len++] = *text;
    hex[len] = '\0';
    assert_int_equal(len, 32);
    for (int i = 0; i < 16; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
        p[order[i]] = (uint8_t)strtoul(two, NULL, 16);
    }
}

void fake_gpt_seal(uint8_t out[SLOT_GPT_BYTES])
{
    uint8_t *header = out + 512;

    put32(header + 88, (uint32_t)crc32(0, out + 1024, 128 * 128));
    put32(header + 16, 0);
    put32(header + 16, (uint32_t)crc32(0, header, 92));
}

void fake_gpt(const struct fake_partition *partitions, size_t len, uint8_t out[SLOT_GPT_BYTES])
{
    uint8_t *header = out + 512;
    uint64_t at = 2048;

    memset(out, 0, SLOT_GPT_BYTES);
    memcpy(header, "EFI PART\0\0\1\0", 12);
    put32(header + 12, 92);
    put64(header + 24, 1);
    put64(header + 72, 2);
    put32(header + 80, 128);
    put32(header + 84, 128);
    for (size_t i = 0; i < len; i++) {
        uint8_t *entry = out + 1024 + 128 * i;
        put_guid(entry, partitions[i].type);
        put_guid(entry + 16, partitions[i].guid);
        put64(entry + 32, at);
        put64(entry + 40, at + partitions[i].sectors - 1);
        at += partitions[i].sectors;
        for (size_t c = 0; partitions[i].label[c]; c++)
            entry[56 + 2 * c] = (uint8_t)partitions[i].label[c];
    }
    fake_gpt_seal(out);
}

const char *fake_root_make(void)
{
    static char folder[256];
    const char *tmp = getenv("TMPDIR");

    snprintf(folder, sizeof(folder), "%s/postern-slots-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(folder));
    return folder;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

void fake_remove(const char *root)
{
    assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void fake_file(const char *root, const char *path, const void *bytes, size_t len)
{
    char full[1024];

    snprintf(full, sizeof(full), "%s%s", root, path);
    for (char *slash = strchr(full + strlen(root) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(full, 0755);
        *slash = '/';
    }
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

void fake_disk(const char *root, const char *name, const struct fake_partition *partitions,
               size_t len)
{
    uint8_t bytes[SLOT_GPT_BYTES];
    char path[256];

    fake_gpt(partitions, len, bytes);
    snprintf(path, sizeof(path), "/dev/%s", name);
    fake_file(root, path, bytes, sizeof(bytes));
    snprintf(path, sizeof(path), "/sys/class/block/%s/size", name);
    fake_file(root, path, "1\n", 2);
}

void fake_loader_variable(const char *root, const char *name, const char *text)
{
    uint8_t bytes[4 + 2 * 256] = {6};
    char path[256];
    size_t len = strlen(text);

    for (size_t i = 0; i < len; i++)
        bytes[4 + 2 * i] = (uint8_t)text[i];
    snprintf(path, sizeof(path),
             "/sys/firmware/efi/efivars/%s-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", name);
    fake_file(root, path, bytes, 4 + 2 * (len + 1));
}
