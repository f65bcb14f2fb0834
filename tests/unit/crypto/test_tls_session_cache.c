/* SPDX-License-Identifier: Apache-2.0 */
#include "test_crypto.h"

#include "tls_session_cache.h"

#include <stdbool.h>
#include <time.h>

static SSL_SESSION *session_make(const char *id)
{
    static const uint8_t master[48] = {1};
    SSL_SESSION *s = SSL_SESSION_new();

    assert_non_null(s);
    SSL_SESSION_set_protocol_version(s, TLS1_2_VERSION);
    SSL_SESSION_set1_id(s, (const uint8_t *)id, (unsigned)strlen(id));
    SSL_SESSION_set1_master_key(s, master, sizeof(master));
    tls_session_set_time(s, time(NULL));
    SSL_SESSION_set_timeout(s, 300);
    return s;
}

static void put(struct tls_session_cache *c, uint8_t key, const char *id)
{
    uint8_t whole[32] = {0, 0, 0, 0, key}; /* all in one bucket */
    SSL_SESSION *s = session_make(id);

    tls_session_cache_put(c, whole, s);
    SSL_SESSION_free(s);
}

static SSL_SESSION *get(struct tls_session_cache *c, uint8_t key)
{
    return tls_session_cache_get(c, (uint8_t[32]){0, 0, 0, 0, key});
}

static bool has(struct tls_session_cache *c, uint8_t key, const char *id)
{
    unsigned len;
    SSL_SESSION *s = get(c, key);
    const uint8_t *found = s ? SSL_SESSION_get_id(s, &len) : NULL;

    return found && len == strlen(id) && memcmp(found, id, len) == 0;
}

static void the_newest_of_a_key_is_kept(void **state)
{
    struct tls_session_cache *c;

    assert_int_equal(tls_session_cache_new(3, &c), ERR_OK);
    assert_null(get(c, 1));
    put(c, 1, "one");
    put(c, 2, "two");
    put(c, 1, "newer");
    assert_true(has(c, 1, "newer"));
    assert_true(has(c, 2, "two"));
    tls_session_cache_drop(c, (uint8_t[32]){0, 0, 0, 0, 1});
    tls_session_cache_drop(c, (uint8_t[32]){0, 0, 0, 0, 9});
    assert_null(get(c, 1));
    tls_session_cache_free(c);
}

static void the_least_recently_used_goes_first(void **state)
{
    struct tls_session_cache *c;

    assert_int_equal(tls_session_cache_new(3, &c), ERR_OK);
    put(c, 1, "a");
    put(c, 2, "b");
    put(c, 3, "c");
    assert_true(has(c, 1, "a")); /* 2 is the oldest use now */
    put(c, 4, "d");
    assert_null(get(c, 2));
    assert_true(has(c, 1, "a") && has(c, 3, "c") && has(c, 4, "d"));
    for (uint8_t key = 10; key < 100; key++)
        put(c, key, "x");
    assert_true(has(c, 99, "x") && has(c, 98, "x") && has(c, 97, "x"));
    assert_null(get(c, 96));
    tls_session_cache_free(c);
}

static void the_expired_are_not_offered(void **state)
{
    struct tls_session_cache *c;
    SSL_SESSION *s = session_make("old");

    assert_int_equal(tls_session_cache_new(3, &c), ERR_OK);
    tls_session_set_time(s, time(NULL) - 400);
    tls_session_cache_put(c, (uint8_t[32]){0, 0, 0, 0, 1}, s);
    SSL_SESSION_free(s);
    assert_null(get(c, 1));
    tls_session_cache_free(c);
}

static void a_cache_of_none_keeps_none(void **state)
{
    struct tls_session_cache *c;

    assert_int_equal(tls_session_cache_new(0, &c), ERR_OK);
    put(c, 1, "a");
    assert_null(get(c, 1));
    tls_session_cache_free(c);
    tls_session_cache_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_of_a_key_is_kept),
        cmocka_unit_test(the_least_recently_used_goes_first),
        cmocka_unit_test(the_expired_are_not_offered),
        cmocka_unit_test(a_cache_of_none_keeps_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
