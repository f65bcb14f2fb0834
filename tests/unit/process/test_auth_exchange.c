/* SPDX-License-Identifier: Apache-2.0 */
/* Does the right password, and nothing else, say who a client is, by each mechanism? */
#include "auth_exchange.h"

#include "cmocka_all.h"

#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>

static struct auth_server *server;
static struct auth_users users;
static struct auth_user anna[1];

static int setup(void **state)
{
    snprintf(anna[0].name, sizeof(anna[0].name), "anna");
    assert_int_equal(auth_record_make("p\xc3\xa4ss word", 4096, &anna[0].record), ERR_OK);
    users = (struct auth_users){.users = anna, .len = 1};
    return auth_server_new(&server);
}

static int teardown(void **state)
{
    auth_server_free(server);
    return 0;
}

static void say(struct auth_exchange *x, const void *bytes, size_t len,
                struct smtp_auth_answer *ret)
{
    static struct smtp_auth in;

    in.has_response = bytes != NULL;
    in.len = len;
    if (bytes)
        memcpy(in.response, bytes, len);
    auth_exchange_step(x, &in, ret);
}

static struct auth_exchange *begin(enum smtp_mechanism mechanism)
{
    struct auth_exchange *x;

    assert_int_equal(auth_exchange_new(server, &users, mechanism, &x), ERR_OK);
    return x;
}

#define PASSWORD "p\xc3\xa4ss word"

static const struct {
    const char *message;
    size_t len;
    bool good;
    const char *claimed;
} plain[] = {
#define MESSAGE(text) text, sizeof(text) - 1
    {MESSAGE("\0anna\0" PASSWORD), true, "anna"},
    {MESSAGE("anna\0anna\0" PASSWORD), true, "anna"},
    /* SASLprep: a no-break space is a space, a soft hyphen nothing (RFC 4013 section 2). */
    {MESSAGE("\0anna\0p\xc3\xa4ss\xc2\xa0wo\xc2\xadrd"), true, "anna"},
    {MESSAGE("\0anna\0pass word"), false, "anna"},
    {MESSAGE("\0anna\0" PASSWORD " "), false, "anna"},
    {MESSAGE("\0anna\0\x07"), false, NULL},
    {MESSAGE("\0anna\0\xff\xfe"), false, NULL},
    {MESSAGE("\0Anna\0" PASSWORD), false, "Anna"},
    {MESSAGE("\0bert\0" PASSWORD), false, "bert"},
    {MESSAGE("bert\0anna\0" PASSWORD), false, "anna"}, /* for another */
    {MESSAGE("\0anna\0" PASSWORD "\0x"), false, NULL},
    {MESSAGE("\0anna\0"), false, NULL},
    {MESSAGE("\0\0" PASSWORD), false, NULL},
    {MESSAGE("anna"), false, ""},
    {MESSAGE("\0"), false, ""},
    {MESSAGE("\0\0\0"), false, NULL},
#undef MESSAGE
};

static void test_plain(void **state)
{
    struct smtp_auth_answer answer;

    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        struct auth_exchange *x = begin(SMTP_MECHANISM_PLAIN);
        if (i % 2 == 1) { /* without an initial response */
            say(x, NULL, 0, &answer);
            assert_int_equal(answer.kind, SMTP_AUTH_CHALLENGE);
            assert_int_equal(answer.len, 0);
        }
        say(x, plain[i].message, plain[i].len, &answer);
        if (answer.kind != (plain[i].good ? SMTP_AUTH_ACCEPTED : SMTP_AUTH_REFUSED))
            fail_msg("row %zu: %d", i, (int)answer.kind);
        assert_int_equal(answer.len, 0);
        if (plain[i].good)
            assert_string_equal(answer.user, "anna");
        if (plain[i].claimed)
            assert_string_equal(auth_exchange_claimed(x), plain[i].claimed);
        auth_exchange_free(x);
    }
}

static enum smtp_auth_kind login(const char *name, const char *password, bool initial)
{
    struct smtp_auth_answer answer;
    struct auth_exchange *x = begin(SMTP_MECHANISM_LOGIN);

    if (!initial) {
        say(x, NULL, 0, &answer);
        assert_int_equal(answer.kind, SMTP_AUTH_CHALLENGE);
        assert_true(answer.len > 0);
    }
    say(x, name, strlen(name), &answer);
    if (answer.kind == SMTP_AUTH_CHALLENGE) {
        assert_memory_equal(answer.data, "Password", 8);
        say(x, password, strlen(password), &answer);
    }
    enum smtp_auth_kind kind = answer.kind;
    auth_exchange_free(x);
    return kind;
}

static void test_login(void **state)
{
    for (int initial = 0; initial < 2; initial++) {
        assert_int_equal(login("anna", PASSWORD, initial), SMTP_AUTH_ACCEPTED);
        assert_int_equal(login("anna", "wrong", initial), SMTP_AUTH_REFUSED);
        assert_int_equal(login("anna", "", initial), SMTP_AUTH_REFUSED);
        assert_int_equal(login("bert", PASSWORD, initial), SMTP_AUTH_REFUSED);
    }
    assert_int_equal(login("", PASSWORD, false), SMTP_AUTH_REFUSED);
}

/* --- SCRAM, with libgsasl's own client --- */

struct scram {
    const char *name, *other, *password;
    struct smtp_auth_answer answer;
    char first[SMTP_AUTH_CHALLENGE_MAX + 1]; /* what the server said first */
    int client;                              /* the client's verdict on the server */
};

static int on_property(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
    const struct scram *s = gsasl_session_hook_get(session);

    if (property == GSASL_AUTHID)
        return gsasl_property_set(session, property, s->name);
    if (property == GSASL_AUTHZID && s->other)
        return gsasl_property_set(session, property, s->other);
    if (property == GSASL_PASSWORD)
        return gsasl_property_set(session, property, s->password);
    return GSASL_NO_CALLBACK;
}

static void scram_run(struct scram *s)
{
    struct auth_exchange *x = begin(SMTP_MECHANISM_SCRAM_SHA_256);
    Gsasl_session *session;
    Gsasl *gsasl;
    char *said;
    size_t len;

    assert_int_equal(gsasl_init(&gsasl), GSASL_OK);
    gsasl_callback_set(gsasl, on_property);
    assert_int_equal(gsasl_client_start(gsasl, "SCRAM-SHA-256", &session), GSASL_OK);
    gsasl_session_hook_set(session, s);
    s->answer = (struct smtp_auth_answer){.kind = SMTP_AUTH_CHALLENGE};
    for (int i = 0; s->answer.kind == SMTP_AUTH_CHALLENGE; i++) {
        s->client = gsasl_step(session, (const char *)s->answer.data, s->answer.len, &said, &len);
        assert_int_equal(s->client, GSASL_NEEDS_MORE);
        say(x, said, len, &s->answer);
        gsasl_free(said);
        if (i == 0)
            snprintf(s->first, sizeof(s->first), "%.*s", (int)s->answer.len, s->answer.data);
    }
    if (s->answer.kind == SMTP_AUTH_ACCEPTED) {
        assert_string_equal(s->answer.user, "anna");
        s->client = gsasl_step(session, (const char *)s->answer.data, s->answer.len, &said, &len);
        gsasl_free(said);
    }
    gsasl_finish(session);
    gsasl_done(gsasl);
    auth_exchange_free(x);
}

static void test_scram(void **state)
{
    struct scram right = {.name = "anna", .password = PASSWORD},
                 same = {.name = "anna", .other = "anna", .password = PASSWORD},
                 wrong = {.name = "anna", .password = "wrong"},
                 other = {.name = "anna", .other = "bert", .password = PASSWORD},
                 nobody = {.name = "bert", .password = PASSWORD}, again = nobody;

    scram_run(&right);
    assert_int_equal(right.answer.kind, SMTP_AUTH_ACCEPTED);
    assert_int_equal(right.client, GSASL_OK); /* the server has proved itself too */
    scram_run(&same);
    assert_int_equal(same.answer.kind, SMTP_AUTH_ACCEPTED);
    scram_run(&wrong);
    assert_int_equal(wrong.answer.kind, SMTP_AUTH_REFUSED);
    scram_run(&other);
    assert_int_equal(other.answer.kind, SMTP_AUTH_REFUSED);
    /* Who is not there gets as far as who is, and has the same salt each time. */
    scram_run(&nobody);
    scram_run(&again);
    assert_int_equal(nobody.answer.kind, SMTP_AUTH_REFUSED);
    const char *salt = strstr(nobody.first, ",s="), *salt_again = strstr(again.first, ",s=");
    assert_non_null(salt);
    assert_non_null(salt_again);
    assert_string_equal(salt, salt_again);
    assert_non_null(strstr(salt, ",i=4096"));
    assert_int_equal(strlen(salt), strlen(strstr(right.first, ",s=")));
}

/* What no honest client says. */
static void test_scram_nonsense(void **state)
{
    static char many[4096];
    static const char *const first[] = {"",
                                        "n",
                                        "n,,",
                                        "n,,n=anna",
                                        "n,,n=anna,r=",
                                        "y,,r=x,n=anna",
                                        "x",
                                        "n,,n=,r=x",
                                        "p=tls-unique,,n=anna,r=x",
                                        "n,a=anna",
                                        "\xff\xff"};
    struct smtp_auth_answer answer;

    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
        struct auth_exchange *x = begin(SMTP_MECHANISM_SCRAM_SHA_256);
        say(x, first[i], strlen(first[i]), &answer);
        if (answer.kind == SMTP_AUTH_CHALLENGE)
            say(x, "c=biws,r=x,p=eA==", 17, &answer);
        if (answer.kind != SMTP_AUTH_REFUSED)
            fail_msg("%zu: %d", i, (int)answer.kind);
        auth_exchange_free(x);
    }
    /* A nonce that its answer would have no room for. */
    size_t len = (size_t)snprintf(many, sizeof(many), "n,,n=anna,r=");
    memset(many + len, 'x', sizeof(many) - len);
    struct auth_exchange *x = begin(SMTP_MECHANISM_SCRAM_SHA_256);
    say(x, many, sizeof(many), &answer);
    assert_int_equal(answer.kind, SMTP_AUTH_REFUSED);
    assert_int_equal(answer.len, 0);
    auth_exchange_free(x);
}

static void test_passwords(void **state)
{
    struct auth_record a, b;

    assert_int_equal(auth_record_make("secret", 4096, &a), ERR_OK);
    assert_int_equal(auth_record_make("secret", 4096, &b), ERR_OK);
    assert_memory_not_equal(a.salt, b.salt, 16);
    assert_memory_not_equal(a.stored_key, b.stored_key, 32);
    assert_int_equal(auth_record_make("", 4096, &a), ERR_SYNTAX);
    assert_int_equal(auth_record_make("\x07", 4096, &a), ERR_SYNTAX);
    assert_int_equal(auth_record_make("\xff", 4096, &a), ERR_SYNTAX);
    assert_int_equal(auth_record_make("\xc2\xad", 4096, &a), ERR_SYNTAX); /* nothing is left */
}

/* What other programs keep of a password is taken: the example of RFC 7677 section 3. */
static void test_vector(void **state)
{
    struct auth_users other, mine = users;
    struct smtp_auth_answer answer;
    struct arena arena;
    char why[128];

    arena_init(&arena, 0);
    assert_int_equal(auth_users_parse("user:SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
                                      "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                                      "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=\n",
                                      &arena, &other, why, sizeof(why)),
                     ERR_OK);
    users = other;
    struct auth_exchange *x = begin(SMTP_MECHANISM_PLAIN);
    say(x, "\0user\0pencil", 12, &answer);
    assert_int_equal(answer.kind, SMTP_AUTH_ACCEPTED);
    auth_exchange_free(x);
    users = mine;
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),     cmocka_unit_test(test_login),
        cmocka_unit_test(test_scram),     cmocka_unit_test(test_scram_nonsense),
        cmocka_unit_test(test_passwords), cmocka_unit_test(test_vector),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
