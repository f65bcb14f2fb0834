/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that a worker wrote, which may be taken over: the supervisor must make sense of any bytes.
 */
#include "admin_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

static json_t *rows_of(enum channel_kind kind, const void *bytes, size_t len, uint64_t number,
                       size_t *ret_added)
{
    json_t *array = json_array();
    int fd = memfd_create("rows", MFD_CLOEXEC);

    assert_int_equal(write(fd, bytes, len), len);
    *ret_added = admin_rows_json(array, kind, "worker/3", fd, number);
    close(fd);
    return array;
}

static void rows_become_objects(void **state)
{
    struct channel_session rows[2] = {
        {.id = "a", .helo = "client.example", .tls = 1, .messages = 3}, {.id = "b"}};
    size_t added;
    json_t *array = rows_of(CHANNEL_SESSIONS, rows, sizeof(rows), 2, &added);
    const json_t *first = json_array_get(array, 0);

    assert_int_equal(added, 2);
    assert_int_equal(json_array_size(array), 2);
    assert_string_equal(json_string_value(json_object_get(first, "helo")), "client.example");
    assert_string_equal(json_string_value(json_object_get(first, "worker")), "worker/3");
    assert_int_equal(json_integer_value(json_object_get(first, "messages")), 3);
    assert_true(json_is_true(json_object_get(first, "tls")));
    json_decref(array);
}

static void garbage_is_made_harmless(void **state)
{
    struct channel_session row;
    struct channel_host host = {.host = "a\x1b[2Jb", .last_error = "\xff\xfe\"\n"};
    size_t added;
    json_t *array;
    char *text;

    memset(&row, 0xfe, sizeof(row)); /* no text ends, no byte is ASCII */
    array = rows_of(CHANNEL_SESSIONS, &row, sizeof(row), 1, &added);
    assert_int_equal(added, 1);
    text = json_dumps(array, 0);
    for (const char *c = text; *c; c++)
        assert_in_range(*c, 0x20, 0x7e);
    free(text);
    json_decref(array);
    array = rows_of(CHANNEL_HOSTS, &host, sizeof(host), 1, &added);
    assert_string_equal(json_string_value(json_object_get(json_array_get(array, 0), "host")),
                        "a?[2Jb");
    assert_string_equal(json_string_value(json_object_get(json_array_get(array, 0), "last_error")),
                        "??\"?");
    json_decref(array);
}

static void a_claim_beyond_the_file_ends_with_it(void **state)
{
    struct channel_host rows[2] = {{.host = "a"}, {.host = "b"}};
    size_t added;
    json_t *array = rows_of(CHANNEL_HOSTS, rows, sizeof(rows) - 1, UINT64_MAX, &added);

    assert_int_equal(added, 1);
    json_decref(array);
    array = rows_of(CHANNEL_HOSTS, rows, sizeof(rows), 1, &added);
    assert_int_equal(json_array_size(array), 1);
    json_decref(array);
}

/* The object that a worker claims to have written; NULL where it is refused. */
static json_t *object_of(const char *text, uint64_t claimed)
{
    int fd = memfd_create("object", MFD_CLOEXEC);
    size_t len = strlen(text);

    assert_int_equal(write(fd, text, len), len);
    json_t *json = admin_object_json(fd, claimed);
    close(fd);
    return json;
}

static void an_object_is_taken_as_it_is(void **state)
{
    const char *text = "{\"hosts\": [{\"tlsa\": {\"records\": [{\"usable\": true}]}}]}";
    json_t *json = object_of(text, strlen(text));

    assert_non_null(json_object_get(json, "hosts"));
    json_decref(json);
}

static void what_is_no_sane_object_is_refused(void **state)
{
    static const char *const texts[] = {"[]",
                                        "1",
                                        "{\"a\": 1",
                                        "{\"a\": \"\\u001b[2J\"}",
                                        "{\"\\u0007\": 1}",
                                        "{\"a\": [\"\\u00e9\"]}",
                                        "{\"a\": [[[[[[[[[1]]]]]]]]]}",
                                        "{\"a\": 1}{\"b\": 2}"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_null(object_of(texts[i], strlen(texts[i])));
    assert_null(object_of("{\"a\": 1}", 0));
    assert_null(object_of("{\"a\": 1}", 9));
    assert_null(object_of("{\"a\": 1}", UINT64_MAX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_become_objects),
        cmocka_unit_test(garbage_is_made_harmless),
        cmocka_unit_test(a_claim_beyond_the_file_ends_with_it),
        cmocka_unit_test(an_object_is_taken_as_it_is),
        cmocka_unit_test(what_is_no_sane_object_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
