/* SPDX-License-Identifier: Apache-2.0 */
#include "received.h"

#include "ascii.h"

void header_scan_init(struct header_scan *h, uint32_t max_bytes, uint16_t max_received)
{
    *h = (struct header_scan){
        .max_bytes = max_bytes, .max_received = max_received, .line_start = true};
}

static bool field_is(const struct header_scan *h, const char *name)
{
    return span_equal(span_make(h->field, h->field_len), span_str(name));
}

/* The ':' behind a field name. */
static enum header_result field_begin(struct header_scan *h)
{
    h->in_name = false;
    h->seen_field = true;
    h->in_message_id = field_is(h, "message-id") && h->message_id_len == 0;
    if (!field_is(h, "received"))
        return HEADER_MORE;
    /* RFC 5321 section 6.3: a message that has come by too many hosts is going in circles. */
    return ++h->received > h->max_received ? HEADER_LOOP : HEADER_MORE;
}

static enum header_result name_byte(struct header_scan *h, uint8_t c)
{
    if (c == ':')
        return h->field_len > 0 ? field_begin(h) : HEADER_END;
    if (ascii_is_blank(c)) { /* "Received :" (RFC 5322 section 4.5.8) */
        h->name_over = true;
        return HEADER_MORE;
    }
    if (c < '!' || c > '~' || h->name_over)
        return HEADER_END;
    if (h->field_len < sizeof(h->field))
        h->field[h->field_len++] = (char)ascii_lower(c);
    else
        h->field[0] = '\0'; /* longer than any that we look for */
    return HEADER_MORE;
}

static void value_byte(struct header_scan *h, uint8_t c)
{
    bool in_brackets = h->message_id_len > 0;

    if (!h->in_message_id || c <= ' ' || c == 0x7f || (!in_brackets && c != '<'))
        return;
    if (h->message_id_len < sizeof(h->message_id) - 1)
        h->message_id[h->message_id_len++] = (char)c;
    if (c == '>')
        h->in_message_id = false;
}

static enum header_result line_first(struct header_scan *h, uint8_t c)
{
    h->line_start = false;
    if (ascii_is_blank(c) && h->seen_field) /* folded: the field goes on */
        return HEADER_MORE;
    h->in_message_id = false;
    h->field_len = 0;
    h->name_over = false;
    h->in_name = true;
    /* An empty line begins with CR, which no name has. */
    return name_byte(h, c);
}

/* How many bytes of a value that nobody reads come next, up to the line's end. */
static size_t unread_value(const struct header_scan *h, struct span bytes)
{
    if (h->line_start || h->in_name || h->in_message_id)
        return 0;
    const uint8_t *newline = memchr(bytes.ptr, '\n', bytes.len);
    return newline ? (size_t)(newline - bytes.ptr) : bytes.len;
}

enum header_result header_scan_feed(struct header_scan *h, struct span bytes)
{
    size_t room = h->max_bytes > h->bytes ? h->max_bytes - h->bytes : 0;
    bool too_big = bytes.len > room;

    if (too_big)
        bytes.len = room;
    while (bytes.len > 0) {
        enum header_result result = HEADER_MORE;
        size_t unread = unread_value(h, bytes);
        h->bytes += (uint32_t)unread;
        bytes = span_from(bytes, unread);
        if (bytes.len == 0)
            break;
        uint8_t c = bytes.ptr[0];
        h->bytes++;
        bytes = span_from(bytes, 1);
        if (h->line_start)
            result = line_first(h, c);
        else if (h->in_name)
            result = name_byte(h, c);
        else if (c == '\n')
            h->line_start = true;
        else
            value_byte(h, c);
        if (result != HEADER_MORE)
            return result;
    }
    return too_big ? HEADER_TOO_BIG : HEADER_MORE;
}
