/* SPDX-License-Identifier: Apache-2.0 */
#include "tar_header.h"

#include "ascii.h"

#include <stdio.h>

/* Where the fields are that are looked at (POSIX.1, pax, "ustar Interchange Format"). */
enum {
    NAME_AT = 0,
    NAME_LEN = 100,
    MODE_AT = 100,
    UID_AT = 108,
    GID_AT = 116,
    ID_LEN = 8,
    SIZE_AT = 124,
    SIZE_LEN = 12,
    MTIME_AT = 136,
    SUM_AT = 148,
    SUM_LEN = 8,
    TYPE_AT = 156,
    LINK_AT = 157,
    MAGIC_AT = 257,
    PREFIX_AT = 345,
};

static const char magic[8] = {'u', 's', 't', 'a', 'r', '\0', '0', '0'};

static unsigned sum_of(const uint8_t block[TAR_BLOCK])
{
    unsigned sum = 0;

    for (size_t i = 0; i < TAR_BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_LEN ? ' ' : block[i];
    return sum;
}

/* Octal digits, then a NUL, a blank, or the field's end. */
static int octal_read(struct span field, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;
    size_t i = 0;

    for (; i < field.len && field.ptr[i] >= '0' && field.ptr[i] <= '7'; i++) {
        value = value * 8 + (field.ptr[i] - '0');
        if (value > max)
            return ERR_RANGE;
    }
    if (i == 0 || (i < field.len && field.ptr[i] != '\0' && field.ptr[i] != ' '))
        return ERR_SYNTAX;
    *ret = value;
    return ERR_OK;
}

static bool name_sound(const char *name)
{
    if (name[0] == '\0' || name[0] == '.')
        return false;
    for (; *name; name++)
        if (!ascii_is_alnum((uint8_t)*name) && !strchr("._~^+-", *name))
            return false;
    return true;
}

int tar_header_read(const uint8_t block[TAR_BLOCK], struct tar_header *ret)
{
    static const uint8_t zeros[TAR_BLOCK];
    uint64_t sum;

    *ret = (struct tar_header){0};
    if (memcmp(block, zeros, TAR_BLOCK) == 0)
        return ERR_NOTFOUND;
    if (octal_read(span_make(block + SUM_AT, SUM_LEN), UINT32_MAX, &sum) != ERR_OK ||
        sum != sum_of(block) || memcmp(block + MAGIC_AT, magic, sizeof(magic)) != 0)
        return ERR_SYNTAX;
    if (block[TYPE_AT] != '0' || block[LINK_AT] != '\0' || block[PREFIX_AT] != '\0')
        return ERR_SYNTAX;
    memcpy(ret->name, block + NAME_AT, NAME_LEN);
    if (!name_sound(ret->name))
        return ERR_SYNTAX;
    return octal_read(span_make(block + SIZE_AT, SIZE_LEN), TAR_SIZE_MAX, &ret->size) == ERR_OK
               ? ERR_OK
               : ERR_SYNTAX;
}

int tar_header_write(const struct tar_header *header, uint8_t ret[TAR_BLOCK])
{
    memset(ret, 0, TAR_BLOCK);
    if (!name_sound(header->name) || strlen(header->name) > NAME_LEN ||
        header->size > TAR_SIZE_MAX || header->mtime < 0 || header->mtime > 077777777777)
        return ERR_RANGE;
    memcpy(ret + NAME_AT, header->name, strlen(header->name));
    memcpy(ret + MODE_AT, "0000600", ID_LEN);
    memcpy(ret + UID_AT, "0000000", ID_LEN);
    memcpy(ret + GID_AT, "0000000", ID_LEN);
    snprintf((char *)ret + SIZE_AT, SIZE_LEN, "%011llo", (unsigned long long)header->size);
    snprintf((char *)ret + MTIME_AT, SIZE_LEN, "%011llo", (unsigned long long)header->mtime);
    ret[TYPE_AT] = '0';
    memcpy(ret + MAGIC_AT, magic, sizeof(magic));
    snprintf((char *)ret + SUM_AT, SUM_LEN, "%06o", sum_of(ret));
    ret[SUM_AT + SUM_LEN - 1] = ' ';
    return ERR_OK;
}
