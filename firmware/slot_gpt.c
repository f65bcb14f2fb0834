/* SPDX-License-Identifier: Apache-2.0 */
#include "slot_gpt.h"

#include <stdio.h>

enum { HEADER_MIN = 92, HEADER_CRC = 16, ENTRY = 128, ENTRY_NAME = 56, NAME_UNITS = 36 };

static uint16_t le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t le32(const uint8_t *p)
{
    return le16(p) | (uint32_t)le16(p + 2) << 16;
}

static uint64_t le64(const uint8_t *p)
{
    return le32(p) | (uint64_t)le32(p + 4) << 32;
}

/* Of zlib and Ethernet; this floor has no other use of zlib. */
static uint32_t crc32_more(uint32_t crc, const uint8_t *bytes, size_t len)
{
    crc = ~crc;
    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static bool header_sound(const uint8_t *header, uint32_t len)
{
    static const uint8_t none[4];
    uint32_t crc = crc32_more(0, header, HEADER_CRC);

    crc = crc32_more(crc, none, sizeof(none)); /* its own place counts as zeros */
    crc = crc32_more(crc, header + HEADER_CRC + 4, len - HEADER_CRC - 4);
    return crc == le32(header + HEADER_CRC);
}

static void guid_write(const uint8_t *g, char out[SLOT_GPT_GUID])
{
    snprintf(out, SLOT_GPT_GUID, "%08x-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", le32(g),
             le16(g + 4), le16(g + 6), g[8], g[9], g[10], g[11], g[12], g[13], g[14], g[15]);
}

static void label_write(const uint8_t *name, char out[SLOT_GPT_LABEL])
{
    size_t len = 0;

    while (len < NAME_UNITS && le16(name + 2 * len) != 0) {
        uint16_t c = le16(name + 2 * len);
        out[len++] = c < 0x20 || c > 0x7e ? '?' : (char)c;
    }
    out[len] = '\0';
}

static void entry_add(struct slot_gpt *gpt, const uint8_t *entry)
{
    static const uint8_t unused[16];
    uint64_t first = le64(entry + 32), last = le64(entry + 40);

    if (memcmp(entry, unused, sizeof(unused)) == 0 || last < first ||
        last - first >= UINT64_MAX / SLOT_GPT_SECTOR)
        return;
    struct slot_partition *p = &gpt->partitions[gpt->len++];
    p->bytes = (last - first + 1) * SLOT_GPT_SECTOR;
    guid_write(entry, p->type);
    guid_write(entry + 16, p->guid);
    label_write(entry + ENTRY_NAME, p->label);
}

int slot_gpt_parse(struct span disk, struct slot_gpt *ret)
{
    const uint8_t *header = disk.ptr + SLOT_GPT_SECTOR;
    const uint8_t *entries = header + SLOT_GPT_SECTOR;

    ret->len = 0;
    if (disk.len < SLOT_GPT_BYTES || memcmp(header, "EFI PART", 8) != 0)
        return ERR_SYNTAX;
    uint32_t header_len = le32(header + 12), count = le32(header + 80);
    if (header_len < HEADER_MIN || header_len > SLOT_GPT_SECTOR || le64(header + 72) != 2 ||
        le32(header + 84) != ENTRY || count == 0 || count > SLOT_GPT_PARTITIONS_MAX ||
        !header_sound(header, header_len) ||
        crc32_more(0, entries, (size_t)count * ENTRY) != le32(header + 88))
        return ERR_SYNTAX;
    for (uint32_t i = 0; i < count; i++)
        entry_add(ret, entries + (size_t)i * ENTRY);
    return ERR_OK;
}
