/* SPDX-License-Identifier: Apache-2.0 */
/* The postern.conf that the console makes: is it accepted, read back as it was, and never taken for
 * one that an administrator has changed? */
#include "../cmocka_all.h"

#include "appliance_gateway.h"

#include <stdio.h>
#include <stdlib.h>

static struct arena arena;

static int set_up(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int tear_down(void **state)
{
    arena_free(&arena);
    return 0;
}

static char *text_of(const struct appliance_route *routes, size_t len)
{
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(appliance_gateway_write("mx.example.org", routes, len, &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    return (char *)out.data;
}

static void accepted(const char *text)
{
    struct conf_errors errors;
    struct conf *conf;

    if (conf_parse(text, "postern.conf", &conf, &errors) != ERR_OK)
        fail_msg("%s: %s", text, errors.text);
    conf_free(conf);
}

static const struct appliance_route routes[] = {
    {"example.org", "mail.example.org:25", CONF_LEVEL_VERIFY},
    {".example.org", "192.0.2.1:2525", CONF_LEVEL_ENCRYPT},
    {"clinic.example", "mx", CONF_LEVEL_AUTO},
    {"six.example", "[2001:db8::25]:25", CONF_LEVEL_MAY},
};
enum { ROUTES = sizeof(routes) / sizeof(routes[0]) };

static void routes_are_read_as_written(void **state)
{
    struct appliance_route read[APPLIANCE_ROUTES_MAX];

    for (size_t len = 0; len <= ROUTES; len++) {
        char *text = text_of(routes, len);
        size_t read_len = 99;
        accepted(text);
        assert_true(appliance_gateway_is_ours(text));
        assert_int_equal(
            appliance_gateway_read(text, &arena, read, APPLIANCE_ROUTES_MAX, &read_len), ERR_OK);
        assert_int_equal(read_len, len);
        for (size_t i = 0; i < len; i++) {
            assert_string_equal(read[i].domain, routes[i].domain);
            assert_string_equal(read[i].next_hop, routes[i].next_hop);
            assert_int_equal(read[i].level, routes[i].level);
        }
        if (len == ROUTES)
            assert_int_equal(appliance_gateway_read(text, &arena, read, ROUTES - 1, &read_len),
                             ERR_FULL);
        free(text);
    }
}

static void what_others_wrote_is_not_ours(void **state)
{
    struct appliance_route read[APPLIANCE_ROUTES_MAX];
    char *ours = text_of(routes, ROUTES), changed[4096];
    size_t len;

    assert_false(appliance_gateway_is_ours(""));
    assert_false(appliance_gateway_is_ours(conf_example(0)));
    assert_int_equal(appliance_gateway_read(conf_example(0), &arena, read, ROUTES, &len),
                     ERR_CONFIG);
    snprintf(changed, sizeof(changed), "%s# mine\n", ours);
    assert_int_equal(appliance_gateway_read(changed, &arena, read, ROUTES, &len), ERR_CONFIG);
    snprintf(changed, sizeof(changed), "%slimits: { max_hops = 200; };\n", ours);
    assert_int_equal(appliance_gateway_read(changed, &arena, read, ROUTES, &len), ERR_CONFIG);
    snprintf(changed, sizeof(changed), "%s", ours);
    memcpy(strstr(changed, ":2525"), ":2626", 5); /* a route like any other */
    assert_int_equal(appliance_gateway_read(changed, &arena, read, ROUTES, &len), ERR_OK);
    assert_string_equal(read[1].next_hop, "192.0.2.1:2626");
    free(ours);
}

static const struct {
    const char *domain, *next_hop, *level, *why;
} wrong[] = {
    {"*", "mx", "auto", "a domain such as"},
    {"a b", "mx", "auto", "a domain such as"},
    {"a\"; x = \"", "mx", "auto", "a domain such as"},
    {"", "mx", "auto", "a domain such as"},
    {"example.org", "mail.example.org", "auto", "\"mx\", or \"host:port\""},
    {"example.org", "mail.example.org:25\"", "auto", "\"mx\", or \"host:port\""},
    {"example.org", "", "auto", "\"mx\", or \"host:port\""},
    {"example.org", "mx", "none", "may, encrypt, verify, dane, sts or auto"},
    {"example.org", "mx", "pin", "may, encrypt, verify, dane, sts or auto"},
    {"example.org", "mx", "", "may, encrypt, verify, dane, sts or auto"},
};

static void values_are_judged(void **state)
{
    struct appliance_route route;
    char why[256];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (appliance_route_valid(wrong[i].domain, wrong[i].next_hop, wrong[i].level, &route, why,
                                  sizeof(why)))
            fail_msg("%s %s %s is taken", wrong[i].domain, wrong[i].next_hop, wrong[i].level);
        if (!strstr(why, wrong[i].why))
            fail_msg("%s instead of %s", why, wrong[i].why);
    }
    for (size_t i = 0; i < ROUTES; i++) {
        assert_true(appliance_route_valid(routes[i].domain, routes[i].next_hop,
                                          conf_level_text(routes[i].level), &route, why,
                                          sizeof(why)));
        assert_string_equal(why, "");
        assert_int_equal(route.level, routes[i].level);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(routes_are_read_as_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_others_wrote_is_not_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_are_judged, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
