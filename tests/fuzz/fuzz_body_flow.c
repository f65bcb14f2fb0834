/* SPDX-License-Identifier: Apache-2.0 */
/*
 * However a body is cut into buffers, the flow passes the same bytes and comes to the same end,
 * and what goes out as DATA never has a line that is a lone dot. The first two bytes choose
 * framing and cuts.
 */
#include "fuzz.h"

#include "assertion.h"
#include "body_flow.h"
#include "buf.h"

struct outcome {
    enum body_result result;
    size_t used;
    struct buf out;
    struct body_flow flow;
};

static struct body_flow flow_of(uint8_t choice, size_t len)
{
    struct body_flow f;
    bool length = choice & 1, dot_out = length ? choice & 2 : !(choice & 64);

    body_flow_init(&f, length ? BODY_FRAME_LENGTH : BODY_FRAME_DOT,
                   dot_out ? BODY_FRAME_DOT : BODY_FRAME_LENGTH);
    f.scan = choice & 4;
    f.normalize = !length && (choice & 8);
    if (length)
        body_flow_chunk(&f, len, choice & 16);
    if (choice & 32)
        f.max_bytes = len / 2;
    return f;
}

static void run(uint8_t choice, const uint8_t *in, size_t len, unsigned cut, struct outcome *o)
{
    unsigned random = cut;
    size_t at = 0, end = 0;

    *o = (struct outcome){.result = BODY_MORE, .flow = flow_of(choice, len)};
    do {
        if (at == end) {
            random = random * 1103515245 + 12345;
            size_t n = cut == 0 ? len : 1 + (random >> 16) % (cut % 90 + 1);
            end = len - at < n ? len : at + n;
        }
        struct body_piece piece;
        o->result = body_flow_step(&o->flow, in + at, end - at, &piece);
        ASSERT(piece.used <= end - at);
        if (o->result == BODY_MORE || o->result == BODY_END)
            ASSERT(buf_append(&o->out, piece.pass.ptr, piece.pass.len) == ERR_OK);
        else
            ASSERT(piece.pass.len == 0);
        at += piece.used;
    } while (o->result == BODY_MORE && at < len);
    o->used = at;
}

static void check_drain(struct outcome *o, const uint8_t *in, size_t len)
{
    size_t used;
    enum body_result result = body_flow_drain(&o->flow, in + o->used, len - o->used, &used);

    ASSERT(used <= len - o->used);
    if (result == BODY_END && o->flow.in == BODY_FRAME_DOT) {
        size_t end = o->used + used;
        ASSERT(end >= 3 && memcmp(in + end - 3, ".\r\n", 3) == 0);
        ASSERT(end == 3 || (end >= 5 && memcmp(in + end - 5, "\r\n", 2) == 0));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole, cut;

    if (size < 2)
        return 0;
    uint8_t choice = data[0];
    const uint8_t *in = data + 2;
    size_t len = size - 2;
    run(choice, in, len, 0, &whole);
    run(choice, in, len, data[1] + 1U, &cut);
    bool refused = whole.result != BODY_MORE && whole.result != BODY_END;
    /* Where the size is passed and a line end is bare, the cut decides which is seen first. */
    ASSERT(whole.result == cut.result || (refused && (choice & 32)));
    struct span a = buf_span(&whole.out), b = buf_span(&cut.out);
    size_t common = a.len < b.len ? a.len : b.len;
    ASSERT(refused || (a.len == b.len && whole.used == cut.used));
    ASSERT(common == 0 || memcmp(a.ptr, b.ptr, common) == 0);
    if (whole.flow.out == BODY_FRAME_DOT && b.len > 0) {
        ASSERT(memmem(b.ptr, b.len, "\r\n.\r\n", 5) == NULL);
        ASSERT(b.len < 3 || memcmp(b.ptr, ".\r\n", 3) != 0);
    }
    if (refused) {
        check_drain(&whole, in, len);
        check_drain(&cut, in, len);
    }
    buf_release(&whole.out);
    buf_release(&cut.out);
    return 0;
}
