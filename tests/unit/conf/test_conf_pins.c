/* SPDX-License-Identifier: Apache-2.0 */
/* Is a pin file read as it was written, and told by file, line and key what is wrong with it? */
#include "../cmocka_all.h"

#include "conf.h"

#include <stdio.h>

#define SPKI "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PIN_BUT(name, rest)                                                                        \
    name " = { name = \"mx\"; spki = \"" SPKI "\"; certificate = \"" HASH "\"; " rest "};\n"
#define PIN(name) PIN_BUT(name, "not_after = \"2027-01-31T12:00:00Z\"; ")
#define HEAD "partner = \"clinic.example\";\n"

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

static int read_pins(const char *text, struct conf_pins *ret, struct conf_errors *errors)
{
    *errors = (struct conf_errors){0};
    return conf_pins_parse(text, "pins/clinic.conf", &arena, ret, errors);
}

static void both_pins_arrive(void **state)
{
    struct conf_errors errors;
    struct conf_pins pins;
    char text[CONF_PIN_TEXT], hex[CONF_FINGERPRINT_TEXT];

    assert_int_equal(read_pins(HEAD PIN("current") PIN("next"), &pins, &errors), ERR_OK);
    assert_string_equal(pins.partner, "clinic.example");
    assert_string_equal(pins.current.name, "mx");
    assert_string_equal(conf_pin_text(&pins.current.spki, text), SPKI);
    assert_string_equal(conf_fingerprint_text(&pins.next.certificate, hex), HASH);
    assert_int_equal(pins.next.not_after, 1801396800); /* date -d 2027-01-31T12:00Z +%s */
    assert_int_equal(read_pins(HEAD PIN("current"), &pins, &errors), ERR_OK);
    assert_non_null(pins.current.name);
    assert_null(pins.next.name);
}

static bool pin_same(const struct conf_pin *a, const struct conf_pin *b)
{
    return strcmp(a->name, b->name) == 0 && memcmp(&a->spki, &b->spki, sizeof(a->spki)) == 0 &&
           memcmp(&a->certificate, &b->certificate, sizeof(a->certificate)) == 0 &&
           a->not_after == b->not_after;
}

/* Also a name that a certificate's owner chose to break out of its quotes. */
static void what_is_written_is_read(void **state)
{
    static const char *const names[] = {
        "",   "mx.clinic.example", "\\x41\\\\", "\"; }; partner = \"evil", "# // /* @include \\\"",
        "a\\"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct conf_pins pins = {.partner = "clinic.example"}, again;
        struct conf_errors errors;
        struct buf out;

        pins.current = (struct conf_pin){.name = names[i], .not_after = 253402300799};
        pins.next = (struct conf_pin){.name = "next", .not_after = 0};
        memset(&pins.current.spki, 0xff, sizeof(pins.current.spki));
        memset(&pins.current.certificate, 0xab, sizeof(pins.current.certificate));
        buf_init(&out, CONF_PINS_MAX);
        assert_int_equal(conf_pins_write(&pins, &out), ERR_OK);
        assert_int_equal(buf_append(&out, "", 1), ERR_OK);
        int err = read_pins((const char *)buf_span(&out).ptr, &again, &errors);
        if (err)
            fail_msg("%s: %s", names[i], errors.text);
        assert_string_equal(again.partner, "clinic.example");
        assert_true(pin_same(&pins.current, &again.current));
        assert_true(pin_same(&pins.next, &again.next));
        buf_release(&out);
    }
}

static const struct {
    const char *text, *says;
} wrong[] = {
    {"", "pins/clinic.conf: partner: found nothing, it must be set: a domain"},
    {"\n\n", "current.spki: found nothing, it must be set: SHA-256 of a public key"},
    {HEAD, "current.not_after: found nothing, it must be set: a time such as"},
    {HEAD "current = {\n", "pins/clinic.conf:3: syntax error"},
    {HEAD PIN("current") "next = 1;\n", "pins/clinic.conf:3: next: found 1, allowed a group"},
    {HEAD PIN("current") "next = { };\n", "pins/clinic.conf:3: next.name: found nothing"},
    {HEAD PIN_BUT("current", ""), "pins/clinic.conf:2: current.not_after: found nothing"},
    {HEAD PIN_BUT("current", "not_after = \"soon\"; "),
     "pins/clinic.conf:2: current.not_after: found \"soon\", allowed a time such as"},
    {HEAD PIN("current") PIN("older"), "pins/clinic.conf:3: older: found an unknown key"},
    {HEAD PIN("current") PIN("nxt"), "the nearest known one is \"next\""},
    {HEAD PIN("current") "routes = ( );\n", "routes: found a key that does not belong here"},
    {"partner = \"*\";\n" PIN("current"), "pins/clinic.conf:1: partner: found \"*\", allowed"},
    {"@include \"/etc/shadow\"\n" HEAD PIN("current"), "pins/clinic.conf:1: found @include"},
    {HEAD "current = \"", "pins/clinic.conf:2: found a string without its end"},
    {HEAD PIN("current") PIN("current"), "pins/clinic.conf:3: duplicate setting name"},
    {"-----BEGIN CERTIFICATE-----\n", "pins/clinic.conf:1: syntax error"},
};

static void what_is_wrong_is_told(void **state)
{
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct conf_errors errors;
        struct conf_pins pins;

        assert_int_equal(read_pins(wrong[i].text, &pins, &errors), ERR_CONFIG);
        assert_true(errors.count > 0);
        if (!strstr(errors.text, wrong[i].says))
            fail_msg("%s: expected %s, got %s", wrong[i].text, wrong[i].says, errors.text);
    }
}

/* One byte less at each length is wrong or the same; none is anything else. */
static void a_file_that_was_cut_is_refused(void **state)
{
    static const char whole[] = HEAD PIN("current") PIN("next");
    size_t one_pin = strlen(HEAD PIN("current"));
    char text[sizeof(whole)];

    for (size_t len = 0; len < sizeof(whole) - 1; len++) {
        struct conf_errors errors;
        struct conf_pins pins;
        /* Without the last line feed, and without the last semicolon, each pin is still whole. */
        bool fine = len + 2 >= sizeof(whole) - 1 || (len + 2 >= one_pin && len <= one_pin);

        memcpy(text, whole, len);
        text[len] = '\0';
        if ((read_pins(text, &pins, &errors) == ERR_OK) != fine)
            fail_msg("cut after %zu bytes: %s", len, errors.text);
    }
}

static void a_file_that_is_too_long_is_refused(void **state)
{
    static char text[CONF_PINS_MAX + 2];
    struct conf_errors errors;
    struct conf_pins pins;

    memset(text, '\n', sizeof(text) - 1);
    memcpy(text, HEAD PIN("current"), strlen(HEAD PIN("current")));
    assert_int_equal(read_pins(text, &pins, &errors), ERR_CONFIG);
    assert_non_null(strstr(errors.text, "found more than 65536 bytes"));
    text[CONF_PINS_MAX] = '\0';
    assert_int_equal(read_pins(text, &pins, &errors), ERR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_pins_arrive),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(a_file_that_was_cut_is_refused),
        cmocka_unit_test(a_file_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
