/* SPDX-License-Identifier: Apache-2.0 */
/* Is what posternctl asks of the ratchet read as it was meant, and nothing else? And does the list
 * have what has dropped first, within its bound? */
#include "ratchet_show.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>

static void test_requests(void **state)
{
    static const struct {
        const char *verb, *destination, *host;
        bool good;
    } cells[] = {
        {"list", "", "", true},
        {"list", "example.org", "", true},
        {"accept", "a.example", "", true},
        {"accept", "a.example", "mx", true},
        {"accept", "", "", false},
        {"accept", "", "mx", false},
        {"clear", "", "", true},
        {"clear", "a.example", "mx", true},
        {"forget", "a.example", "", false},
        {"", "", "", false},
        {"list", "a\nb", "", false},
    };

    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        struct ratchet_request r;
        char text[64];
        assert_true(ratchet_request_write(cells[i].verb, cells[i].destination, cells[i].host, text,
                                          sizeof(text)));
        assert_int_equal(ratchet_request_read(text, &r), cells[i].good);
        if (!cells[i].good)
            continue;
        assert_string_equal(r.destination ? r.destination : "", cells[i].destination);
        assert_string_equal(r.host ? r.host : "", cells[i].host);
        assert_int_equal(r.verb, cells[i].verb[0] == 'l'   ? RATCHET_LIST
                                 : cells[i].verb[0] == 'a' ? RATCHET_ACCEPT
                                                           : RATCHET_CLEAR);
    }
    char small[16];
    assert_false(ratchet_request_write("accept", "a.example", "mx", small, sizeof(small)));
}

static void test_half_requests(void **state)
{
    const char *const texts[] = {"", "list", "list\n", "clear\na.example", "list\n\n\n"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ratchet_request r;
        char text[32];
        snprintf(text, sizeof(text), "%s", texts[i]);
        if (ratchet_request_read(text, &r))
            fail_msg("\"%s\" is taken", texts[i]);
    }
}

static void changed(void *user, const struct ratchet_entry *e, bool gone)
{
}

static void weakest(void *user, const char *destination, const struct ratchet_memory *memory)
{
}

static const struct ratchet_book_events events = {changed, weakest};
static const struct ratchet_had dane = {CONF_LEVEL_DANE, TLS_SOURCE_DANE};
static const struct ratchet_had plain = {CONF_LEVEL_NONE, TLS_SOURCE_NONE};

static struct ratchet_book *book_new(unsigned max)
{
    static const uint64_t key[2] = {1, 2};
    struct ratchet_book *b;

    assert_int_equal(ratchet_book_new(max, key, &events, NULL, &b), ERR_OK);
    ratchet_book_expiry(b, 1000);
    return b;
}

static const char *host_at(const json_t *list, size_t i)
{
    return json_string_value(
        json_object_get(json_array_get(json_object_get(list, "hosts"), i), "host"));
}

static void test_list(void **state)
{
    struct ratchet_book *b = book_new(10);
    const struct ratchet_entry *e;

    ratchet_book_seen(b, "example.org", "mx1.hoster.example", &dane, 100, &e);
    ratchet_book_seen(b, "example.org", "mx2.hoster.example", &dane, 200, &e);
    ratchet_book_seen(b, "sub.example.org", "mx3.other.example", &dane, 300, &e);
    ratchet_book_seen(b, "notexample.org", "mx4.other.example", &dane, 1201, &e);
    ratchet_book_drop(b, "example.org", "mx1.hoster.example", &plain, 400, &e);
    json_t *list = ratchet_show_list(b, NULL, 1201, 1000);
    assert_int_equal(json_array_size(json_object_get(list, "hosts")), 4);
    assert_string_equal(host_at(list, 0), "mx1.hoster.example");
    assert_string_equal(host_at(list, 1), "mx4.other.example");
    assert_string_equal(host_at(list, 2), "mx3.other.example");
    assert_string_equal(host_at(list, 3), "mx2.hoster.example");
    const json_t *first = json_array_get(json_object_get(list, "hosts"), 0);
    const json_t *drop = json_object_get(first, "drop");
    assert_string_equal(json_string_value(json_object_get(first, "level")), "dane");
    assert_string_equal(json_string_value(json_object_get(first, "last")), "1970-01-01T00:01Z");
    assert_true(json_is_true(json_object_get(first, "expired")));
    assert_string_equal(json_string_value(json_object_get(drop, "level")), "plaintext");
    assert_int_equal(json_integer_value(json_object_get(drop, "connections")), 1);
    assert_true(
        json_is_null(json_object_get(json_array_get(json_object_get(list, "hosts"), 1), "drop")));
    json_decref(list);
    /* A domain, those below it, and the same of hosts. */
    list = ratchet_show_list(b, "example.org", 1201, 1000);
    assert_int_equal(json_array_size(json_object_get(list, "hosts")), 3);
    json_decref(list);
    list = ratchet_show_list(b, "hoster.example", 1201, 1000);
    assert_int_equal(json_array_size(json_object_get(list, "hosts")), 2);
    assert_int_equal(json_integer_value(json_object_get(list, "remembered")), 4);
    json_decref(list);
    ratchet_book_free(b);
}

static void test_list_is_bounded(void **state)
{
    struct ratchet_book *b = book_new(RATCHET_SHOWN_MAX + 10);
    const struct ratchet_entry *e;
    char name[RATCHET_NAME_MAX + 1];

    /* The longest names: the answer must fit what the supervisor takes. */
    for (unsigned i = 0; i < RATCHET_SHOWN_MAX + 10; i++) {
        memset(name, 'a', sizeof(name) - 1);
        name[sizeof(name) - 1] = '\0';
        snprintf(name, 12, "d%010u", i);
        name[11] = 'a';
        assert_int_equal(ratchet_book_seen(b, name, name, &dane, 100, &e), RATCHET_NEW);
        ratchet_book_drop(b, name, name, &plain, 200, &e);
    }
    json_t *list = ratchet_show_list(b, NULL, 300, 1000);
    assert_int_equal(json_array_size(json_object_get(list, "hosts")), RATCHET_SHOWN_MAX);
    assert_int_equal(json_integer_value(json_object_get(list, "omitted")), 10);
    assert_in_range(json_dumpb(list, NULL, 0, JSON_COMPACT), 1, 1 << 20);
    json_decref(list);
    ratchet_book_free(b);
}

static void test_done(void **state)
{
    const struct ratchet_request accept = {RATCHET_ACCEPT, "example.org", "mx1"};
    const struct ratchet_request clear = {RATCHET_CLEAR, NULL, NULL};
    json_t *json = ratchet_show_done(&accept, 1);

    assert_string_equal(json_string_value(json_object_get(json, "done")), "accept");
    assert_int_equal(json_integer_value(json_object_get(json, "hosts")), 1);
    json_decref(json);
    json = ratchet_show_done(&accept, 0);
    assert_non_null(strstr(json_string_value(json_object_get(json, "error")),
                           "mx1 of example.org has not dropped"));
    assert_int_equal(json_integer_value(json_object_get(json, "exit")), 65);
    json_decref(json);
    json = ratchet_show_done(&clear, 0);
    assert_non_null(
        strstr(json_string_value(json_object_get(json, "error")), "nothing is remembered"));
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests), cmocka_unit_test(test_half_requests),
        cmocka_unit_test(test_list),     cmocka_unit_test(test_list_is_bounded),
        cmocka_unit_test(test_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
