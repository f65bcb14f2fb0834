/* SPDX-License-Identifier: Apache-2.0 */
/* Is a PROXY header read as proxy-protocol.txt says, byte by byte too, and nothing else taken for
 * one? */
#include "proxy_header.h"

#include "cmocka_all.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

struct row {
    const char *data;
    size_t len;
    const char *source, *destination; /* NULL: local */
};
#define ROW(bytes, source, destination)                                                            \
    {                                                                                              \
        bytes, sizeof(bytes) - 1, source, destination                                              \
    }

static void test_good(void **state)
{
    static const struct row rows[] = {
        ROW("PROXY TCP4 192.0.2.9 198.51.100.1 1234 25\r\n", "192.0.2.9:1234", "198.51.100.1:25"),
        ROW("PROXY TCP6 2001:db8::9 2001:db8::1 1234 25\r\n", "[2001:db8::9]:1234",
            "[2001:db8::1]:25"),
        ROW("PROXY UNKNOWN\r\n", NULL, NULL),
        ROW("PROXY UNKNOWN what ever it says\r\n", NULL, NULL),
        ROW(V2 "\x21\x11\0\x0c\xc0\0\x02\x09\xc6\x33\x64\x01\x04\xd2\0\x19", "192.0.2.9:1234",
            "198.51.100.1:25"),
        /* With a TLV behind, which is skipped. */
        ROW(V2 "\x21\x11\0\x10\xc0\0\x02\x09\xc6\x33\x64\x01\x04\xd2\0\x19\x04\0\x01x",
            "192.0.2.9:1234", "198.51.100.1:25"),
        /* IPv4-mapped: what prefixes are written for. */
        ROW(V2 "\x21\x21\0\x24\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\x02\x09"
               "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\x01\x04\xd2\0\x19",
            "192.0.2.9:1234", "198.51.100.1:25"),
        ROW(V2 "\x20\0\0\0", NULL, NULL),
        ROW(V2 "\x21\0\0\x02xx", NULL, NULL),
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy_header header;
        char text[NET_ADDR_TEXT];
        size_t used;
        const uint8_t *data = (const uint8_t *)rows[i].data;
        for (size_t cut = 0; cut < rows[i].len; cut++)
            assert_int_equal(proxy_header_parse(data, cut, &header, &used), ERR_AGAIN);
        assert_int_equal(proxy_header_parse(data, rows[i].len, &header, &used), ERR_OK);
        assert_int_equal(used, rows[i].len);
        assert_int_equal(header.local, rows[i].source == NULL);
        if (!rows[i].source)
            continue;
        assert_string_equal(net_addr_text(&header.source, text), rows[i].source);
        assert_string_equal(net_addr_text(&header.destination, text), rows[i].destination);
    }
}

static void test_bad(void **state)
{
    static const struct row rows[] = {
        ROW("EHLO client.example\r\n", 0, 0),
        ROW("PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n", 0, 0),
        ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", 0, 0),
        ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", 0, 0),
        ROW("PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", 0, 0),
        ROW("PROXY TCP4 2001:db8::1 2001:db8::1 1 2\r\n", 0, 0),
        ROW("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", 0, 0),
        ROW("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rX", 0, 0),
        ROW("PROXY UNKNOWN "
            "3456789012345678901234567890123456789012345678901234567890123456789012345"
            "6789012345678901234567\r\n",
            0, 0),
        ROW(V2 "\x11\x11\0\x0c............", 0, 0),
        ROW(V2 "\x22\x11\0\x0c............", 0, 0),
        ROW(V2 "\x21\x12\0\x0c............", 0, 0),
        ROW(V2 "\x21\x31\0\x0c............", 0, 0),
        ROW(V2 "\x21\x11\0\x0b...........", 0, 0),
        ROW(V2 "\x21\x11\x04\x01", 0, 0),
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy_header header;
        size_t used;
        if (proxy_header_parse((const uint8_t *)rows[i].data, rows[i].len, &header, &used) !=
            ERR_SYNTAX)
            fail_msg("row %zu passed", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
