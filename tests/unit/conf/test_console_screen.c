/* SPDX-License-Identifier: Apache-2.0 */
/* The console's screen, to the letter, and within its 24 lines of 80 whatever the state is. */
#include "../cmocka_all.h"

#include "console_screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct console_state s;

static int set_up(void **state)
{
    s = (struct console_state){.version = "0.1.0", .hostname = "mx.example.org"};
    return 0;
}

/* Freed with the buffer. */
static char *screen(void)
{
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(console_screen_write(&s, &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    return (char *)out.data;
}

static void address_add(const char *interface, const char *text)
{
    struct console_address *a = &s.addresses[s.addresses_len++];

    snprintf(a->interface, sizeof(a->interface), "%.15s", interface);
    snprintf(a->text, sizeof(a->text), "%.63s", text);
}

static void listener_add(const char *name, const char *address)
{
    struct console_listener *l = &s.listeners[s.listeners_len++];

    snprintf(l->name, sizeof(l->name), "%.63s", name);
    snprintf(l->address, sizeof(l->address), "%.63s", address);
}

static void notice_add(const char *level, const char *text)
{
    struct console_notice *n = &s.notices[s.notices_len++];

    snprintf(n->level, sizeof(n->level), "%.7s", level);
    snprintf(n->text, sizeof(n->text), "%.511s", text);
}

static void a_machine_that_starts(void **state)
{
    char *text = screen();

    assert_string_equal(
        text, "postern 0.1.0                                                    mx.example.org\r\n"
              "State       starting\r\n"
              "Addresses   none\r\n"
              "Mail at     nowhere: the gateway does not answer\r\n"
              "\r\n"
              "\r\n"
              "1 network   2 routes    3 administrator   4 status   5 diagnostics\r\n"
              "7 factory reset   8 restart   9 power off\r\n");
    free(text);
}

static void a_machine_at_work(void **state)
{
    s.health = CONSOLE_READY;
    s.has_password = true;
    s.installable = true;
    snprintf(s.slots, sizeof(s.slots), "0.1.0 runs (slot a), 0.0.9 is in the other");
    address_add("enp0s3", "192.0.2.25/24");
    address_add("enp0s3", "2001:db8::25/64");
    address_add("vlan99", "10.0.99.25/24");
    listener_add("internet", "0.0.0.0:25");
    listener_add("internet6", "[::]:25");
    notice_add("warning",
               "a certificate of partner.example ends on 2026-12-01, which is soon, and the "
               "partner has shown no other");
    notice_add("ok", "postern 0.1.0 ready");
    char *text = screen();
    assert_string_equal(
        text, "postern 0.1.0                                                    mx.example.org\r\n"
              "State       ready\r\n"
              "System      0.1.0 runs (slot a), 0.0.9 is in the other\r\n"
              "Addresses   enp0s3          192.0.2.25/24  2001:db8::25/64\r\n"
              "            vlan99          10.0.99.25/24\r\n"
              "Mail at     internet        0.0.0.0:25\r\n"
              "            internet6       [::]:25\r\n"
              "\r\n"
              "warning: a certificate of partner.example ends on 2026-12-01, which is soon,\r\n"
              "  and the partner has shown no other\r\n"
              "ok: postern 0.1.0 ready\r\n"
              "\r\n"
              "1 network   2 routes    3 administrator   4 status   5 diagnostics\r\n"
              "6 install to disk   7 factory reset   8 restart   9 power off   0 shell\r\n");
    free(text);
}

/* Of each line: printable, and no longer than it may be. */
static size_t lines_check(const char *text)
{
    size_t lines = 0;

    while (*text) {
        size_t len = strcspn(text, "\r\n");
        assert_in_range(len, 0, CONSOLE_COLUMNS);
        for (size_t i = 0; i < len; i++)
            assert_in_range(text[i], ' ', '~');
        assert_int_equal(strncmp(text + len, "\r\n", 2), 0);
        text += len + 2;
        lines++;
    }
    return lines;
}

static void there_is_always_room(void **state)
{
    static char large[600];

    s.health = CONSOLE_DEGRADED;
    memset(s.hostname, 'h', sizeof(s.hostname) - 1);
    memset(s.version, 'v', sizeof(s.version) - 1);
    memset(s.slots, 's', sizeof(s.slots) - 1);
    memset(large, 'x', sizeof(large) - 1);
    for (int spaces = 0; spaces < 2; spaces++) {
        for (size_t n = 0; n < 12; n++) {
            char number[32];
            snprintf(number, sizeof(number), "if%zu", n / 3);
            address_add(number, "2001:db8:1234:5678:9abc:def0:1234:5678/128");
            listener_add("name", large);
            notice_add("error", n % 3 == 2 ? "short" : large);
            char *text = screen();
            assert_in_range(lines_check(text), 8, CONSOLE_LINES);
            if (s.notices_len > 7)
                assert_non_null(strstr(text, " more: 4 status\r\n"));
            free(text);
        }
        for (size_t i = 0; i < sizeof(large) - 1; i += 5)
            large[i] = ' ';
        s.addresses_len = s.listeners_len = s.notices_len = 0;
    }
}

static void no_notice_is_lost_without_a_word(void **state)
{
    for (size_t n = 1; n <= 20; n++) {
        char number[32], want[48];
        unsigned more = 0;
        size_t shown = 0;

        snprintf(number, sizeof(number), "notice %zu.", n);
        notice_add("error", number);
        char *text = screen();
        for (size_t i = 1; i <= n; i++) {
            snprintf(want, sizeof(want), "error: notice %zu.\r\n", i);
            shown += strstr(text, want) != NULL;
        }
        const char *at = strstr(text, "  and ");
        if (at)
            assert_int_equal(sscanf(at, "  and %u more", &more), 1);
        assert_int_equal(shown + more, n);
        assert_int_equal(more > 0, n > 7);
        free(text);
    }
}

static void what_comes_from_outside_is_printable(void **state)
{
    snprintf(s.hostname, sizeof(s.hostname), "a\x1b[2Jb\r\nc");
    notice_add("error", "on\x1b]0;title\x07 a stick\nerror: fake\xc2\x9b");
    listener_add("x\x7f", "y\t");
    address_add("e\x01", "1\x02");
    char *text = screen();
    (void)lines_check(text);
    assert_non_null(strstr(text, "a?[2Jb??c\r\n"));
    assert_non_null(strstr(text, "error: on?]0;title? a stick?error: fake??\r\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_machine_that_starts, set_up),
        cmocka_unit_test_setup(a_machine_at_work, set_up),
        cmocka_unit_test_setup(there_is_always_room, set_up),
        cmocka_unit_test_setup(no_notice_is_lost_without_a_word, set_up),
        cmocka_unit_test_setup(what_comes_from_outside_is_printable, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
