/* SPDX-License-Identifier: Apache-2.0 */
#include "text.h"

#include "assertion.h"

enum { DIGITS_MAX = 20 };

void text_u64(struct text *t, uint64_t value, unsigned min_digits)
{
    char digits[DIGITS_MAX];
    size_t at = sizeof(digits);

    if (value < 10 && min_digits <= 1) { /* most are */
        text_put(t, &"0123456789"[value], 1);
        return;
    }
    ASSERT(min_digits <= DIGITS_MAX);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0 || sizeof(digits) - at < min_digits);
    text_put(t, digits + at, sizeof(digits) - at);
}

void text_hex(struct text *t, uint64_t value)
{
    char digits[16];
    size_t at = sizeof(digits);

    do {
        digits[--at] = "0123456789abcdef"[value & 15];
        value >>= 4;
    } while (value > 0);
    text_put(t, digits + at, sizeof(digits) - at);
}

const char *text_end(struct text *t)
{
    ASSERT(t->room > 0);
    if (t->len == t->room)
        t->len--;
    t->out[t->len] = '\0';
    return t->out;
}
