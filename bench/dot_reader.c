/* SPDX-License-Identifier: Apache-2.0 */
#include "dot_reader.h"

void dot_reader_init(struct dot_reader *d)
{
    *d = (struct dot_reader){.state = DOT_LINE_START};
}

/* Bytes of a line, up to and with its CRLF or to the end of the input. */
static size_t middle_take(struct dot_reader *d, struct span in, struct span *ret_out)
{
    size_t len = in.len;

    for (size_t at = 0; at < in.len; at++) {
        const uint8_t *lf = memchr(in.ptr + at, '\n', in.len - at);
        if (!lf)
            break;
        at = (size_t)(lf - in.ptr);
        if (at > 0 ? in.ptr[at - 1] == '\r' : d->after_cr) {
            len = at + 1;
            d->state = DOT_LINE_START;
            break;
        }
        d->bares++;
    }
    d->after_cr = in.ptr[len - 1] == '\r';
    *ret_out = span_make(in.ptr, len);
    return len;
}

size_t dot_reader_take(struct dot_reader *d, struct span in, struct span *ret_out)
{
    *ret_out = span_make(in.ptr, 0);
    switch (d->state) {
    case DOT_LINE_START:
        d->after_cr = false;
        if (in.ptr[0] == '.') {
            d->state = DOT_AFTER_DOT;
            return 1;
        }
        d->state = DOT_MIDDLE;
        return middle_take(d, in, ret_out);
    case DOT_AFTER_DOT:
        if (in.ptr[0] == '\r') {
            d->state = DOT_AFTER_DOT_CR;
            return 1;
        }
        d->state = DOT_MIDDLE;
        return middle_take(d, in, ret_out);
    case DOT_AFTER_DOT_CR:
        if (in.ptr[0] == '\n') {
            d->state = DOT_END;
            return 1;
        }
        /* The CR that was held back belongs to the message after all. */
        d->state = DOT_MIDDLE;
        d->after_cr = true;
        *ret_out = SPAN_LIT("\r");
        return 0;
    case DOT_MIDDLE:
        return middle_take(d, in, ret_out);
    case DOT_END:
        break;
    }
    return 0;
}
