/* SPDX-License-Identifier: Apache-2.0 */
/* Does the book keep the best of each host, does a drop end as it should, does it stay within its
 * bounds without forgetting what holds mail, and is what it tells others what is in it? And is a
 * file of it read as it was written, and nothing else? */
#include "ratchet_file.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOW = 1000000, HOUR = 3600, TOLD_MAX = 256 };

static const struct ratchet_had plain = {CONF_LEVEL_NONE, TLS_SOURCE_NONE};
static const struct ratchet_had encrypt = {CONF_LEVEL_ENCRYPT, TLS_SOURCE_NONE};
static const struct ratchet_had routes = {CONF_LEVEL_VERIFY, TLS_SOURCE_ROUTE};
static const struct ratchet_had sts = {CONF_LEVEL_VERIFY, TLS_SOURCE_STS};
static const struct ratchet_had dane = {CONF_LEVEL_DANE, TLS_SOURCE_DANE};

/* What was told last of each name: what workers would see. */
struct view {
    char name[2 * RATCHET_NAME_MAX + 2];
    struct ratchet_memory memory;
    bool dropped;
};
static struct view views[TOLD_MAX];
static unsigned views_len;

static struct view *view_of(const char *destination, const char *host)
{
    char name[sizeof(views[0].name)];

    snprintf(name, sizeof(name), "%s %s", destination, host ? host : "*");
    for (unsigned i = 0; i < views_len; i++)
        if (strcmp(views[i].name, name) == 0)
            return &views[i];
    assert_true(views_len < TOLD_MAX);
    views[views_len] = (struct view){0};
    snprintf(views[views_len].name, sizeof(views[0].name), "%s", name);
    return &views[views_len++];
}

static void on_changed(void *user, const struct ratchet_entry *e, bool gone)
{
    struct view *v = view_of(ratchet_destination(e), ratchet_host(e));

    v->memory = (struct ratchet_memory){!gone, e->best, e->last};
    v->dropped = e->dropped;
}

static void on_weakest(void *user, const char *destination, const struct ratchet_memory *memory)
{
    view_of(destination, NULL)->memory = *memory;
}

static const struct ratchet_book_events events = {on_changed, on_weakest};

static struct ratchet_book *book_new(unsigned max)
{
    static const uint64_t key[2] = {1, 2};
    struct ratchet_book *book;

    views_len = 0;
    assert_int_equal(ratchet_book_new(max, key, &events, NULL, &book), ERR_OK);
    return book;
}

static enum ratchet_change seen(struct ratchet_book *b, const char *host,
                                const struct ratchet_had *had, int64_t now)
{
    const struct ratchet_entry *e;

    return ratchet_book_seen(b, "example.org", host, had, now, &e);
}

static enum ratchet_change drop(struct ratchet_book *b, const char *host,
                                const struct ratchet_had *had, int64_t now)
{
    const struct ratchet_entry *e;

    return ratchet_book_drop(b, "example.org", host, had, now, &e);
}

static const struct ratchet_entry *entry(const struct ratchet_book *b, const char *destination,
                                         const char *host)
{
    const struct ratchet_entry *e = ratchet_book_first(b);

    while (e && (strcmp(ratchet_destination(e), destination) || strcmp(ratchet_host(e), host)))
        e = ratchet_book_next(e);
    return e;
}

static void test_best_is_kept(void **state)
{
    struct ratchet_book *b = book_new(10);

    assert_int_equal(seen(b, "mx1", &encrypt, NOW), RATCHET_NEW);
    assert_int_equal(seen(b, "mx1", &encrypt, NOW + 5), RATCHET_SAME);
    assert_int_equal(seen(b, "mx1", &dane, NOW + 10), RATCHET_RAISED);
    assert_int_equal(seen(b, "mx1", &encrypt, NOW + 20), RATCHET_SAME);
    assert_int_equal(seen(b, "mx1", &sts, NOW + 30), RATCHET_SAME);
    const struct ratchet_entry *e = entry(b, "example.org", "mx1");
    assert_int_equal(e->best.level, CONF_LEVEL_DANE);
    assert_int_equal(e->since, NOW + 10);
    assert_int_equal(e->last, NOW + 10);
    assert_int_equal(view_of("example.org", "mx1")->memory.best.level, CONF_LEVEL_DANE);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_DANE);
    assert_int_equal(ratchet_book_len(b), 1);
    ratchet_book_free(b);
}

/* What the route asked is as strong as TLS, and of more level to show. */
static void test_a_route_s_own_level(void **state)
{
    struct ratchet_book *b = book_new(10);

    seen(b, "mx1", &encrypt, NOW);
    assert_int_equal(seen(b, "mx1", &routes, NOW + 1), RATCHET_SAME);
    assert_int_equal(entry(b, "example.org", "mx1")->best.level, CONF_LEVEL_VERIFY);
    assert_int_equal(entry(b, "example.org", "mx1")->since, NOW);
    assert_int_equal(seen(b, "mx1", &encrypt, NOW + 2), RATCHET_SAME);
    assert_int_equal(entry(b, "example.org", "mx1")->best.source, TLS_SOURCE_ROUTE);
    assert_int_equal(seen(b, "mx1", &sts, NOW + 3), RATCHET_RAISED);
    ratchet_book_free(b);
}

static void test_a_drop_is_told_and_ends(void **state)
{
    struct ratchet_book *b = book_new(10);

    seen(b, "mx1", &dane, NOW);
    assert_int_equal(drop(b, "mx1", &encrypt, NOW + 10), RATCHET_DROPPED);
    assert_int_equal(drop(b, "mx1", &encrypt, NOW + 20), RATCHET_SAME);
    assert_int_equal(drop(b, "mx1", &plain, NOW + 30), RATCHET_DROPPED); /* less again */
    const struct ratchet_entry *e = entry(b, "example.org", "mx1");
    assert_true(e->dropped);
    assert_int_equal(e->drop_since, NOW + 10);
    assert_int_equal(e->drop_last, NOW + 30);
    assert_int_equal(e->drops, 3);
    assert_int_equal(e->last, NOW); /* best was not had since */
    assert_true(view_of("example.org", "mx1")->dropped);
    assert_int_equal(ratchet_book_dropped(b), 1);
    assert_int_equal(drop(b, "mx1", &plain, NOW + 30 + HOUR), RATCHET_DROPPED); /* an hour later */
    /* A message that goes out by less, under warn, ends nothing. */
    assert_int_equal(seen(b, "mx1", &plain, NOW + 40), RATCHET_SAME);
    assert_true(e->dropped);
    assert_int_equal(seen(b, "mx1", &dane, NOW + 2 * HOUR), RATCHET_RESTORED);
    assert_false(e->dropped);
    assert_int_equal(e->since, NOW);
    assert_int_equal(ratchet_book_dropped(b), 0);
    assert_false(view_of("example.org", "mx1")->dropped);
    /* As many times an hour as it likes: both are told once. */
    for (int i = 0; i < 10; i++) {
        assert_int_equal(drop(b, "mx1", &plain, NOW + 2 * HOUR + i), RATCHET_SAME);
        assert_int_equal(seen(b, "mx1", &dane, NOW + 2 * HOUR + i), RATCHET_SAME);
    }
    assert_int_equal(drop(b, "mx1", &plain, NOW + 4 * HOUR), RATCHET_DROPPED);
    ratchet_book_free(b);
}

static void test_accept(void **state)
{
    struct ratchet_book *b = book_new(10);

    seen(b, "mx1", &dane, NOW);
    seen(b, "mx2", &dane, NOW);
    seen(b, "mx3", &dane, NOW);
    assert_int_equal(ratchet_book_accept(b, "example.org", NULL, NOW), 0);
    drop(b, "mx1", &encrypt, NOW + 1);
    drop(b, "mx2", &plain, NOW + 1);
    assert_int_equal(ratchet_book_accept(b, "example.net", NULL, NOW + 2), 0);
    assert_int_equal(ratchet_book_accept(b, "example.org", "mx3", NOW + 2), 0);
    assert_int_equal(ratchet_book_accept(b, "example.org", "mx2", NOW + 2), 1);
    assert_int_equal(view_of("example.org", "mx2")->memory.best.level, CONF_LEVEL_NONE);
    assert_int_equal(view_of("example.org", "mx1")->memory.best.level, CONF_LEVEL_DANE);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_NONE);
    assert_int_equal(ratchet_book_accept(b, "example.org", NULL, NOW + 3), 1);
    const struct ratchet_entry *e = entry(b, "example.org", "mx1");
    assert_int_equal(e->best.level, CONF_LEVEL_ENCRYPT);
    assert_int_equal(e->since, NOW + 3);
    assert_int_equal(ratchet_book_dropped(b), 0);
    /* What was reported before the worker saw that is no drop any more. */
    assert_int_equal(drop(b, "mx1", &encrypt, NOW + 4), RATCHET_SAME);
    assert_false(e->dropped);
    /* Less than what was accepted is. */
    assert_int_equal(drop(b, "mx1", &plain, NOW + 5), RATCHET_DROPPED);
    ratchet_book_free(b);
}

static void test_new_hosts_are_held_to_the_weakest(void **state)
{
    struct ratchet_book *b = book_new(10);

    assert_int_equal(drop(b, "mx9", &plain, NOW), RATCHET_REFUSED); /* of what? */
    seen(b, "mx2", &encrypt, NOW);
    seen(b, "mx1", &dane, NOW + 1);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_ENCRYPT);
    assert_int_equal(drop(b, "mx3", &plain, NOW + 2), RATCHET_DROPPED);
    const struct ratchet_entry *e = entry(b, "example.org", "mx3");
    assert_true(e->lent && e->dropped);
    assert_int_equal(e->best.level, CONF_LEVEL_ENCRYPT);
    assert_int_equal(e->last, NOW + 1); /* as long as any of them counts */
    /* What it is held to is nothing that others are held to: mx2's own rises, and so do they. */
    assert_int_equal(seen(b, "mx2", &sts, NOW + 3), RATCHET_RAISED);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_VERIFY);
    /* It has what it was held to: that is its own now. */
    assert_int_equal(seen(b, "mx3", &encrypt, NOW + 4), RATCHET_RESTORED);
    assert_false(e->lent || e->dropped);
    assert_int_equal(e->since, NOW + 4);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_ENCRYPT);
    ratchet_book_free(b);
}

/* Whoever forges MX records names as many weak hosts as he likes: the real ones are not forgotten
 * for them, and what new ones are held to does not sink. */
static void test_forged_hosts_are_many(void **state)
{
    struct ratchet_book *b = book_new(1000);
    char host[16];

    seen(b, "mx1", &dane, NOW);
    seen(b, "mx2", &dane, NOW);
    for (int i = 0; i < 100; i++) {
        snprintf(host, sizeof(host), "forged%d", i);
        assert_int_equal(drop(b, host, &plain, NOW + i), RATCHET_DROPPED);
        assert_int_equal(seen(b, host, &plain, NOW + i), RATCHET_SAME); /* under warn */
    }
    assert_int_equal(ratchet_book_len(b), 2 + RATCHET_LENT_MAX);
    assert_int_equal(ratchet_book_dropped(b), RATCHET_LENT_MAX);
    assert_non_null(entry(b, "example.org", "mx1"));
    assert_non_null(entry(b, "example.org", "mx2"));
    assert_non_null(entry(b, "example.org", host));
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_DANE);
    /* Also where nothing told of the drop before, or a route that can find no more has a message
     * go. */
    assert_int_equal(seen(b, "forged", &encrypt, NOW + 200), RATCHET_NEW);
    assert_true(entry(b, "example.org", "forged")->lent);
    assert_false(entry(b, "example.org", "forged")->dropped);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_DANE);
    assert_int_equal(ratchet_book_len(b), 2 + RATCHET_LENT_MAX);
    ratchet_book_free(b);
}

/* In a full book the lent ones go first, and one takes no place from a host that has dropped. */
static void test_lent_ones_go_first(void **state)
{
    struct ratchet_book *b = book_new(3);
    const struct ratchet_entry *e;

    ratchet_book_seen(b, "a.example", "mx", &dane, NOW, &e);
    ratchet_book_seen(b, "b.example", "mx", &dane, NOW + 1, &e);
    ratchet_book_drop(b, "b.example", "forged", &plain, NOW + 2, &e);
    ratchet_book_seen(b, "c.example", "mx", &dane, NOW + 3, &e);
    assert_null(entry(b, "b.example", "forged"));
    assert_non_null(entry(b, "a.example", "mx"));
    ratchet_book_drop(b, "a.example", "mx", &plain, NOW + 4, &e);
    ratchet_book_drop(b, "b.example", "mx", &plain, NOW + 4, &e);
    ratchet_book_drop(b, "c.example", "mx", &plain, NOW + 4, &e);
    assert_int_equal(ratchet_book_drop(b, "b.example", "forged", &plain, NOW + 5, &e),
                     RATCHET_REFUSED);
    assert_int_equal(ratchet_book_len(b), 3);
    ratchet_book_free(b);
}

/* A host whose own memory is too old is as a new one. */
static void test_expired_host_among_others(void **state)
{
    struct ratchet_book *b = book_new(10);

    ratchet_book_expiry(b, 100);
    seen(b, "mx1", &plain, NOW);
    seen(b, "mx2", &dane, NOW + 101); /* mx1 does not count any more */
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_DANE);
    assert_int_equal(drop(b, "mx1", &plain, NOW + 102), RATCHET_DROPPED);
    assert_true(entry(b, "example.org", "mx1")->lent);
    assert_int_equal(entry(b, "example.org", "mx1")->best.level, CONF_LEVEL_DANE);
    assert_int_equal(seen(b, "mx1", &plain, NOW + 103), RATCHET_SAME);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_DANE);
    ratchet_book_free(b);
}

static void test_expiry(void **state)
{
    struct ratchet_book *b = book_new(10);

    ratchet_book_expiry(b, 100);
    seen(b, "mx2", &encrypt, NOW);
    seen(b, "mx1", &dane, NOW);
    drop(b, "mx1", &plain, NOW + 1);
    assert_int_equal(seen(b, "mx1", &plain, NOW + 100), RATCHET_SAME);
    assert_int_equal(seen(b, "mx1", &plain, NOW + 101), RATCHET_NEW);
    assert_int_equal(entry(b, "example.org", "mx1")->best.level, CONF_LEVEL_NONE);
    assert_false(entry(b, "example.org", "mx1")->lent);
    assert_int_equal(ratchet_book_dropped(b), 0);
    /* mx2 is over too: the weakest is of those that count. */
    seen(b, "mx1", &dane, NOW + 102);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_DANE);
    ratchet_book_free(b);
}

static void test_bounds(void **state)
{
    struct ratchet_book *b = book_new(3);
    const struct ratchet_entry *e;

    ratchet_book_expiry(b, 1000);
    ratchet_book_seen(b, "a.example", "mx", &dane, NOW, &e);
    ratchet_book_seen(b, "b.example", "mx", &dane, NOW + 1, &e);
    ratchet_book_seen(b, "c.example", "mx", &dane, NOW + 2, &e);
    ratchet_book_drop(b, "a.example", "mx", &plain, NOW + 3, &e);
    ratchet_book_seen(b, "b.example", "mx", &dane, NOW + 4, &e);
    /* c is the one used least recently. */
    assert_int_equal(ratchet_book_seen(b, "d.example", "mx", &dane, NOW + 5, &e), RATCHET_NEW);
    assert_null(entry(b, "c.example", "mx"));
    assert_false(view_of("c.example", "mx")->memory.known);
    assert_false(view_of("c.example", NULL)->memory.known);
    assert_int_equal(ratchet_book_evicted(b), 1);
    /* a would be next, and has dropped: b goes. */
    ratchet_book_seen(b, "e.example", "mx", &dane, NOW + 6, &e);
    assert_null(entry(b, "b.example", "mx"));
    assert_non_null(entry(b, "a.example", "mx"));
    /* Where all have, nobody comes in, until one is too old to hold anything. */
    ratchet_book_drop(b, "d.example", "mx", &plain, NOW + 7, &e);
    ratchet_book_drop(b, "e.example", "mx", &plain, NOW + 7, &e);
    assert_int_equal(ratchet_book_seen(b, "f.example", "mx", &dane, NOW + 8, &e), RATCHET_REFUSED);
    assert_null(e);
    assert_int_equal(ratchet_book_len(b), 3);
    assert_int_equal(ratchet_book_seen(b, "f.example", "mx", &dane, NOW + 1001, &e), RATCHET_NEW);
    assert_null(entry(b, "a.example", "mx"));
    assert_int_equal(ratchet_book_dropped(b), 2);
    ratchet_book_free(b);
}

static void test_hosts_of_one_destination(void **state)
{
    struct ratchet_book *b = book_new(1000);
    const struct ratchet_entry *e;
    char host[16];

    ratchet_book_seen(b, "first.example", "mx", &dane, NOW, &e);
    for (int i = 0; i < 2 * RATCHET_HOSTS_MAX; i++) {
        snprintf(host, sizeof(host), "mx%d", i);
        assert_int_equal(seen(b, host, &encrypt, NOW + i), RATCHET_NEW);
    }
    /* Its own oldest ones went, nobody else's. */
    assert_int_equal(ratchet_book_len(b), RATCHET_HOSTS_MAX + 1);
    assert_non_null(entry(b, "first.example", "mx"));
    assert_null(entry(b, "example.org", "mx0"));
    assert_non_null(entry(b, "example.org", host));
    assert_int_equal(ratchet_book_clear(b, "example.org", host, NOW), 1);
    assert_int_equal(ratchet_book_clear(b, "example.org", NULL, NOW), RATCHET_HOSTS_MAX - 1);
    assert_false(view_of("example.org", NULL)->memory.known);
    assert_int_equal(ratchet_book_clear(b, NULL, NULL, NOW), 1);
    assert_int_equal(ratchet_book_len(b), 0);
    ratchet_book_free(b);
}

static void test_names(void **state)
{
    struct ratchet_book *b = book_new(10);
    const struct ratchet_entry *e;
    char name[RATCHET_NAME_MAX + 2];

    memset(name, 'a', sizeof(name));
    name[RATCHET_NAME_MAX] = '\0';
    assert_int_equal(ratchet_book_seen(b, name, name, &dane, NOW, &e), RATCHET_NEW);
    name[RATCHET_NAME_MAX] = 'a';
    name[RATCHET_NAME_MAX + 1] = '\0';
    const char *const bad[] = {"", " ", "a b", "a\n", "\x7f", "h\xc3\xa9", name};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(ratchet_book_seen(b, bad[i], "mx", &dane, NOW, &e), RATCHET_REFUSED);
        assert_int_equal(ratchet_book_seen(b, "a.example", bad[i], &dane, NOW, &e),
                         RATCHET_REFUSED);
    }
    assert_int_equal(ratchet_book_len(b), 1);
    ratchet_book_free(b);
}

/* --- the file --- */

static char *written(const struct ratchet_book *b)
{
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(ratchet_file_write(b, &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    char *text = strdup((const char *)buf_span(&out).ptr);
    buf_release(&out);
    assert_non_null(text);
    return text;
}

static int read_back(const char *text, struct ratchet_book *b, char why[128])
{
    why[0] = '\0';
    return ratchet_file_parse(span_str(text), b, why, 128);
}

static struct ratchet_book *sample(void)
{
    struct ratchet_book *b = book_new(100);
    const struct ratchet_entry *e;

    seen(b, "mx2", &sts, NOW);
    seen(b, "mx1", &dane, NOW + 1);
    drop(b, "mx1", &encrypt, NOW + 2);
    drop(b, "mx3", &plain, NOW + 3);
    ratchet_book_seen(b, "hop.example:25", "hop.example:25", &routes, NOW + 4, &e);
    return b;
}

static const char sample_lines[] =
    "example.org mx2 verify sts 1000000 1000000\n"
    "example.org mx1 dane dane 1000001 1000001 dropped encrypt none 1000002 1000002 1\n"
    "example.org mx3 verify sts 1000000 1000001 lent dropped plaintext none 1000003 1000003 1\n"
    "hop.example:25 hop.example:25 verify route 1000004 1000004\n";

static void test_file_round_trip(void **state)
{
    struct ratchet_book *b = sample(), *again;
    char *first = written(b), *second;
    char why[128];

    assert_memory_equal(first, "postern ratchet 1\n", 18);
    assert_memory_equal(first + 18, sample_lines, sizeof(sample_lines) - 1);
    assert_memory_equal(first + 18 + sizeof(sample_lines) - 1, "sum ", 4);
    ratchet_book_free(b);
    again = book_new(100);
    assert_int_equal(read_back(first, again, why), ERR_OK);
    assert_int_equal(ratchet_book_len(again), 4);
    assert_int_equal(ratchet_book_dropped(again), 2);
    second = written(again);
    assert_string_equal(first, second);
    /* Workers see the same, and what was dropped is told again once it is over. */
    assert_true(view_of("example.org", "mx1")->dropped);
    assert_int_equal(view_of("example.org", NULL)->memory.best.level, CONF_LEVEL_VERIFY);
    assert_int_equal(seen(again, "mx1", &dane, NOW + 9), RATCHET_RESTORED);
    ratchet_book_free(again);
    free(first);
    free(second);
}

static void test_empty_file(void **state)
{
    struct ratchet_book *b = book_new(1);
    char *text = written(b);
    char why[128];

    assert_int_equal(read_back(text, b, why), ERR_OK);
    assert_int_equal(ratchet_book_len(b), 0);
    free(text);
    ratchet_book_free(b);
}

/* Any byte of it changed, and any number of them missing at its end. */
static void test_damage_is_found(void **state)
{
    struct ratchet_book *b = sample();
    char *text = written(b), why[128];
    size_t len = strlen(text);

    ratchet_book_free(b);
    for (size_t i = 0; i < len; i++) {
        text[i] ^= 1;
        b = book_new(100);
        assert_int_equal(read_back(text, b, why), ERR_SYNTAX);
        assert_true(why[0] != '\0');
        ratchet_book_free(b);
        text[i] ^= 1;
        b = book_new(100);
        assert_int_equal(ratchet_file_parse(span_make(text, i), b, why, sizeof(why)), ERR_SYNTAX);
        ratchet_book_free(b);
    }
    free(text);
}

static const char *const bad_lines[] = {
    "\n",
    "a mx dane dane 1 1",
    "a mx dane dane 1\n",
    "a mx dane dane 1 1 \n",
    "a mx dane dane 1 1 more\n",
    "a  mx dane dane 1 1\n",
    "a mx may none 1 1\n",
    "a mx none none 1 1\n",
    "a mx auto none 1 1\n",
    "a mx dane what 1 1\n",
    "a mx dane dane -1 1\n",
    "a mx dane dane 1 9223372036854775808\n",
    "a mx dane dane 1 1 dropped\n",
    "a mx dane dane 1 1 dropped encrypt none 1 1\n",
    "a mx dane dane 1 1 dropped encrypt none 1 1 1 1\n",
    "a mx dane dane 1 1 dropped encrypt none 1 1 1 lent\n",
    "a mx dane dane 1 1 lent lent\n",
    "a mx dane dane 1 1\na mx dane dane 1 1\n",
    "a mx1 dane dane 1 1\na mx2 dane dane 1 1\na mx3 dane dane 1 1\n", /* one too many */
    "h\xc3\xa9 mx dane dane 1 1\n",
};

static void test_bad_lines(void **state)
{
    char why[128];

    for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
        struct ratchet_book *b = book_new(2);
        why[0] = '\0';
        if (ratchet_file_lines(span_str(bad_lines[i]), b, why, sizeof(why)) != ERR_SYNTAX ||
            strncmp(why, "line ", 5) != 0)
            fail_msg("\"%s\": %s", bad_lines[i], why);
        ratchet_book_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_is_kept),
        cmocka_unit_test(test_a_route_s_own_level),
        cmocka_unit_test(test_a_drop_is_told_and_ends),
        cmocka_unit_test(test_accept),
        cmocka_unit_test(test_new_hosts_are_held_to_the_weakest),
        cmocka_unit_test(test_forged_hosts_are_many),
        cmocka_unit_test(test_lent_ones_go_first),
        cmocka_unit_test(test_expired_host_among_others),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_hosts_of_one_destination),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_file_round_trip),
        cmocka_unit_test(test_empty_file),
        cmocka_unit_test(test_damage_is_found),
        cmocka_unit_test(test_bad_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
