/* SPDX-License-Identifier: Apache-2.0 */
/* Is less TLS than before found where there is, and nowhere else? The matrix is written out: a
 * letter a cell. */
#include "ratchet.h"

#include "cmocka_all.h"

#include <string.h>

enum { NOW = 1000000, EXPIRY = 1000 };

/* What a connection can have, weakest first, in the order of the matrix's rows and columns. */
static const struct {
    const char *name;
    struct ratchet_had had;
} hads[] = {
    {"plaintext", {CONF_LEVEL_NONE, TLS_SOURCE_NONE}},
    {"encrypt", {CONF_LEVEL_ENCRYPT, TLS_SOURCE_NONE}},
    {"verify by the route", {CONF_LEVEL_VERIFY, TLS_SOURCE_ROUTE}},
    {"pin by the route", {CONF_LEVEL_PIN, TLS_SOURCE_ROUTE}},
    {"verify by a list", {CONF_LEVEL_VERIFY, TLS_SOURCE_LIST}},
    {"verify by sts", {CONF_LEVEL_VERIFY, TLS_SOURCE_STS}},
    {"dane", {CONF_LEVEL_DANE, TLS_SOURCE_DANE}},
};
enum { HADS = sizeof(hads) / sizeof(hads[0]) };

/* A row for what was had before, a letter for what there is now: '.' fine, 'D' a drop. */
static const char *const at_auto[HADS] = {
    ".......", /* plaintext before */
    "D......", /* encrypt */
    "D......", /* what another route asked proves that there is TLS */
    "D......", "DDDD...", "DDDD...", "DDDDDD.",
};
/* Level may finds TLS or none: more is nothing that it could miss. */
static const char *const at_may[HADS] = {
    ".......", "D......", "D......", "D......", "D......", "D......", "D......",
};
/* Each of these refuses by itself what is less. */
static const enum conf_level demanding[] = {CONF_LEVEL_NONE, CONF_LEVEL_ENCRYPT, CONF_LEVEL_VERIFY,
                                            CONF_LEVEL_PIN,  CONF_LEVEL_DANE,    CONF_LEVEL_STS};

static struct ratchet_verdict judged(enum conf_level level, enum conf_ratchet ratchet,
                                     const struct ratchet_memory *host,
                                     const struct ratchet_memory *destination,
                                     const struct ratchet_had *now)
{
    const struct conf_route route = {.tls = {.level = level, .ratchet = ratchet}};
    const struct ratchet_question question = {.route = &route,
                                              .now = *now,
                                              .host = *host,
                                              .destination = *destination,
                                              .now_s = NOW,
                                              .expiry_s = EXPIRY};
    struct ratchet_verdict verdict;

    ratchet_judge(&question, &verdict);
    return verdict;
}

static const struct ratchet_memory nothing;

static struct ratchet_memory memory_of(size_t had, int64_t age)
{
    return (struct ratchet_memory){true, hads[had].had, NOW - age};
}

static void matrix(enum conf_level level, const char *const rows[HADS])
{
    for (size_t before = 0; before < HADS; before++) {
        for (size_t now = 0; now < HADS; now++) {
            struct ratchet_memory memory = memory_of(before, 0);
            bool drop = rows[before][now] == 'D';
            struct ratchet_verdict warn =
                judged(level, CONF_RATCHET_WARN, &memory, &nothing, &hads[now].had);
            struct ratchet_verdict hold =
                judged(level, CONF_RATCHET_HOLD, &memory, &nothing, &hads[now].had);
            if (warn.finding != (drop ? RATCHET_DROP : RATCHET_FINE) ||
                hold.finding != (drop ? RATCHET_HOLD : RATCHET_FINE))
                fail_msg("level %s, %s before, %s now: %d, %d", conf_level_text(level),
                         hads[before].name, hads[now].name, warn.finding, hold.finding);
            if (drop) {
                assert_int_equal(hold.was.level, hads[before].had.level);
                assert_int_equal(hold.was_last, NOW);
                assert_false(hold.new_host);
            }
            /* A host that is new is held to the same. */
            hold = judged(level, CONF_RATCHET_HOLD, &nothing, &memory, &hads[now].had);
            assert_int_equal(hold.finding, drop ? RATCHET_HOLD : RATCHET_FINE);
            assert_true(hold.held && hold.new_host);
            assert_int_equal(
                judged(level, CONF_RATCHET_OFF, &memory, &memory, &hads[now].had).finding,
                RATCHET_FINE);
        }
    }
}

static void test_levels_that_leave_it_open(void **state)
{
    matrix(CONF_LEVEL_AUTO, at_auto);
    matrix(CONF_LEVEL_MAY, at_may);
}

static void test_levels_that_demand(void **state)
{
    for (size_t level = 0; level < sizeof(demanding) / sizeof(demanding[0]); level++) {
        const struct ratchet_memory best = memory_of(HADS - 1, 0);
        for (size_t now = 0; now < HADS; now++)
            assert_int_equal(
                judged(demanding[level], CONF_RATCHET_HOLD, &best, &best, &hads[now].had).finding,
                RATCHET_FINE);
        assert_false(judged(demanding[level], CONF_RATCHET_HOLD, &best, &best, &hads[0].had).held);
    }
}

static void test_memory_expires(void **state)
{
    const struct ratchet_had *plain = &hads[0].had;
    struct ratchet_memory just = memory_of(6, EXPIRY), over = memory_of(6, EXPIRY + 1);
    struct ratchet_memory future = memory_of(6, -5), weak = memory_of(0, 0);

    assert_int_equal(judged(CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, &just, &nothing, plain).finding,
                     RATCHET_HOLD);
    assert_int_equal(judged(CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, &over, &nothing, plain).finding,
                     RATCHET_FINE);
    assert_int_equal(judged(CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, &nothing, &over, plain).finding,
                     RATCHET_FINE);
    /* A clock that was set back makes nothing old. */
    assert_int_equal(judged(CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, &future, &nothing, plain).finding,
                     RATCHET_HOLD);
    /* Whose memory is over counts as new. */
    assert_int_equal(judged(CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, &over, &just, plain).finding,
                     RATCHET_HOLD);
    /* A known host is held to its own, not to the others. */
    assert_int_equal(judged(CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, &weak, &just, plain).finding,
                     RATCHET_FINE);
}

static void test_who_is_remembered(void **state)
{
    static const struct {
        enum conf_level level;
        enum conf_ratchet ratchet;
        bool remembers, judges;
    } cells[] = {
        {CONF_LEVEL_NONE, CONF_RATCHET_HOLD, false, false},
        {CONF_LEVEL_MAY, CONF_RATCHET_OFF, false, false},
        {CONF_LEVEL_MAY, CONF_RATCHET_WARN, true, true},
        {CONF_LEVEL_AUTO, CONF_RATCHET_HOLD, true, true},
        {CONF_LEVEL_ENCRYPT, CONF_RATCHET_WARN, true, false},
        {CONF_LEVEL_DANE, CONF_RATCHET_HOLD, true, false},
        {CONF_LEVEL_DANE, CONF_RATCHET_OFF, false, false},
    };

    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        const struct conf_route route = {
            .tls = {.level = cells[i].level, .ratchet = cells[i].ratchet}};
        assert_int_equal(ratchet_remembers(&route), cells[i].remembers);
        assert_int_equal(ratchet_judges(&route), cells[i].judges);
    }
}

/* The order that decides what is kept: a total one, and the rows above are in it. */
static void test_order(void **state)
{
    for (size_t a = 0; a < HADS; a++) {
        for (size_t b = 0; b < HADS; b++) {
            bool better = ratchet_better(&hads[a].had, &hads[b].had);
            if (a <= b)
                assert_false(better);
            assert_false(better && ratchet_better(&hads[b].had, &hads[a].had));
        }
    }
    assert_true(ratchet_better(&hads[5].had, &hads[3].had)); /* a policy's over a pin of ours */
    assert_true(ratchet_better(&hads[3].had, &hads[1].had));
}

static void test_words(void **state)
{
    struct ratchet_verdict v = {RATCHET_HOLD, true, false, hads[6].had, 1763798400};
    char text[RATCHET_TEXT], date[RATCHET_DATE];

    ratchet_explain(&v, &hads[0].had, "example.org", "STARTTLS is not offered", text);
    assert_string_equal(
        text, "had dane until 2025-11-22T08:00Z, now plaintext (STARTTLS is not offered); "
              "posternctl policy ratchet accept example.org takes that");
    v.new_host = true;
    ratchet_explain(&v, &hads[1].had, "example.org", "", text);
    assert_string_equal(text,
                        "other hosts of the domain had dane until 2025-11-22T08:00Z, now encrypt; "
                        "posternctl policy ratchet accept example.org takes that");
    assert_string_equal(ratchet_date(-1, date), "?");
    assert_string_equal(ratchet_date(0, date), "1970-01-01T00:00Z");
    (void)ratchet_date(INT64_MAX, date); /* whatever it is, it fits */
    assert_non_null(memchr(date, '\0', sizeof(date)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_that_leave_it_open),
        cmocka_unit_test(test_levels_that_demand),
        cmocka_unit_test(test_memory_expires),
        cmocka_unit_test(test_who_is_remembered),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
