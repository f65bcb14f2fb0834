/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The header of one member of a tar archive, as POSIX writes it (ustar), for archives of plain files
 * in one folder: an update's bundle that is read, diagnostics that are written. Everything else that
 * tar knows (folders, links, devices, long names, extensions of GNU's and others') is ERR_SYNTAX: no
 * member can say where it goes. Pure: a block in, a name and a size out.
 */
#pragma once

#include "errcode.h"
#include "span.h"

enum {
    TAR_BLOCK = 512,
    TAR_NAME = 100 + 1,
    TAR_SIZE_MAX = 1 << 30, /* bytes of one member */
};

struct tar_header {
    char name[TAR_NAME]; /* letters, digits and ._~^+-, not a dot first */
    uint64_t size;
    int64_t mtime; /* of a header that is written: seconds since 1970 */
};

/* ERR_NOTFOUND: a block of zeros, which ends the archive. ERR_SYNTAX. */
int tar_header_read(const uint8_t block[TAR_BLOCK], struct tar_header *ret) ERR_CHECK;
/* ERR_RANGE: what tar_header_read would not take. */
int tar_header_write(const struct tar_header *header, uint8_t ret[TAR_BLOCK]) ERR_CHECK;
/* Zeros behind a member of that size, up to the next block. */
static inline size_t tar_padding(uint64_t size)
{
    return (size_t)(-size & (TAR_BLOCK - 1));
}
