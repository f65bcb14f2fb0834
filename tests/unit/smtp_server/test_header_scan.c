/* SPDX-License-Identifier: Apache-2.0 */
/* Does the header's reader count hops, find Message-ID, and stop where the header stops? */
#include "received.h"

#include "cmocka_all.h"

#include <stdio.h>

/* Feeds it in pieces of each size; all must agree. Returns how many bytes were fed to the end. */
static void check(const char *text, enum header_result wanted, unsigned received, const char *id)
{
    const size_t len = strlen(text);

    for (size_t step = 1; step <= len; step++) {
        struct header_scan h;
        enum header_result result = HEADER_MORE;
        header_scan_init(&h, 400, 3);
        for (size_t at = 0; at < len && result == HEADER_MORE; at += step)
            result = header_scan_feed(&h, span_make(text + at, len - at < step ? len - at : step));
        if (result != wanted)
            fail_msg("step %zu: %d for: %s", step, result, text);
        assert_int_equal(h.received, received);
        assert_int_equal(h.message_id_len, strlen(id));
        assert_memory_equal(h.message_id, id, strlen(id));
    }
}

static void test_fields(void **state)
{
    check("Received: a\r\n\tfolded\r\nX-Received: n\r\nMessage-ID: <a@b>\r\n\r\nReceived: body\r\n",
          HEADER_END, 1, "<a@b>");
    check("received : a\r\nMESSAGE-ID:\r\n <a\r\n @b> (x)\r\nMessage-Id: <second@x>\r\n",
          HEADER_MORE, 1, "<a@b>");
    check("Receive: a\r\nReceivedx: b\r\nMessage-ID: none\r\n\r\n", HEADER_END, 0, "");
    check("\r\nReceived: body\r\n", HEADER_END, 0, "");
    check("no header at all\r\nReceived: body\r\n", HEADER_END, 0, "");
    check(" folded first\r\nReceived: x\r\n", HEADER_END, 0, "");
    check("X-AVeryLongNameThatIsLongerThanAny: x\r\nReceived: y\r\n\r\n", HEADER_END, 1, "");
}

/* RFC 5321 section 6.3: loops are stopped. */
static void test_loop(void **state)
{
    check("Received: 1\r\nReceived: 2\r\nReceived: 3\r\n\r\n", HEADER_END, 3, "");
    check("Received: 1\r\nReceived: 2\r\nReceived: 3\r\nReceived: 4\r\n\r\n", HEADER_LOOP, 4, "");
}

static void test_too_big(void **state)
{
    char text[500] = "X: ";

    memset(text + 3, 'x', 450);
    check(text, HEADER_TOO_BIG, 0, "");
}

static void test_long_message_id(void **state)
{
    char text[400] = "Message-ID: <";
    struct header_scan h;

    memset(text + 13, 'x', 380);
    header_scan_init(&h, 1000, 10);
    assert_int_equal(header_scan_feed(&h, span_str(text)), HEADER_MORE);
    assert_int_equal(h.message_id_len, sizeof(h.message_id) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_too_big),
        cmocka_unit_test(test_long_message_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
