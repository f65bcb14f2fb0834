/* SPDX-License-Identifier: Apache-2.0 */
#include "slot_name.h"

#include "ascii.h"

#define PREFIX "postern_"

/* --- versions --- */

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool slot_version_valid(struct span version)
{
    if (version.len == 0 || version.len >= SLOT_VERSION_TEXT || !is_digit(version.ptr[0]))
        return false;
    for (size_t i = 0; i < version.len; i++) {
        uint8_t c = version.ptr[i];
        if (!ascii_is_alnum(c) && c != '.' && c != '~' && c != '^' && c != '-')
            return false;
    }
    return true;
}

/* Both are at such a byte, one is, or none: -1 or 1 where only one is. Its presence counts as
 * present_is (-1: less than its absence). */
static int mark_compare(const char **a, const char **b, char mark, int present_is)
{
    bool at_a = **a == mark, at_b = **b == mark;

    if (at_a != at_b)
        return at_a ? present_is : -present_is;
    *a += at_a;
    *b += at_b;
    return 0;
}

static int number_compare(const char **a, const char **b)
{
    size_t len_a = strspn(*a, "0123456789"), len_b = strspn(*b, "0123456789");

    if (len_a == 0 || len_b == 0)
        return (len_a > 0) - (len_b > 0);
    *a += strspn(*a, "0");
    *b += strspn(*b, "0");
    len_a = strspn(*a, "0123456789");
    len_b = strspn(*b, "0123456789");
    int sign = len_a != len_b ? (len_a < len_b ? -1 : 1) : memcmp(*a, *b, len_a);
    *a += len_a;
    *b += len_b;
    return sign;
}

/* Letters by their bytes; the end of a run is less than any letter. */
static int letters_compare(const char **a, const char **b)
{
    for (;;) {
        bool at_a = ascii_is_alpha((uint8_t) * *a), at_b = ascii_is_alpha((uint8_t) * *b);
        if (!at_a || !at_b)
            return (int)at_a - (int)at_b;
        if (**a != **b)
            return (uint8_t) * *a < (uint8_t) * *b ? -1 : 1;
        (*a)++;
        (*b)++;
    }
}

int slot_version_compare(const char *a, const char *b)
{
    /* '~' begins a pre-release, '-' a release of a package, '^' a patched one, '.' a part. */
    static const struct {
        char mark;
        int present_is;
    } before_end[] = {{'~', -1}}, behind_end[] = {{'-', -1}, {'^', -1}, {'.', -1}};
    int sign;

    for (;;) {
        for (size_t i = 0; i < sizeof(before_end) / sizeof(before_end[0]); i++)
            if ((sign = mark_compare(&a, &b, before_end[i].mark, before_end[i].present_is)) != 0)
                return sign;
        if (*a == '\0' || *b == '\0')
            return (*a != '\0') - (*b != '\0');
        for (size_t i = 0; i < sizeof(behind_end) / sizeof(behind_end[0]); i++)
            if ((sign = mark_compare(&a, &b, behind_end[i].mark, behind_end[i].present_is)) != 0)
                return sign;
        if (is_digit((uint8_t)*a) || is_digit((uint8_t)*b))
            sign = number_compare(&a, &b);
        else
            sign = letters_compare(&a, &b);
        if (sign != 0)
            return sign;
    }
}

/* --- names --- */

static bool strip_start(struct span *s, struct span what)
{
    if (s->len < what.len || memcmp(s->ptr, what.ptr, what.len) != 0)
        return false;
    *s = span_from(*s, what.len);
    return true;
}

static bool strip_end(struct span *s, struct span what)
{
    if (s->len < what.len || memcmp(s->ptr + s->len - what.len, what.ptr, what.len) != 0)
        return false;
    s->len -= what.len;
    return true;
}

int slot_label_parse(struct span label, enum slot_part *ret_part,
                     char ret_version[SLOT_VERSION_TEXT])
{
    ret_version[0] = '\0';
    *ret_part = SLOT_PART_EMPTY;
    if (span_equal(label, SPAN_LIT("_empty")))
        return ERR_OK;
    if (!strip_start(&label, SPAN_LIT(PREFIX)))
        return ERR_SYNTAX;
    *ret_part = strip_end(&label, SPAN_LIT("_verity")) ? SLOT_PART_VERITY : SLOT_PART_ROOT;
    if (!slot_version_valid(label))
        return ERR_SYNTAX;
    return span_to_cstr(label, ret_version, SLOT_VERSION_TEXT);
}

static int tries_parse(struct span text, unsigned *ret)
{
    uint64_t value;
    int err = span_to_u64(text, SLOT_TRIES_MAX, &value);

    if (!err)
        *ret = (unsigned)value;
    return err;
}

int slot_uki_parse(struct span file, struct slot_uki *ret)
{
    int err = ERR_OK;

    *ret = (struct slot_uki){0};
    if (!strip_start(&file, SPAN_LIT(PREFIX)) || !strip_end(&file, SPAN_LIT(".efi")))
        return ERR_SYNTAX;
    struct span counts = file, version = span_cut(&counts, '+');
    ret->counted = version.len < file.len;
    if (ret->counted) {
        struct span done = counts, left = span_cut(&done, '-');
        err = tries_parse(left, &ret->left);
        if (!err && left.len < counts.len)
            err = tries_parse(done, &ret->done);
    }
    if (err || !slot_version_valid(version))
        return ERR_SYNTAX;
    return span_to_cstr(version, ret->version, sizeof(ret->version));
}
