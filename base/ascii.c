/* SPDX-License-Identifier: Apache-2.0 */
#include "ascii.h"

void ascii_lower_all(char *text)
{
    for (char *c = text; *c; c++)
        *c = (char)ascii_lower((uint8_t)*c);
}

int ascii_hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool ascii_unescape(struct span in, char escape, char *out, size_t room)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len; i++) {
        int c = in.ptr[i];
        if (c == escape) {
            int high = i + 2 < in.len ? ascii_hex_value(in.ptr[i + 1]) : -1;
            int low = high >= 0 ? ascii_hex_value(in.ptr[i + 2]) : -1;
            if (low < 0)
                return false;
            c = high * 16 + low;
            i += 2;
        }
        if (len + 1 >= room || c <= ' ' || c > '~')
            return false;
        out[len++] = (char)c;
    }
    out[len] = '\0';
    return true;
}

void ascii_mask(char *text)
{
    for (char *c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}
