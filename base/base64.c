/* SPDX-License-Identifier: Apache-2.0 */
#include "base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(struct span in, char *out)
{
    char *to = out;

    for (size_t i = 0; i < in.len; i += 3) {
        size_t left = in.len - i;
        uint32_t bits = (uint32_t)in.ptr[i] << 16;
        if (left > 1)
            bits |= (uint32_t)in.ptr[i + 1] << 8;
        if (left > 2)
            bits |= in.ptr[i + 2];
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = left > 1 ? digits[bits >> 6 & 63] : '=';
        *to++ = left > 2 ? digits[bits & 63] : '=';
    }
    *to = '\0';
    return out;
}

static int digit_value(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int base64_decode(struct span in, uint8_t *out, size_t room, size_t *ret_len)
{
    size_t len = 0;

    *ret_len = 0;
    if (in.len % 4 != 0)
        return ERR_SYNTAX;
    for (size_t i = 0; i < in.len; i += 4) {
        bool last = i + 4 == in.len;
        size_t pads =
            last ? (in.ptr[i + 3] == '=') + (in.ptr[i + 3] == '=' && in.ptr[i + 2] == '=') : 0;
        uint32_t bits = 0;
        for (size_t j = 0; j < 4 - pads; j++) {
            int value = digit_value(in.ptr[i + j]);
            if (value < 0)
                return ERR_SYNTAX;
            bits |= (uint32_t)value << (18 - 6 * j);
        }
        if (bits & ((1u << (8 * pads)) - 1))
            return ERR_SYNTAX;
        if (room - len < 3 - pads)
            return ERR_FULL;
        for (size_t j = 0; j < 3 - pads; j++)
            out[len++] = (uint8_t)(bits >> (16 - 8 * j));
    }
    *ret_len = len;
    return ERR_OK;
}
