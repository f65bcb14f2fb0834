/* SPDX-License-Identifier: Apache-2.0 */
/* The menu: does each way through it lead where it should, does nothing change without the
 * administrator's password where there is one, and is nothing done that was not confirmed? */
#include "../cmocka_all.h"

#include "console_menu.h"

#include <stdio.h>
#include <string.h>

static struct console_menu m;
static struct console_answer answer;
static struct console_facts facts;

static int set_up(void **state)
{
    m = (struct console_menu){.step = CONSOLE_STEP_MENU};
    facts = (struct console_facts){.interfaces = "enp0s3 (52:54:00:00:00:03)\n",
                                   .routes = "example.org: mx, TLS auto\n",
                                   .disks = "sda 20 GB\n"};
    return 0;
}

/* Lines up to an empty string at the end; returns the act of the last. */
static enum console_act type(const char *const *lines)
{
    answer.act = CONSOLE_ACT_NONE;
    for (; *lines; lines++) {
        assert_int_equal(answer.act, CONSOLE_ACT_NONE);
        console_menu_feed(&m, *lines, &facts, &answer);
    }
    return answer.act;
}
#define TYPE(...) type((const char *const[]){__VA_ARGS__, NULL})

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ7b0WLzUVV5wyY2qsGYbLHsFq1vbKmYuBv3mJtUO3Uv"

static void network_by_hand(void **state)
{
    assert_int_equal(TYPE("1", "mx.example.org", "enp0s3", "25", "192.0.2.25/24", "192.0.2.1",
                          "2001:db8::25/64", "fe80::1", "192.0.2.53"),
                     CONSOLE_ACT_NONE);
    assert_non_null(strstr(answer.says, "address 192.0.2.25/24, gateway 192.0.2.1,\n"));
    assert_int_equal(TYPE("yes"), CONSOLE_ACT_NETWORK);
    assert_string_equal(m.values.hostname, "mx.example.org");
    assert_string_equal(m.values.interface, "enp0s3");
    assert_string_equal(m.values.vlan, "25");
    assert_string_equal(m.values.address, "192.0.2.25/24");
    assert_string_equal(m.values.gateway, "192.0.2.1");
    assert_string_equal(m.values.address_2, "2001:db8::25/64");
    assert_string_equal(m.values.gateway_2, "fe80::1");
    assert_string_equal(m.values.dns, "192.0.2.53");
    assert_int_equal(m.step, CONSOLE_STEP_PAUSE);
    assert_int_equal(TYPE(""), CONSOLE_ACT_NONE);
    assert_int_equal(m.step, CONSOLE_STEP_MENU);
    assert_string_equal(m.values.hostname, "");
}

static void network_by_dhcp(void **state)
{
    assert_int_equal(TYPE("1"), CONSOLE_ACT_NONE);
    assert_non_null(strstr(answer.says, "enp0s3 (52:54"));
    assert_int_equal(TYPE("", "", "", "", "", "yes"), CONSOLE_ACT_NETWORK);
    assert_string_equal(m.values.address, "");
    assert_string_equal(m.values.interface, "");
}

static void what_is_wrong_is_asked_again(void **state)
{
    static const struct {
        const char *lines[12];
        const char *wrong;
        enum console_step step;
    } cases[] = {
        {{"1"}, "mx example", CONSOLE_STEP_HOSTNAME},
        {{"1", ""}, "eno 1", CONSOLE_STEP_INTERFACE},
        {{"1", "", ""}, "4095", CONSOLE_STEP_VLAN},
        {{"1", "", ""}, "0", CONSOLE_STEP_VLAN},
        {{"1", "", ""}, "1x", CONSOLE_STEP_VLAN},
        {{"1", "", ""}, "-1", CONSOLE_STEP_VLAN},
        {{"1", "", "", ""}, "192.0.2.25", CONSOLE_STEP_ADDRESS},
        {{"1", "", "", "", "192.0.2.25/24"}, "192.0.2", CONSOLE_STEP_GATEWAY},
        {{"1", "", "", "", "192.0.2.25/24", ""}, "x", CONSOLE_STEP_ADDRESS_2},
        {{"1", "", "", "", "192.0.2.25/24", "", "2001:db8::1/64"}, "x", CONSOLE_STEP_GATEWAY_2},
        {{"1", "", "", "", ""}, "dns.example", CONSOLE_STEP_DNS},
        {{"2"}, "*", CONSOLE_STEP_DOMAIN},
        {{"2"}, "remove a b", CONSOLE_STEP_DOMAIN},
        {{"2", "example.org"}, "mail.example.org", CONSOLE_STEP_HOP},
        {{"2", "example.org", "mx"}, "none", CONSOLE_STEP_LEVEL},
        {{"2", "example.org", "mx"}, "much longer than any level is", CONSOLE_STEP_LEVEL},
        {{"3"}, "4", CONSOLE_STEP_ADMIN}, /* there is no key to be shown */
        {{"3", "1"}, "short", CONSOLE_STEP_NEW_PASSWORD},
        {{"3", "2"}, "ssh-rsa AAAA", CONSOLE_STEP_KEY},
        {{"3", "2"}, "command=\"x\" " KEY, CONSOLE_STEP_KEY},
        {{"6"}, "../sda", CONSOLE_STEP_DISK},
    };
    facts.installable = true;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        console_menu_cancel(&m);
        assert_int_equal(type(cases[i].lines), CONSOLE_ACT_NONE);
        assert_int_equal(m.step, cases[i].step);
        assert_int_equal(TYPE(cases[i].wrong), CONSOLE_ACT_NONE);
        if (m.step != cases[i].step || !answer.says[0])
            fail_msg("%s at step %d: step %d, \"%s\"", cases[i].wrong, cases[i].step, m.step,
                     answer.says);
    }
}

static void routes(void **state)
{
    assert_int_equal(TYPE("2"), CONSOLE_ACT_NONE);
    assert_non_null(strstr(answer.says, "example.org: mx, TLS auto"));
    assert_int_equal(TYPE("example.org", "mail.example.org:25", "verify", "yes"),
                     CONSOLE_ACT_ROUTE);
    assert_string_equal(m.values.domain, "example.org");
    assert_string_equal(m.values.next_hop, "mail.example.org:25");
    assert_string_equal(m.values.level, "verify");
    console_menu_cancel(&m);
    assert_int_equal(TYPE("2", "remove example.org"), CONSOLE_ACT_ROUTE_REMOVE);
    assert_string_equal(m.values.domain, "example.org");
    console_menu_cancel(&m);
    assert_int_equal(TYPE("2", ""), CONSOLE_ACT_NONE);
    assert_int_equal(m.step, CONSOLE_STEP_MENU);
}

static void the_administrator(void **state)
{
    assert_int_equal(TYPE("3", "1"), CONSOLE_ACT_NONE);
    assert_true(console_menu_secret(&m));
    assert_int_equal(TYPE("correct horse", "correct horst"), CONSOLE_ACT_NONE);
    assert_int_equal(m.step, CONSOLE_STEP_NEW_PASSWORD);
    assert_string_equal(m.values.secret, "");
    assert_int_equal(TYPE("correct horse"), CONSOLE_ACT_NONE);
    assert_true(console_menu_secret(&m));
    assert_int_equal(TYPE("correct horse"), CONSOLE_ACT_PASSWORD);
    assert_string_equal(m.values.secret, "correct horse");
    console_menu_cancel(&m);
    assert_int_equal(TYPE("3", "2", KEY " anna"), CONSOLE_ACT_KEY);
    assert_string_equal(m.values.key, KEY " anna");
    console_menu_cancel(&m);
    assert_int_equal(TYPE("3", "3"), CONSOLE_ACT_KEYS_REMOVE);
    console_menu_cancel(&m);
    assert_int_equal(TYPE("3", ""), CONSOLE_ACT_NONE);
    assert_int_equal(m.step, CONSOLE_STEP_MENU);
}

static void the_recovery_key(void **state)
{
    facts.recovery_key = true;
    assert_int_equal(TYPE("3"), CONSOLE_ACT_NONE);
    assert_non_null(strstr(answer.says, "4 shows the recovery key"));
    assert_int_equal(TYPE("5"), CONSOLE_ACT_NONE);
    assert_non_null(strstr(answer.says, "1, 2, 3 or 4"));
    assert_int_equal(TYPE("4"), CONSOLE_ACT_RECOVERY_KEY);
    assert_int_equal(m.step, CONSOLE_STEP_WRITTEN_YES);
    assert_int_equal(TYPE("yes"), CONSOLE_ACT_WRITTEN_DOWN);
    assert_int_equal(m.step, CONSOLE_STEP_PAUSE);
    console_menu_cancel(&m);
    assert_int_equal(TYPE("3", "4"), CONSOLE_ACT_RECOVERY_KEY);
    answer.act = CONSOLE_ACT_NONE;
    assert_int_equal(TYPE(""), CONSOLE_ACT_NONE);
    assert_non_null(strstr(answer.says, "Nothing was changed."));
    /* What the screen says of it is for a machine that has one. */
    facts.recovery_key = false;
    console_menu_cancel(&m);
    assert_int_equal(TYPE("3"), CONSOLE_ACT_NONE);
    assert_null(strstr(answer.says, "recovery key"));
}

static void what_shows_only_asks_nobody(void **state)
{
    for (int password = 0; password < 2; password++) {
        facts.has_password = password;
        console_menu_cancel(&m);
        assert_int_equal(TYPE("4"), CONSOLE_ACT_STATUS);
        console_menu_cancel(&m);
        assert_int_equal(TYPE("5"), CONSOLE_ACT_DIAGNOSTICS);
    }
}

static void what_changes_asks_for_the_password(void **state)
{
    static const char *const items[] = {"0", "1", "2", "3", "6", "7", "8", "9"};

    facts.has_password = facts.installable = true;
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        console_menu_cancel(&m);
        assert_int_equal(TYPE(items[i]), CONSOLE_ACT_NONE);
        assert_int_equal(m.step, CONSOLE_STEP_PASSWORD);
        assert_true(console_menu_secret(&m));
        assert_int_equal(TYPE("yes"), CONSOLE_ACT_VERIFY);
        assert_int_equal(m.step, CONSOLE_STEP_PASSWORD);
        console_menu_verified(&m, false, &facts, &answer);
        assert_int_equal(answer.act, CONSOLE_ACT_NONE);
        assert_int_equal(m.step, CONSOLE_STEP_PAUSE);
        assert_int_equal(TYPE("", items[i]), CONSOLE_ACT_NONE);
        assert_int_equal(TYPE("yes"), CONSOLE_ACT_VERIFY);
        console_menu_verified(&m, true, &facts, &answer);
        assert_int_equal(answer.act, items[i][0] == '0' ? CONSOLE_ACT_SHELL : CONSOLE_ACT_NONE);
        assert_int_not_equal(m.step, CONSOLE_STEP_PASSWORD);
        assert_int_not_equal(m.step, CONSOLE_STEP_MENU);
    }
    /* The right one counts once. */
    console_menu_cancel(&m);
    console_menu_verified(&m, true, &facts, &answer);
    assert_int_equal(m.step, CONSOLE_STEP_MENU);
    assert_int_equal(answer.act, CONSOLE_ACT_NONE);
}

static void no_shell_without_a_password(void **state)
{
    assert_int_equal(TYPE("0"), CONSOLE_ACT_NONE);
    assert_non_null(strstr(answer.says, "only once an administrator's password is set"));
    assert_int_equal(m.step, CONSOLE_STEP_PAUSE);
}

static void what_is_not_confirmed_is_not_done(void **state)
{
    static const struct {
        const char *item, *word;
        enum console_act act;
    } cases[] = {
        {"7", "RESET", CONSOLE_ACT_RESET},
        {"8", "yes", CONSOLE_ACT_RESTART},
        {"9", "yes", CONSOLE_ACT_OFF},
    };
    static const char *const words[] = {"", "y", "reset", "YES", "INSTALL", " yes", "RESET "};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t j = 0; j < sizeof(words) / sizeof(words[0]); j++) {
            console_menu_cancel(&m);
            assert_int_equal(TYPE(cases[i].item, words[j]), CONSOLE_ACT_NONE);
            assert_non_null(strstr(answer.says, "Nothing was changed."));
            assert_int_equal(m.step, CONSOLE_STEP_PAUSE);
        }
        console_menu_cancel(&m);
        assert_int_equal(TYPE(cases[i].item, cases[i].word), cases[i].act);
    }
    console_menu_cancel(&m);
    assert_int_equal(TYPE("6"), CONSOLE_ACT_NONE); /* booted from its own disk */
    assert_int_equal(m.step, CONSOLE_STEP_PAUSE);
    facts.installable = true;
    console_menu_cancel(&m);
    assert_int_equal(TYPE("6", "sda", "yes"), CONSOLE_ACT_NONE);
    console_menu_cancel(&m);
    assert_int_equal(TYPE("6", "sda", "INSTALL"), CONSOLE_ACT_INSTALL);
    assert_string_equal(m.values.disk, "sda");
}

static void nonsense_leads_nowhere(void **state)
{
    static const char *const lines[] = {"x", "10", "-1", " 1", "help", "1 "};

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        console_menu_cancel(&m);
        assert_int_equal(TYPE(lines[i]), CONSOLE_ACT_NONE);
        assert_non_null(strstr(answer.says, "Type one of the numbers."));
    }
    console_menu_cancel(&m);
    assert_int_equal(TYPE(""), CONSOLE_ACT_NONE);
    assert_int_equal(m.step, CONSOLE_STEP_MENU);
    assert_string_equal(answer.says, "");
}

static void a_long_line_is_refused(void **state)
{
    static char line[CONSOLE_LINE_MAX];
    static const char *const items[] = {"1", "2", "6"};

    memset(line, 'a', sizeof(line) - 1);
    facts.installable = true;
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
        console_menu_cancel(&m);
        assert_int_equal(TYPE(items[i], line), CONSOLE_ACT_NONE);
    }
    console_menu_cancel(&m);
    assert_int_equal(TYPE("3", "1", line, line), CONSOLE_ACT_PASSWORD);
    assert_int_equal(strlen(m.values.secret), CONSOLE_LINE_MAX - 1);
}

static void every_step_has_a_prompt(void **state)
{
    for (int step = CONSOLE_STEP_MENU; step <= CONSOLE_STEP_PAUSE; step++) {
        m.step = (enum console_step)step;
        assert_non_null(console_menu_prompt(&m));
        assert_in_range(strlen(console_menu_prompt(&m)), 2, 70);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(network_by_hand, set_up),
        cmocka_unit_test_setup(network_by_dhcp, set_up),
        cmocka_unit_test_setup(what_is_wrong_is_asked_again, set_up),
        cmocka_unit_test_setup(routes, set_up),
        cmocka_unit_test_setup(the_administrator, set_up),
        cmocka_unit_test_setup(the_recovery_key, set_up),
        cmocka_unit_test_setup(what_shows_only_asks_nobody, set_up),
        cmocka_unit_test_setup(what_changes_asks_for_the_password, set_up),
        cmocka_unit_test_setup(no_shell_without_a_password, set_up),
        cmocka_unit_test_setup(what_is_not_confirmed_is_not_done, set_up),
        cmocka_unit_test_setup(nonsense_leads_nowhere, set_up),
        cmocka_unit_test_setup(a_long_line_is_refused, set_up),
        cmocka_unit_test_setup(every_step_has_a_prompt, set_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
