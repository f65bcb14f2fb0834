/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is one message ever two? The flow against a slow reference that looks at the whole input, over
 * all short strings and all splits, and the named endings of RFC 5321 section 4.1.1.4 with all
 * pairs of splits.
 */
#include "../cmocka_all.h"

#include <stdlib.h>

#include "body_flow.h"

struct setting {
    enum body_frame in, out;
    bool scan, normalize, last;
};

static const struct setting settings[] = {
    {BODY_FRAME_DOT, BODY_FRAME_DOT, false, false, false},
    {BODY_FRAME_DOT, BODY_FRAME_DOT, false, true, false},
    {BODY_FRAME_DOT, BODY_FRAME_LENGTH, false, false, false},
    {BODY_FRAME_DOT, BODY_FRAME_LENGTH, false, true, false},
    {BODY_FRAME_LENGTH, BODY_FRAME_LENGTH, true, false, true},
    {BODY_FRAME_LENGTH, BODY_FRAME_LENGTH, true, false, false},
    {BODY_FRAME_LENGTH, BODY_FRAME_LENGTH, false, false, true},
    {BODY_FRAME_LENGTH, BODY_FRAME_DOT, false, false, true},
    {BODY_FRAME_LENGTH, BODY_FRAME_DOT, false, false, false},
};
enum { SETTINGS = sizeof(settings) / sizeof(settings[0]) };

struct outcome {
    enum body_result result;
    size_t used, out_len;
    uint64_t bytes;
    uint8_t out[1024];
};

static void put(struct outcome *o, const void *data, size_t len)
{
    assert_true(o->out_len + len <= sizeof(o->out));
    if (len > 0)
        memcpy(o->out + o->out_len, data, len);
    o->out_len += len;
}

static struct body_flow flow_of(const struct setting *s, size_t len)
{
    struct body_flow f;

    body_flow_init(&f, s->in, s->out);
    f.scan = s->scan;
    f.normalize = s->normalize;
    if (s->in == BODY_FRAME_LENGTH)
        body_flow_chunk(&f, len, s->last);
    return f;
}

/* The reference: 0 goes on, 1 the input ends here undecided, else the result is set. */
static bool ref_dot(const struct setting *s, const uint8_t *in, size_t n, size_t *i, bool bare,
                    struct outcome *o)
{
    size_t left = n - *i;

    if (s->in == BODY_FRAME_LENGTH) {
        put(o, s->out == BODY_FRAME_DOT ? ".." : ".", s->out == BODY_FRAME_DOT ? 2 : 1);
        o->bytes++;
    } else if (left == 1 || (left == 2 && in[*i + 1] == '\r')) {
        return false;
    } else if (in[*i + 1] == '\n') {
        o->result = BODY_BARE_LF;
        return false;
    } else if (in[*i + 1] == '\r') {
        o->result = in[*i + 2] != '\n' ? BODY_BARE_CR : bare ? BODY_BARE_LF : BODY_END;
        o->used = *i + 3;
        return false;
    } else if (s->out == BODY_FRAME_DOT) {
        put(o, ".", 1);
    }
    *i += 1;
    return true;
}

static void reference(const struct setting *s, const uint8_t *in, size_t n, struct outcome *o)
{
    bool line = true, bare = false, length = s->in == BODY_FRAME_LENGTH;
    size_t i = 0;

    *o = (struct outcome){.result = BODY_MORE, .used = n};
    if (length && s->out == BODY_FRAME_LENGTH && !s->scan) {
        put(o, in, n);
        o->bytes = n;
        i = n;
    }
    while (i < n) {
        if (line && in[i] == '.') {
            if (!ref_dot(s, in, n, &i, bare, o))
                return;
            line = false;
        } else if (in[i] == '\r' && i + 1 == n) {
            if (length && s->last)
                o->result = BODY_BARE_CR;
            else if (length && s->out == BODY_FRAME_LENGTH)
                put(o, "\r", 1), o->bytes++;
            break;
        } else if (in[i] == '\r' && in[i + 1] != '\n') {
            o->result = BODY_BARE_CR;
            return;
        } else if (in[i] == '\r' || (in[i] == '\n' && s->normalize)) {
            put(o, "\r\n", 2);
            o->bytes += 2;
            bare = in[i] == '\n';
            i += bare ? 1 : 2;
            line = true;
        } else if (in[i] == '\n') {
            o->result = BODY_BARE_LF;
            return;
        } else {
            put(o, in + i++, 1);
            o->bytes++;
            line = false;
        }
    }
    if (length && o->result == BODY_MORE)
        o->result = BODY_END;
}

/* cuts: the input comes in pieces that end there. */
static void run(const struct setting *s, const uint8_t *in, size_t n, const size_t *cuts,
                size_t cuts_len, struct outcome *o, struct body_flow *ret_flow)
{
    struct body_flow f = flow_of(s, n);
    size_t at = 0;

    *o = (struct outcome){.result = BODY_MORE};
    for (size_t c = 0; c <= cuts_len && o->result == BODY_MORE; c++) {
        size_t end = c < cuts_len ? cuts[c] : n;
        do {
            struct body_piece piece;
            o->result = body_flow_step(&f, in + at, end - at, &piece);
            assert_true(piece.used <= end - at);
            if (o->result == BODY_MORE || o->result == BODY_END)
                put(o, piece.pass.ptr, piece.pass.len);
            else
                assert_int_equal(piece.pass.len, 0);
            at += piece.used;
        } while (at < end && o->result == BODY_MORE);
    }
    o->used = at;
    o->bytes = f.bytes;
    *ret_flow = f;
}

/* Where a body that begins at a line's start ends, by RFC 5321 alone; 0: not in there. */
static size_t true_end(const uint8_t *in, size_t n)
{
    for (size_t i = 0; i + 3 <= n; i++) {
        if (memcmp(in + i, ".\r\n", 3) == 0 &&
            (i == 0 || (i >= 2 && in[i - 2] == '\r' && in[i - 1] == '\n')))
            return i + 3;
    }
    return 0;
}

static void check_drain(struct body_flow f, const uint8_t *in, size_t n, size_t from)
{
    size_t want = true_end(in, n), used = 0;

    if (f.in == BODY_FRAME_LENGTH) {
        assert_int_equal(body_flow_drain(&f, in + from, n - from, &used), BODY_END);
        assert_int_equal(from + used, n);
        return;
    }
    if (want == 0) {
        assert_int_equal(body_flow_drain(&f, in + from, n - from, &used), BODY_MORE);
        return;
    }
    for (size_t cut = from; cut <= n; cut++) {
        struct body_flow g = f;
        enum body_result result = body_flow_drain(&g, in + from, cut - from, &used);
        size_t end = from + used;
        if (result == BODY_MORE) {
            result = body_flow_drain(&g, in + cut, n - cut, &used);
            end = cut + used;
        }
        assert_int_equal(result, BODY_END);
        assert_int_equal(end, want);
    }
}

static void check(const struct setting *s, const uint8_t *in, size_t n, const size_t *cuts,
                  size_t cuts_len)
{
    static struct outcome want, got;
    struct body_flow flow;

    reference(s, in, n, &want);
    run(s, in, n, cuts, cuts_len, &got, &flow);
    assert_int_equal(got.result, want.result);
    if (got.result == BODY_MORE || got.result == BODY_END) {
        assert_int_equal(got.out_len, want.out_len);
        assert_int_equal(got.used, want.used);
        assert_int_equal(got.bytes, want.bytes);
    } else { /* refused: what was passed before is only what is right */
        assert_true(got.out_len <= want.out_len);
        check_drain(flow, in, n, got.used);
    }
    assert_memory_equal(got.out, want.out, got.out_len);
}

static void all_short_strings(void **state)
{
    static const char letters[] = "\r\n.a";
    uint8_t in[8];
    size_t each[8];

    for (size_t i = 0; i < 8; i++)
        each[i] = i;
    for (size_t n = 0; n <= 7; n++) {
        for (size_t number = 0; number < (size_t)1 << (2 * n); number++) {
            for (size_t i = 0; i < n; i++)
                in[i] = (uint8_t)letters[number >> (2 * i) & 3];
            for (size_t s = 0; s < SETTINGS; s++) {
                for (size_t cut = 0; cut <= n; cut++)
                    check(&settings[s], in, n, &cut, 1);
                check(&settings[s], in, n, each, n);
            }
        }
    }
}

static void long_random_strings(void **state)
{
    static const char letters[] = "\r\n.a";
    uint8_t in[500];
    size_t cuts[20];

    srandom(2);
    for (int round = 0; round < 30000; round++) {
        size_t n = (size_t)random() % sizeof(in), cuts_len = (size_t)random() % 20, at = 0;
        int noise = 2 + (int)(random() % 100);
        for (size_t i = 0; i < n; i++) {
            in[i] = (uint8_t)(random() % noise == 0 ? letters[random() % 4] : 'q');
            if (i > 0 && in[i - 1] == '\r' && random() % 30 != 0)
                in[i] = '\n';
            if (in[i] == '\n' && (i == 0 || in[i - 1] != '\r') && random() % 30 != 0)
                in[i] = '.';
        }
        for (size_t c = 0; c < cuts_len; c++) {
            at += (size_t)random() % 40;
            cuts[c] = at < n ? at : n;
        }
        for (size_t s = 0; s < SETTINGS; s++)
            check(&settings[s], in, n, cuts, cuts_len);
    }
}

/* RFC-RULES, "Lines": all twelve end-of-data variants, also split, give one message or a
 * refusal; what goes out as DATA holds no line with a lone dot. */
static void smuggling_endings(void **state)
{
    static const struct span endings[] = {
        SPAN_LIT("\n.\n"),         SPAN_LIT("\n.\r"),       SPAN_LIT("\r.\n"),
        SPAN_LIT("\r.\r"),         SPAN_LIT("\n.\r\n"),     SPAN_LIT("\r.\r\n"),
        SPAN_LIT("\r\n.\n"),       SPAN_LIT("\r\n.\r"),     SPAN_LIT("\r\n.\r\r\n"),
        SPAN_LIT("\r\r\n.\r\r\n"), SPAN_LIT("\r\n\0.\r\n"), SPAN_LIT("\r\n.\0\r\n"),
    };
    static const char second[] = "MAIL FROM:<evil@example.com>\r\n\r\n.\r\n";
    uint8_t in[128];
    static struct outcome got;
    struct body_flow flow;

    for (size_t e = 0; e < 12; e++) {
        size_t n = 5 + endings[e].len + sizeof(second) - 1;
        memcpy(in, "hello", 5);
        memcpy(in + 5, endings[e].ptr, endings[e].len);
        memcpy(in + 5 + endings[e].len, second, sizeof(second) - 1);
        for (size_t s = 0; s < SETTINGS; s++) {
            for (size_t a = 0; a <= n; a++) {
                for (size_t b = a; b <= n; b++) {
                    size_t cuts[] = {a, b};
                    check(&settings[s], in, n, cuts, 2);
                    run(&settings[s], in, n, cuts, 2, &got, &flow);
                    if (got.result == BODY_END && settings[s].in == BODY_FRAME_DOT)
                        assert_int_equal(got.used, n); /* its own end, not the forged one */
                    if (settings[s].out == BODY_FRAME_DOT)
                        assert_null(memmem(got.out, got.out_len, "\r\n.\r\n", 5));
                }
            }
        }
    }
}

/* BDAT to DATA over several chunks: stuffing and CRLF across the edge of two chunks. */
static void chunks_become_data(void **state)
{
    static const char *const parts[] = {"one\r\n", ".two\r", "\n", "..", "", "\r\n.end"};
    struct body_flow f;
    struct outcome o = {.result = BODY_END};
    struct body_piece piece;

    body_flow_init(&f, BODY_FRAME_LENGTH, BODY_FRAME_DOT);
    for (size_t i = 0; i < 6; i++) {
        size_t n = strlen(parts[i]), at = 0;
        body_flow_chunk(&f, n, i == 5);
        do {
            o.result = body_flow_step(&f, (const uint8_t *)parts[i] + at, n - at, &piece);
            put(&o, piece.pass.ptr, piece.pass.len);
            at += piece.used;
        } while (o.result == BODY_MORE);
        assert_int_equal(o.result, BODY_END);
    }
    assert_int_equal(o.out_len, 22);
    assert_memory_equal(o.out, "one\r\n..two\r\n...\r\n..end", 22);
    assert_int_equal(f.bytes, 19);
    struct span finish = body_flow_finish(&f);
    assert_int_equal(finish.len, 5);
    assert_memory_equal(finish.ptr, "\r\n.\r\n", 5);
}

/* A CR at the end of a chunk goes on with the chunk; what follows it is still judged. */
static void chunk_ends_in_cr(void **state)
{
    struct body_flow f;
    struct body_piece piece;

    body_flow_init(&f, BODY_FRAME_LENGTH, BODY_FRAME_LENGTH);
    f.scan = true;
    body_flow_chunk(&f, 2, false);
    assert_int_equal(body_flow_step(&f, (const uint8_t *)"a\rX", 3, &piece), BODY_END);
    assert_int_equal(piece.pass.len, 2);
    struct body_flow good = f;
    body_flow_chunk(&good, 3, true);
    assert_int_equal(body_flow_step(&good, (const uint8_t *)"\nb.", 3, &piece), BODY_MORE);
    assert_int_equal(piece.pass.len, 1);
    assert_int_equal(body_flow_step(&good, (const uint8_t *)"b.", 2, &piece), BODY_END);
    assert_int_equal(good.bytes, 5);
    body_flow_chunk(&f, 1, true);
    assert_int_equal(body_flow_step(&f, (const uint8_t *)"b", 1, &piece), BODY_BARE_CR);
    /* An empty last chunk leaves that CR bare for ever. */
    body_flow_init(&f, BODY_FRAME_LENGTH, BODY_FRAME_DOT);
    body_flow_chunk(&f, 1, false);
    assert_int_equal(body_flow_step(&f, (const uint8_t *)"\r", 1, &piece), BODY_END);
    body_flow_chunk(&f, 0, true);
    assert_int_equal(body_flow_step(&f, NULL, 0, &piece), BODY_BARE_CR);
}

static void empty_bodies(void **state)
{
    struct body_flow f;
    struct body_piece piece;

    body_flow_init(&f, BODY_FRAME_DOT, BODY_FRAME_DOT);
    assert_int_equal(body_flow_step(&f, (const uint8_t *)".\r\nQUIT", 7, &piece), BODY_END);
    assert_int_equal(piece.used, 3);
    assert_int_equal(piece.pass.len, 0);
    assert_int_equal(body_flow_finish(&f).len, 3);
    body_flow_init(&f, BODY_FRAME_LENGTH, BODY_FRAME_LENGTH);
    body_flow_chunk(&f, 0, true);
    assert_int_equal(body_flow_step(&f, (const uint8_t *)"QUIT", 4, &piece), BODY_END);
    assert_int_equal(piece.used, 0);
    assert_int_equal(body_flow_finish(&f).len, 0);
}

static void limit(void **state)
{
    struct body_flow f;
    struct body_piece piece;

    body_flow_init(&f, BODY_FRAME_DOT, BODY_FRAME_DOT);
    f.max_bytes = 4;
    assert_int_equal(body_flow_step(&f, (const uint8_t *)"ab\r\n.\r\n", 7, &piece), BODY_END);
    body_flow_init(&f, BODY_FRAME_DOT, BODY_FRAME_DOT);
    f.max_bytes = 4;
    assert_int_equal(body_flow_step(&f, (const uint8_t *)"ab\r", 3, &piece), BODY_MORE);
    assert_int_equal(body_flow_step(&f, (const uint8_t *)"\ncd\r\n.\r\n", 8, &piece), BODY_MORE);
    const uint8_t *rest = (const uint8_t *)"cd\r\n.\r\n";
    assert_int_equal(body_flow_step(&f, rest, 7, &piece), BODY_TOO_BIG);
    size_t used;
    assert_int_equal(body_flow_drain(&f, rest + piece.used, 7 - piece.used, &used), BODY_END);
    assert_int_equal(piece.used + used, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_short_strings),
        cmocka_unit_test(long_random_strings),
        cmocka_unit_test(smuggling_endings),
        cmocka_unit_test(chunks_become_data),
        cmocka_unit_test(chunk_ends_in_cr),
        cmocka_unit_test(empty_bodies),
        cmocka_unit_test(limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
