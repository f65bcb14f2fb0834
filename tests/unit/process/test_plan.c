/* SPDX-License-Identifier: Apache-2.0 */
/* Does every check of a configuration refuse the same, name its place, and leave no trace? */
#include "../cmocka_all.h"

#include "conf_schema.h"
#include "plan.h"
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

static const enum plan_purpose purposes[] = {PLAN_SERVE, PLAN_CHECK, PLAN_CHECK_FOR};
static char directory[] = "/tmp/postern-plan-XXXXXX";
static char file[64];
static struct plan_verdict verdict;

static int setup(void **state)
{
    if (!mkdtemp(directory) || chmod(directory, 0777) != 0)
        return -1;
    snprintf(file, sizeof(file), "%s/postern.conf", directory);
    return 0;
}

static int teardown(void **state)
{
    unlink(file);
    return rmdir(directory); /* nothing else is left there */
}

static void written(const char *gateway)
{
    FILE *f = fopen(file, "we");

    assert_non_null(f);
    fprintf(f,
            "gateway: {\n hostname = \"gw.example.org\"; state_dir = \"%s\";\n%s\n};\n"
            "listeners = ( { name = \"in\"; address = \"127.0.0.1:2525\"; tls = \"none\"; } );\n"
            "routes = ( { domain = \"example.org\"; next_hop = \"127.0.0.1:25\";"
            " tls = { level = \"none\"; }; } );\n",
            directory, gateway);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(file, 0644), 0);
}

static bool tried(enum plan_purpose purpose)
{
    plan_try(file, purpose, NULL, &verdict);
    assert_int_equal(verdict.accepted, verdict.errors.count == 0);
    return verdict.accepted;
}

static void named(const struct conf_errors *errors, const char *rest)
{
    char text[256];

    snprintf(text, sizeof(text), "%s:%s", file, rest);
    if (!strstr(errors->text, text))
        fail_msg("\"%s\" is not in: %s", text, errors->text);
}

static void what_is_good_is_accepted(void **state)
{
    written(" user = \"nobody\"; dataplane = \"uring\"; workers = 3;");
    for (size_t i = 0; i < 3; i++) {
        assert_true(tried(purposes[i]));
        assert_int_equal(verdict.plan.workers, 3);
        assert_int_equal(verdict.plan.listeners_len, 1);
        assert_string_equal(verdict.plan.listeners[0].name, "in");
        assert_int_equal(verdict.warnings.count, 0);
    }
}

/* Whatever the kernel can: teardown finds no file beside the configuration. */
static void a_check_leaves_no_trace(void **state)
{
    written(" user = \"nobody\"; dataplane = \"auto\"; kernel_fixes = \"warn\";");
    assert_true(tried(PLAN_CHECK));
    assert_true(tried(PLAN_CHECK_FOR));
}

static void a_parser_s_error_is_the_same_for_all(void **state)
{
    written(" wrokers = 3;");
    for (size_t i = 0; i < 3; i++) {
        assert_false(tried(purposes[i]));
        named(&verdict.errors, "3: gateway");
    }
}

static void a_user_is_named_with_its_line(void **state)
{
    if (geteuid() != 0)
        skip();
    written(" user = \"nosuchuser\"; dataplane = \"uring\";");
    for (size_t i = 0; i < 3; i++) {
        assert_false(tried(purposes[i]));
        named(&verdict.errors, "3: gateway.user: found \"nosuchuser\"");
    }
    written(" user = \"root\"; dataplane = \"uring\";");
    assert_false(tried(PLAN_CHECK));
    named(&verdict.errors, "3: gateway.user: found \"root\"");
}

static void a_dataplane_is_named_with_its_line(void **state)
{
    struct platform_ktls ktls;

    platform_ktls_probe(&ktls);
    if (geteuid() != 0 || ktls.ulp)
        skip();
    written("\n user = \"nosuchuser\"; dataplane = \"ktls\"; kernel_fixes = \"warn\";");
    for (size_t i = 0; i < 3; i++) {
        assert_false(tried(purposes[i]));
        named(&verdict.errors, "4: gateway.user: ");
        named(&verdict.errors, "4: gateway.dataplane: found \"ktls\"");
        assert_int_equal(verdict.errors.count, 2);
    }
}

static void an_aead_is_planned_or_named_with_its_line(void **state)
{
    char said[TLS_AEAD_WHY_TEXT];
    bool is_there = tls_aead_use(TLS_AEAD_BACKEND_IPSEC_MB, said, sizeof(said)) == ERR_OK;

    written("\n user = \"nobody\"; dataplane = \"uring\";\n aead = \"ipsec-mb\";");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tried(purposes[i]), is_there);
        if (is_there)
            assert_int_equal(verdict.plan.aead.backend, TLS_AEAD_BACKEND_IPSEC_MB);
        else
            named(&verdict.errors, "5: gateway.aead: found \"ipsec-mb\"");
    }
    written(" user = \"nobody\"; dataplane = \"uring\"; aead = \"openssl\";");
    for (size_t i = 0; i < 3; i++) {
        assert_true(tried(purposes[i]));
        assert_int_equal(verdict.plan.aead.backend, TLS_AEAD_BACKEND_OPENSSL);
    }
}

/* Whether there is such a user, and whether root finds kernel TLS, matters to who starts it. */
static void what_only_root_can_know_is_a_warning(void **state)
{
    struct platform_ktls ktls;

    if (geteuid() != 0)
        skip();
    platform_ktls_probe(&ktls);
    written(" user = \"nosuchuser\"; dataplane = \"ktls\"; kernel_fixes = \"warn\";");
    assert_int_equal(seteuid(NOBODY), 0);
    bool for_others = tried(PLAN_CHECK_FOR);
    struct conf_errors warnings = verdict.warnings;
    bool for_itself = tried(PLAN_CHECK);
    assert_int_equal(seteuid(0), 0);
    assert_true(for_others);
    named(&warnings, "3: gateway.user: found \"nosuchuser\"");
    assert_int_equal(verdict.warnings.count, 0); /* it would change to nobody */
    assert_int_equal(for_itself, ktls.ulp);
    if (ktls.ulp)
        return;
    named(&warnings, "3: gateway.dataplane: found \"ktls\"");
    named(&verdict.errors, "3: gateway.dataplane: found \"ktls\"");
}

/* The reload names what needs a restart: each of the schema's rows, and nothing else. */
static void what_needs_a_restart_is_what_the_schema_says(void **state)
{
    size_t rows = 0;

    for (size_t i = 0; i < conf_rows_len; i++) {
        char path[64];
        unsigned found = 0;
        if (conf_rows[i].reload != CONF_RELOAD_RESTART)
            continue;
        snprintf(path, sizeof(path), "%s.%s", conf_group_name(conf_rows[i].group),
                 conf_rows[i].key);
        for (size_t k = 0; k < PLAN_RESTARTS; k++)
            found += strcmp(plan_restarts[k].setting, path) == 0;
        if (found != 1)
            fail_msg("%s is named %u times", path, found);
        rows++;
    }
    assert_int_equal(rows, PLAN_RESTARTS);
    written(" user = \"nobody\"; dataplane = \"uring\"; control_socket = \"/run/c\"; metrics = "
            "\"127.0.0.1:99\";");
    assert_true(tried(PLAN_CHECK));
    assert_string_equal((const char *)&verdict.plan + plan_restarts[0].place, "/run/c");
    assert_string_equal((const char *)&verdict.plan + plan_restarts[1].place, "127.0.0.1:99");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_good_is_accepted),
        cmocka_unit_test(a_check_leaves_no_trace),
        cmocka_unit_test(a_parser_s_error_is_the_same_for_all),
        cmocka_unit_test(a_user_is_named_with_its_line),
        cmocka_unit_test(a_dataplane_is_named_with_its_line),
        cmocka_unit_test(an_aead_is_planned_or_named_with_its_line),
        cmocka_unit_test(what_only_root_can_know_is_a_warning),
        cmocka_unit_test(what_needs_a_restart_is_what_the_schema_says),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
