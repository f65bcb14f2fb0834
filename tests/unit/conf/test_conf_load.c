/* SPDX-License-Identifier: Apache-2.0 */
/* Is a configuration refused whose files are missing, unreadable, too open, or of the wrong kind?
 */
#include "../cmocka_all.h"

#include "tls_openssl.h"

#include "conf_load.h"
#include "policy_list.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[] = "/tmp/test_conf_load.XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path_of(name), mode), 0);
}

/* A self-signed certificate with its key in one file, and the key alone in another. */
static void write_certificate(const char *both, const char *alone)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509_NAME *name = X509_get_subject_name(cert);

    assert_non_null(key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"gw.example.org",
                               -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    FILE *file = fopen(path_of(both), "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    file = fopen(path_of(alone), "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static const char *const names[] = {"own.pem",  "own.key",  "other.pem", "other.key",
                                    "junk.pem", "password", "users",     "postern.conf",
                                    "list",     "list.sig", "list.pem",  "pins.conf"};

static int set_up(void **state)
{
    assert_non_null(mkdtemp(directory));
    write_certificate("own.pem", "own.key");
    write_certificate("other.pem", "other.key");
    write_file("junk.pem", "no certificate\n", 0600);
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(path_of(names[i]));
    return rmdir(directory);
}

struct loaded {
    int result;
    struct conf *conf;
    struct conf_errors errors;
};

static int file_load(const char *file, struct conf **ret, struct conf_errors *errors)
{
    mode_t mode;
    char *text = conf_load_read(file, &mode, errors);
    int result = text ? conf_load_text(text, file, mode, ret, errors) : ERR_CONFIG;

    free(text);
    return result;
}

static struct loaded load(const char *cert, const char *tls, const char *auth, mode_t mode)
{
    struct loaded l;
    char text[2048];

    snprintf(text, sizeof(text),
             "gateway: { hostname = \"gw.example.org\"; };\n"
             "tls: { certificates = ( { %s } ); };\n"
             "listeners = ( { name = \"in\"; address = \"127.0.0.1:25\"; } );\n"
             "routes = ( { domain = \"a.example\"; next_hop = \"mail.example:25\";\n"
             "  tls = { level = \"verify\"; %s }; auth = { %s }; } );\n",
             cert, tls, auth);
    write_file("postern.conf", text, mode);
    l.result = file_load(path_of("postern.conf"), &l.conf, &l.errors);
    assert_int_equal(l.result == ERR_OK, l.conf != NULL);
    assert_int_equal(l.result == ERR_OK, l.errors.count == 0);
    return l;
}

#define OWN "cert = \"own.pem\"; key = \"own.key\";"
#define AUTH "mechanism = \"plain\"; user = \"u\"; "

static void assert_refused(struct loaded l, const char *where, const char *within)
{
    assert_int_equal(l.result, ERR_CONFIG);
    if (l.errors.count != 1 || !strstr(l.errors.text, where) || !strstr(l.errors.text, within))
        fail_msg("expected \"%s\" and \"%s\", got: %s", where, within, l.errors.text);
}

static void good_files_load(void **state)
{
    struct loaded l = load(OWN, "ca = \"other.pem\"; client = { cert = \"own.pem\"; };", "", 0644);

    assert_string_equal(l.errors.text, "");
    conf_free(l.conf);
}

static void bad_certificates_are_refused(void **state)
{
    assert_refused(load("cert = \"none.pem\";", "", "", 0644), ":3: listeners[0]", "none.pem");
    assert_refused(load("cert = \"junk.pem\";", "", "", 0644), ":3: listeners[0]", "junk.pem");
    assert_refused(load("cert = \"own.pem\"; key = \"other.key\";", "", "", 0644), "listeners[0]",
                   "other.key");
    assert_refused(load(OWN, "ca = \"none.pem\";", "", 0644), ":5: routes[0].tls", "none.pem");
    assert_refused(load(OWN, "ca = \"junk.pem\";", "", 0644), "routes[0].tls", "junk.pem");
    assert_refused(load(OWN, "client = { cert = \"own.pem\"; key = \"other.key\"; };", "", 0644),
                   "routes[0].tls", "other.key");
}

static void groups_that_are_not_had_are_refused(void **state)
{
    assert_refused(load(OWN, "groups = [ \"P-384\", \"P-257\" ];", "", 0644),
                   ":5: routes[0].tls.groups: found \"P-257\"", "P-256, P-384");
    struct loaded l = load(OWN, "groups = [ \"P-384\", \"X25519\" ];", "", 0644);
    assert_string_equal(l.errors.text, "");
    assert_int_equal(l.conf->routes[0].tls.groups.len, 2);
    assert_int_equal(l.conf->listeners[0].groups.len, 0);
    conf_free(l.conf);
}

static void suites_that_are_not_spoken_are_refused(void **state)
{
    assert_refused(load(OWN, "suites = \"TLS_RSA_WITH_AES_128_CBC_SHA\";", "", 0644),
                   ":5: routes[0].tls.suites: found \"TLS_RSA_WITH_AES_128_CBC_SHA\"",
                   "TLS_RSA_WITH_AES_256_GCM_SHA384");
    assert_refused(load(OWN,
                        "min_version = \"1.3\"; "
                        "suites = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\";",
                        "", 0644),
                   ":5: routes[0].tls.suites: found no suite of TLS 1.3", "min_version");
    /* Each is fine by itself. */
    assert_refused(
        load(OWN, "groups = \"ffdhe3072\"; suites = \"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\";", "",
             0644),
        ":5: routes[0].tls: ", "leaves no TLS");
    struct loaded l =
        load(OWN, "min_version = \"1.3\"; suites = \"TLS_AES_256_GCM_SHA384\";", "", 0644);
    assert_string_equal(l.errors.text, "");
    assert_int_equal(l.conf->routes[0].tls.min_version, TLS_VERSION_1_3);
    assert_int_equal(l.conf->routes[0].tls.suites.len, 1);
    assert_int_equal(l.conf->listeners[0].min_version, TLS_VERSION_1_2);
    assert_int_equal(l.conf->listeners[0].suites.len, 0);
    conf_free(l.conf);
}

static void passwords_are_read(void **state)
{
    write_file("password", "secret word\r\nnext line\n", 0640);
    struct loaded l = load(OWN, "", AUTH "password_file = \"password\";", 0644);
    assert_string_equal(l.errors.text, "");
    assert_string_equal(l.conf->routes[0].auth.password, "secret word");
    conf_free(l.conf);
    l = load(OWN, "", AUTH "password = \"inline\";", 0640);
    assert_string_equal(l.errors.text, "");
    assert_string_equal(l.conf->routes[0].auth.password, "inline");
    conf_free(l.conf);
}

static void open_secrets_are_refused(void **state)
{
    write_file("password", "secret\n", 0644);
    assert_refused(load(OWN, "", AUTH "password_file = \"password\";", 0644),
                   ":5: routes[0].auth.password_file", "chmod o=");
    assert_refused(load(OWN, "", AUTH "password = \"inline\";", 0644), "postern.conf", "chmod o=");
    write_file("password", "\nsecret\n", 0600);
    assert_refused(load(OWN, "", AUTH "password_file = \"password\";", 0644),
                   "routes[0].auth.password_file", "first line of 0 bytes");
    assert_refused(load(OWN, "", AUTH "password_file = \"none\";", 0644),
                   "routes[0].auth.password_file", "No such file");
}

static struct loaded load_users(void)
{
    struct loaded l;

    write_file("postern.conf",
               "gateway: { hostname = \"gw.example.org\"; };\n"
               "tls: { certificates = ( { " OWN " } ); };\n"
               "listeners = ( { name = \"in\"; address = \"127.0.0.1:25\"; },\n"
               "  { name = \"sub\"; address = \"127.0.0.1:587\"; auth_users = \"users\"; } );\n"
               "routes = ( { domain = \"a.example\"; next_hop = \"mail.example:25\"; } );\n",
               0644);
    l.result = file_load(path_of("postern.conf"), &l.conf, &l.errors);
    return l;
}

static void users_are_read(void **state)
{
    static const char line[] = "anna:SCRAM-SHA-256$4096:c2FsdHNhbHQ=$"
                               "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=:"
                               "QkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkI=\n";

    write_file("users", line, 0640);
    struct loaded l = load_users();
    assert_string_equal(l.errors.text, "");
    assert_null(l.conf->listeners[0].users);
    assert_non_null(l.conf->listeners[1].users);
    assert_non_null(auth_users_find(l.conf->listeners[1].users, "anna"));
    conf_free(l.conf);
    write_file("users", line, 0644);
    assert_refused(load_users(), ":4: listeners[1].auth_users", "chmod o=");
    write_file("users", "anna:secret\n", 0640);
    assert_refused(load_users(), ":4: listeners[1].auth_users", "line 1: no record");
    assert_int_equal(unlink(path_of("users")), 0);
    assert_refused(load_users(), ":4: listeners[1].auth_users", "No such file");
}

static void odd_files_are_refused(void **state)
{
    struct conf_errors errors;
    struct conf *conf;

    assert_int_equal(file_load(path_of("nowhere.conf"), &conf, &errors), ERR_CONFIG);
    assert_non_null(strstr(errors.text, "No such file"));
    assert_int_equal(file_load(directory, &conf, &errors), ERR_CONFIG);
    assert_non_null(strstr(errors.text, "is not a file"));
    assert_int_equal(file_load("/dev/zero", &conf, &errors), ERR_CONFIG);
    assert_non_null(strstr(errors.text, "is not a file"));
    write_file("postern.conf", "", 0600);
    assert_int_equal(truncate(path_of("postern.conf"), 100), 0);
    assert_int_equal(file_load(path_of("postern.conf"), &conf, &errors), ERR_CONFIG);
    assert_non_null(strstr(errors.text, "NUL byte"));
    assert_int_equal(truncate(path_of("postern.conf"), CONF_TEXT_MAX + 1), 0);
    assert_int_equal(file_load(path_of("postern.conf"), &conf, &errors), ERR_CONFIG);
    assert_non_null(strstr(errors.text, "too long"));
}

/* The list, signed by the key whose public half is in list.pem. */
static void write_list(const char *text)
{
    static EVP_PKEY *key;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    uint8_t signature[64];
    size_t len = sizeof(signature);

    key = key ? key : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    write_file("list", text, 0644);
    assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, key), 1);
    assert_int_equal(EVP_DigestSign(md, signature, &len, (const unsigned char *)text, strlen(text)),
                     1);
    EVP_MD_CTX_free(md);
    FILE *file = fopen(path_of("list.sig"), "w");
    assert_int_equal(fwrite(signature, 1, len, file), len);
    fclose(file);
    file = fopen(path_of("list.pem"), "w");
    assert_int_equal(PEM_write_PUBKEY(file, key), 1);
    fclose(file);
}

#define LIST_TEXT                                                                                  \
    "{\"version\": \"0.1\", \"expires\": 4000000000, \"policies\": {\"example.org\": "             \
    "{\"mode\": \"enforce\", \"mxs\": [\"mx.example.org\"]}}}"

static struct loaded load_list(const char *signature, const char *key)
{
    struct loaded l;
    char text[2048];

    snprintf(text, sizeof(text),
             "gateway: { hostname = \"gw.example.org\"; };\n"
             "tls: { certificates = ( { " OWN " } );\n"
             "  policy_list = { file = \"list\"; signature = \"%s\"; key = \"%s\"; }; };\n"
             "listeners = ( { name = \"in\"; address = \"127.0.0.1:25\"; } );\n"
             "routes = ( { domain = \"a.example\"; next_hop = \"mail.example:25\"; } );\n",
             signature, key);
    write_file("postern.conf", text, 0644);
    l.result = file_load(path_of("postern.conf"), &l.conf, &l.errors);
    return l;
}

static void lists_of_policies_are_read_where_they_are_signed(void **state)
{
    static struct sts_answer a;

    write_list(LIST_TEXT);
    struct loaded l = load_list("list.sig", "list.pem");
    assert_string_equal(l.errors.text, "");
    assert_true(policy_list_find(l.conf->tls.policies, "example.org", 0, &a));
    conf_free(l.conf);

    assert_refused(load_list("own.pem", "list.pem"), ":3: tls.policy_list.signature",
                   "a signature that is not the key's");
    assert_refused(load_list("list.sig", "own.key"), "tls.policy_list.signature", "no PEM");
    assert_refused(load_list("none", "list.pem"), "tls.policy_list.signature", "can't be read");
    write_file("list", LIST_TEXT " ", 0644);
    assert_refused(load_list("list.sig", "list.pem"), "tls.policy_list.signature",
                   "a signature that is not the key's");
    write_list("{\"version\": \"0.2\"}");
    assert_refused(load_list("list.sig", "list.pem"), ":3: tls.policy_list.file",
                   "version must be \"0.1\"");
    unlink(path_of("list"));
    assert_refused(load_list("list.sig", "list.pem"), "tls.policy_list.file", "can't be read");
}

static struct loaded load_dkim(const char *key)
{
    struct loaded l;
    char text[2048];

    snprintf(
        text, sizeof(text),
        "gateway: { hostname = \"gw.example.org\"; };\n"
        "tls: { certificates = ( { " OWN " } ); };\n"
        "tlsrpt: { organization = \"Us\"; contact = \"a@b.example\";\n"
        "  send = { from = \"a@b.example\"; submission = \"127.0.0.1:26\"; dkim_selector = \"s\";\n"
        "    dkim_key = \"%s\"; }; };\n"
        "listeners = ( { name = \"in\"; address = \"127.0.0.1:25\"; } );\n"
        "routes = ( { domain = \"a.example\"; next_hop = \"mail.example:25\"; } );\n",
        key);
    write_file("postern.conf", text, 0644);
    l.result = file_load(path_of("postern.conf"), &l.conf, &l.errors);
    return l;
}

static void keys_that_can_not_sign_reports_are_refused(void **state)
{
    assert_refused(load_dkim("own.pem"), ":5: tlsrpt.send.dkim_key", "neither a key of RSA");
    assert_refused(load_dkim("none"), ":5: tlsrpt.send.dkim_key", "is no private key in PEM");
}

#define PINS_SPKI "sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
#define PINS_CERT "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct loaded load_pins(void)
{
    struct loaded l;

    write_file(
        "postern.conf",
        "gateway: { hostname = \"gw.example.org\"; };\n"
        "tls: { certificates = ( { " OWN " } ); };\n"
        "listeners = ( { name = \"in\"; address = \"127.0.0.1:25\"; client_cert = \"ask\"; } );\n"
        "routes = ( { domain = \"a.example\"; next_hop = \"mail.example:25\";\n"
        "  tls = { level = \"pin\"; pin_file = \"pins.conf\"; }; } );\n"
        "senders = ( { domain = \"a.example\"; level = \"verify\";\n"
        "  pin_file = \"pins.conf\"; } );\n",
        0644);
    l.result = file_load(path_of("postern.conf"), &l.conf, &l.errors);
    return l;
}

#define PIN(key, spki, cert)                                                                       \
    key " = { name = \"mx\"; spki = \"" spki "\"; certificate = \"" cert "\";\n"                   \
        "  not_after = \"2027-01-31T12:00:00Z\"; };\n"

/* A route takes their keys, a rule of senders the certificates. */
static void pins_are_read(void **state)
{
    write_file("pins.conf",
               "partner = \"a.example\";\n" PIN("current", PINS_SPKI, PINS_CERT)
                   PIN("next", PINS_CERT,
                       "ff112233445566778899aabbccddeeff"
                       "00112233445566778899aabbccddeeff"),
               0644);
    struct loaded l = load_pins();
    assert_string_equal(l.errors.text, "");
    const struct conf_route *route = &l.conf->routes[0];
    const struct conf_sender *sender = &l.conf->senders[0];
    assert_int_equal(route->tls.spki_len, 2);
    assert_int_equal(route->tls.spki[0].sha256[0], 0xe3); /* SHA-256 of nothing */
    assert_int_equal(route->tls.spki[1].sha256[0], 0x00);
    assert_int_equal(route->tls.fingerprints_len, 0);
    assert_int_equal(sender->certs_len, 2);
    assert_int_equal(sender->certs[0].sha256[0], 0x00);
    assert_int_equal(sender->certs[1].sha256[0], 0xff);
    assert_string_equal(sender->pins->partner, "a.example");
    conf_free(l.conf);
    write_file("pins.conf", "partner = \"a.example\";\n" PIN("current", PINS_SPKI, PINS_CERT),
               0644);
    l = load_pins();
    assert_string_equal(l.errors.text, "");
    assert_int_equal(l.conf->routes[0].tls.spki_len, 1);
    assert_int_equal(l.conf->senders[0].certs_len, 1);
    conf_free(l.conf);
}

static void pins_that_are_damaged_are_refused(void **state)
{
    struct loaded l;

    write_file("pins.conf", "partner = \"a.example\";\ncurrent = {\n", 0644);
    l = load_pins();
    assert_int_equal(l.result, ERR_CONFIG);
    assert_non_null(strstr(l.errors.text, "/pins.conf:3: syntax error"));
    write_file("pins.conf", "", 0644);
    l = load_pins();
    assert_int_equal(l.result, ERR_CONFIG);
    assert_non_null(strstr(l.errors.text, "/pins.conf: current.spki: found nothing"));
    assert_int_equal(unlink(path_of("pins.conf")), 0);
    l = load_pins();
    assert_int_equal(l.result, ERR_CONFIG);
    assert_non_null(strstr(l.errors.text, ":5: routes[0].tls.pin_file: found that"));
    assert_non_null(strstr(l.errors.text, ":7: senders[0].pin_file: found that"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_load),
        cmocka_unit_test(bad_certificates_are_refused),
        cmocka_unit_test(groups_that_are_not_had_are_refused),
        cmocka_unit_test(suites_that_are_not_spoken_are_refused),
        cmocka_unit_test(passwords_are_read),
        cmocka_unit_test(pins_are_read),
        cmocka_unit_test(pins_that_are_damaged_are_refused),
        cmocka_unit_test(lists_of_policies_are_read_where_they_are_signed),
        cmocka_unit_test(keys_that_can_not_sign_reports_are_refused),
        cmocka_unit_test(open_secrets_are_refused),
        cmocka_unit_test(users_are_read),
        cmocka_unit_test(odd_files_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
