/* SPDX-License-Identifier: Apache-2.0 */
#include "gzip.h"

#define ZLIB_CONST
#include <zlib.h>

enum { PIECE = 16 * 1024, WINDOW_GZIP = 15 + 16, INPUT_MAX = 1 << 30 };

bool gzip_is(struct span in)
{
    return in.len >= 2 && in.ptr[0] == 0x1f && in.ptr[1] == 0x8b;
}

/* One piece from z to out. Room for a whole one is not there near the bound: then it goes through a
 * piece of our own. */
static int piece_out(z_stream *z, struct buf *out, int (*step)(z_stream *, int), int flush,
                     int *ret_zlib)
{
    uint8_t piece[PIECE];

    z->next_out = piece;
    z->avail_out = sizeof(piece);
    *ret_zlib = step(z, flush);
    return buf_append(out, piece, sizeof(piece) - z->avail_out);
}

static int inflate_all(z_stream *z, struct buf *out)
{
    int zlib = Z_OK, err;

    for (;;) {
        err = piece_out(z, out, inflate, Z_NO_FLUSH, &zlib);
        if (err)
            return err;
        if (zlib == Z_STREAM_END && z->avail_in == 0)
            return ERR_OK;
        if (zlib == Z_STREAM_END)
            zlib = inflateReset(z);
        if (zlib == Z_BUF_ERROR || (zlib == Z_OK && z->avail_in == 0 && z->avail_out > 0))
            return ERR_AGAIN;
        if (zlib != Z_OK)
            return zlib == Z_MEM_ERROR ? ERR_NOMEM : ERR_SYNTAX;
    }
}

int gzip_inflate(struct span in, struct buf *out)
{
    z_stream z = {.next_in = in.ptr, .avail_in = (uInt)in.len};

    if (in.len > INPUT_MAX)
        return ERR_FULL;
    if (inflateInit2(&z, WINDOW_GZIP) != Z_OK)
        return ERR_NOMEM;
    int err = inflate_all(&z, out);
    inflateEnd(&z);
    return err;
}

int gzip_deflate(struct span in, struct buf *out)
{
    z_stream z = {.next_in = in.ptr, .avail_in = (uInt)in.len};
    int zlib = Z_OK, err = ERR_OK;

    if (in.len > INPUT_MAX)
        return ERR_FULL;
    if (deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, WINDOW_GZIP, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return ERR_NOMEM;
    while (!err && zlib == Z_OK)
        err = piece_out(&z, out, deflate, Z_FINISH, &zlib);
    deflateEnd(&z);
    return err ? err : zlib == Z_STREAM_END ? ERR_OK : ERR_NOMEM;
}
