/* SPDX-License-Identifier: Apache-2.0 */
/* Is each row of the table obeyed: good values, too low, too high, wrong type, what it refuses? */
#include "test_conf.h"

#include "appliance.h"
#include "conf_priv.h"

enum { VALUE_TEXT = 4096 };

struct one { /* one key with one value in an otherwise good file */
    const struct conf_row *row;
    const char *value;
};

/* Keys that a group needs, left out where the test sets them itself. */
static size_t put_key(char *out, size_t room, const struct one *one, enum conf_group group,
                      const char *key, const char *value)
{
    bool own = one->row->group == group && strcmp(one->row->key, key) == 0;

    return own ? 0 : (size_t)snprintf(out, room, "%s = %s;\n", key, value);
}

static bool row_is(const struct one *one, enum conf_group group, const char *key)
{
    return one->row->group == group && strcmp(one->row->key, key) == 0;
}

static size_t put_own(char *out, size_t room, const struct one *one, enum conf_group group)
{
    if (one->row->group != group)
        return 0;
    return (size_t)snprintf(out, room, "%s = %s;\n", one->row->key, one->value);
}

/* It asks more of the listener and route that have it. */
static bool is_hipaa(const struct one *one)
{
    return strcmp(one->row->key, "profile") == 0 && strcmp(one->value, "\"hipaa\"") == 0;
}

static const char *level_for(const struct one *one)
{
    if (is_hipaa(one))
        return "\"verify\"";
    if (row_is(one, CONF_GROUP_ROUTE_TLS, "ca") || row_is(one, CONF_GROUP_ROUTE_TLS, "names"))
        return "\"verify\"";
    if (row_is(one, CONF_GROUP_ROUTE_TLS, "spki") ||
        row_is(one, CONF_GROUP_ROUTE_TLS, "fingerprints") ||
        row_is(one, CONF_GROUP_ROUTE_TLS, "pin_file"))
        return "\"pin\"";
    if (row_is(one, CONF_GROUP_ROUTE_TLS, "ratchet"))
        return "\"may\"";
    return "\"encrypt\"";
}

#define PUT(group, key, value) n += put_key(out + n, room - n, one, CONF_GROUP_##group, key, value)
#define TEXT(...) n += (size_t)snprintf(out + n, room - n, __VA_ARGS__)
#define OWN(group) n += put_own(out + n, room - n, one, CONF_GROUP_##group)

static size_t put_listener(char *out, size_t room, const struct one *one)
{
    size_t n = 0;

    TEXT("listeners = ( {\n");
    PUT(LISTENER, "name", "\"in\"");
    PUT(LISTENER, "address", "\"127.0.0.1:25\"");
    if (row_is(one, CONF_GROUP_LISTENER, "client_ca") ||
        row_is(one, CONF_GROUP_LISTENER, "relay_certs") ||
        row_is(one, CONF_GROUP_LISTENER, "relay_names") || one->row->group == CONF_GROUP_SENDER)
        TEXT("client_cert = \"ask\";\n");
    if (row_is(one, CONF_GROUP_LISTENER, "relay_names") || one->row->group == CONF_GROUP_SENDER)
        TEXT("client_ca = \"ca.pem\";\n");
    if (row_is(one, CONF_GROUP_LISTENER, "require_auth") || row_is(one, CONF_GROUP_SENDER, "users"))
        TEXT("auth_users = \"users\";\n");
    if (row_is(one, CONF_GROUP_LISTENER, "client_cert") || is_hipaa(one))
        TEXT("require_tls = true;\n");
    OWN(LISTENER);
    TEXT("} );\n");
    return n;
}

static size_t put_route(char *out, size_t room, const struct one *one)
{
    size_t n = 0;
    bool auth = one->row->group == CONF_GROUP_ROUTE_AUTH;

    TEXT("routes = ( {\n");
    PUT(ROUTE, "domain", "\"example.org\"");
    PUT(ROUTE, "next_hop", auth ? "\"mail.example.org:587\"" : "\"mx\"");
    if (!row_is(one, CONF_GROUP_ROUTE, "tls")) {
        TEXT("tls = {\n");
        PUT(ROUTE_TLS, "level", level_for(one));
        if (row_is(one, CONF_GROUP_ROUTE_TLS, "level") && strcmp(one->value, "\"pin\"") == 0)
            TEXT("spki = \"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\";\n");
        OWN(ROUTE_TLS);
        TEXT("};\n");
    }
    if (auth &&
        !(row_is(one, CONF_GROUP_ROUTE_AUTH, "mechanism") && strcmp(one->value, "\"none\"") == 0)) {
        TEXT("auth = {\n");
        PUT(ROUTE_AUTH, "mechanism", "\"plain\"");
        PUT(ROUTE_AUTH, "user", "\"u\"");
        if (!row_is(one, CONF_GROUP_ROUTE_AUTH, "password_file"))
            PUT(ROUTE_AUTH, "password", "\"p\"");
        OWN(ROUTE_AUTH);
        TEXT("};\n");
    }
    OWN(ROUTE);
    TEXT("} );\n");
    return n;
}

static size_t put_sender(char *out, size_t room, const struct one *one)
{
    size_t n = 0;

    TEXT("senders = ( {\n");
    PUT(SENDER, "domain", "\"partner.example\"");
    OWN(SENDER);
    TEXT("} );\n");
    return n;
}

/* Rows of a file of its own. */
static bool of_pin_file(const struct conf_row *row)
{
    return row->group == CONF_GROUP_PIN_FILE || row->group == CONF_GROUP_PIN;
}

static size_t put_pin_file(char *out, size_t room, const struct one *one)
{
    size_t n = 0;

    PUT(PIN_FILE, "partner", "\"partner.example\"");
    if (!row_is(one, CONF_GROUP_PIN_FILE, "current")) {
        TEXT("current = {\n");
        PUT(PIN, "name", "\"mx.partner.example\"");
        PUT(PIN, "spki", "\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"");
        PUT(PIN, "certificate",
            "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\"");
        PUT(PIN, "not_after", "\"2027-01-31T12:00:00Z\"");
        OWN(PIN);
        TEXT("};\n");
    }
    OWN(PIN_FILE);
    return n;
}

static bool of_appliance(const struct conf_row *row)
{
    return row->group >= CONF_GROUP_APPLIANCE;
}

static size_t put_network(char *out, size_t room, const struct one *one)
{
    size_t n = 0;
    bool gateways = row_is(one, CONF_GROUP_NETWORK, "gateways");

    TEXT("network = ( {\n");
    if (one->row->group == CONF_GROUP_BOND) {
        PUT(NETWORK, "interface", "\"bond0\"");
        TEXT("bond = {\n");
        OWN(BOND);
        TEXT("};\n");
    }
    if (gateways)
        PUT(NETWORK, "addresses", "[ \"192.0.2.25/24\", \"2001:db8::25/64\" ]");
    OWN(NETWORK);
    TEXT("} );\n");
    return n;
}

static size_t put_appliance(char *out, size_t room, const struct one *one)
{
    enum conf_group group = one->row->group;
    size_t n = 0;

    PUT(APPLIANCE, "hostname", "\"mx.example.org\"");
    if (group == CONF_GROUP_NETWORK || group == CONF_GROUP_BOND)
        n += put_network(out + n, room - n, one);
    if (group == CONF_GROUP_NTP) {
        TEXT("ntp = ( {\n");
        PUT(NTP, "server", "\"192.0.2.123\"");
        OWN(NTP);
        TEXT("} );\n");
    }
    if (group == CONF_GROUP_ACME) {
        TEXT("acme = {\n");
        PUT(ACME, "terms", "\"agreed\"");
        OWN(ACME);
        TEXT("};\n");
    }
    OWN(APPLIANCE);
    return n;
}

static size_t put_gateway(char *out, size_t room, const struct one *one)
{
    size_t n = 0;

    if (!row_is(one, CONF_GROUP_ROOT, "gateway")) {
        TEXT("gateway = {\n");
        PUT(GATEWAY, "hostname", "\"gw.example.org\"");
        OWN(GATEWAY);
        TEXT("};\n");
    }
    if (!row_is(one, CONF_GROUP_ROOT, "limits")) {
        TEXT("limits = {\n");
        if (row_is(one, CONF_GROUP_LIMITS, "hop_connect_timeout_s"))
            TEXT("hop_budget_s = 300;\n");
        OWN(LIMITS);
        TEXT("};\n");
    }
    if (!row_is(one, CONF_GROUP_ROOT, "resolver")) {
        TEXT("resolver = {\n");
        OWN(RESOLVER);
        TEXT("};\n");
    }
    if (!row_is(one, CONF_GROUP_ROOT, "tls")) {
        TEXT("tls = {\n");
        if (!row_is(one, CONF_GROUP_TLS, "certificates")) {
            TEXT("certificates = ( {\n");
            PUT(CERT, "cert", "\"c.pem\"");
            OWN(CERT);
            TEXT("} );\n");
        }
        if (one->row->group == CONF_GROUP_POLICY_LIST) {
            TEXT("policy_list = {\n");
            PUT(POLICY_LIST, "file", "\"list.json\"");
            PUT(POLICY_LIST, "signature", "\"list.sig\"");
            PUT(POLICY_LIST, "key", "\"list.pem\"");
            OWN(POLICY_LIST);
            TEXT("};\n");
        }
        OWN(TLS);
        TEXT("};\n");
    }
    if (one->row->group == CONF_GROUP_TLSRPT || one->row->group == CONF_GROUP_TLSRPT_SEND) {
        TEXT("tlsrpt = {\n");
        PUT(TLSRPT, "organization", "\"Example\"");
        PUT(TLSRPT, "contact", "\"a@example.org\"");
        if (one->row->group == CONF_GROUP_TLSRPT_SEND) {
            TEXT("send = {\n");
            PUT(TLSRPT_SEND, "from", "\"a@example.org\"");
            PUT(TLSRPT_SEND, "submission", "\"127.0.0.1:25\"");
            PUT(TLSRPT_SEND, "dkim_key", "\"dkim.pem\"");
            PUT(TLSRPT_SEND, "dkim_selector", "\"s\"");
            OWN(TLSRPT_SEND);
            TEXT("};\n");
        }
        OWN(TLSRPT);
        TEXT("};\n");
    }
    if (!row_is(one, CONF_GROUP_ROOT, "listeners"))
        n += put_listener(out + n, room - n, one);
    if (!row_is(one, CONF_GROUP_ROOT, "routes"))
        n += put_route(out + n, room - n, one);
    if (one->row->group == CONF_GROUP_SENDER)
        n += put_sender(out + n, room - n, one);
    OWN(ROOT);
    return n;
}

static void render(const struct one *one, char *out, size_t room)
{
    size_t n = of_appliance(one->row)  ? put_appliance(out, room, one)
               : of_pin_file(one->row) ? put_pin_file(out, room, one)
                                       : put_gateway(out, room, one);

    assert_true(n < room);
}

static struct parsed parse_of(const struct conf_row *row, const char *text)
{
    struct parsed p = {.result = ERR_OK};
    struct appliance *a;
    struct conf_pins pins;
    struct arena arena;

    if (of_appliance(row)) {
        p.result = appliance_parse(text, "dir/postern.conf", &a, &p.errors);
        assert_int_equal(p.result == ERR_OK, p.errors.count == 0);
        assert_int_equal(p.result == ERR_OK, a != NULL);
        appliance_free(a);
        return p;
    }
    if (!of_pin_file(row))
        return parse(text);
    arena_init(&arena, 0);
    p.result = conf_pins_parse(text, "dir/postern.conf", &arena, &pins, &p.errors);
    assert_int_equal(p.result == ERR_OK, p.errors.count == 0);
    arena_free(&arena);
    return p;
}

static struct parsed parse_one(const struct conf_row *row, const char *value)
{
    const struct one one = {.row = row, .value = value};
    static char text[VALUE_TEXT + 2048];

    render(&one, text, sizeof(text));
    return parse_of(row, text);
}

static void good(const struct conf_row *row, const char *value)
{
    struct parsed p = parse_one(row, value);

    if (p.result != ERR_OK)
        fail_msg("%s.%s = %.200s is refused: %s", conf_group_name(row->group), row->key, value,
                 p.errors.text);
    conf_free(p.conf);
}

/* The complaint names the file, a line, the key's path, what was found and what is allowed. */
static void bad(const struct conf_row *row, const char *value)
{
    static const char *const paths[CONF_GROUP_COUNT] = {
        [CONF_GROUP_ROOT] = "",
        [CONF_GROUP_GATEWAY] = "gateway.",
        [CONF_GROUP_LIMITS] = "limits.",
        [CONF_GROUP_RESOLVER] = "resolver.",
        [CONF_GROUP_TLS] = "tls.",
        [CONF_GROUP_CERT] = "tls.certificates[0].",
        [CONF_GROUP_POLICY_LIST] = "tls.policy_list.",
        [CONF_GROUP_TLSRPT] = "tlsrpt.",
        [CONF_GROUP_TLSRPT_SEND] = "tlsrpt.send.",
        [CONF_GROUP_LISTENER] = "listeners[0].",
        [CONF_GROUP_ROUTE] = "routes[0].",
        [CONF_GROUP_ROUTE_TLS] = "routes[0].tls.",
        [CONF_GROUP_ROUTE_AUTH] = "routes[0].auth.",
        [CONF_GROUP_SENDER] = "senders[0].",
        [CONF_GROUP_PIN_FILE] = "",
        [CONF_GROUP_PIN] = "current.",
        [CONF_GROUP_APPLIANCE] = "",
        [CONF_GROUP_NETWORK] = "network[0].",
        [CONF_GROUP_BOND] = "network[0].bond.",
        [CONF_GROUP_NTP] = "ntp[0].",
        [CONF_GROUP_ACME] = "acme.",
    };
    struct parsed p = parse_one(row, value);
    char path[128];
    unsigned line = 0;

    if (p.result != ERR_CONFIG)
        fail_msg("%s%s = %.200s is accepted", paths[row->group], row->key, value);
    snprintf(path, sizeof(path), ": %s%s", paths[row->group], row->key);
    const char *at = strstr(p.errors.text, path);
    if (!at || sscanf(p.errors.text, "dir/postern.conf:%u:", &line) != 1 || line == 0 ||
        !strstr(at, "found ") || !strstr(at, "allowed "))
        fail_msg("%s%s = %.200s: complaint does not tell: %s", paths[row->group], row->key, value,
                 p.errors.text);
}

static void check_number(const struct conf_row *row)
{
    const int64_t values[] = {row->min, row->max, row->min - 1, row->max + 1};
    char text[32];

    for (size_t i = 0; i < 4; i++) {
        snprintf(text, sizeof(text), "%lld", (long long)values[i]);
        (i < 2 ? good : bad)(row, text);
    }
    bad(row, "\"10\"");
    bad(row, "true");
    bad(row, "1.5");
    bad(row, "[ 1 ]");
    /* libconfig 1.5 would cut it to 32 bits, and read 100. */
    (row->max > 4294967396 ? good : bad)(row, "4294967396");
}

static void check_words(const struct conf_row *row)
{
    char text[64];

    for (const struct conf_word *w = row->words; w->word; w++) {
        snprintf(text, sizeof(text), "\"%s\"", w->word);
        (w->refused ? bad : good)(row, text);
    }
    bad(row, "\"nonsense\"");
    bad(row, "\"\"");
    bad(row, "1");
    bad(row, "true");
}

static void check_length(const struct conf_row *row)
{
    static char text[VALUE_TEXT];

    for (int64_t len = row->min - 1; len <= row->max + 1; len += row->max - row->min + 1) {
        for (int64_t at = len; at <= len + 1; at++) {
            if (at < 0)
                continue;
            assert_true(at < VALUE_TEXT - 3);
            memset(text, 'x', sizeof(text));
            text[0] = text[at + 1] = '"';
            text[at + 2] = '\0';
            (at >= row->min && at <= row->max ? good : bad)(row, text);
        }
    }
    bad(row, "1");
    bad(row, "[ \"x\" ]");
}

#define HASH "0123456789abcdef0123456789ABCDEF0123456789abcdef0123456789abcdef"
#define HASH_COLONS                                                                                \
    "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:"   \
    "EE:"                                                                                          \
    "FF"
#define SSH_BLOB "AAAAC3NzaC1lZDI1NTE5AAAAIJ7b0WLzUVV5wyY2qsGYbLHsFq1vbKmYuBv3mJtUO3Uv"
#define SSH_KEY "ssh-ed25519 " SSH_BLOB
#define SSH_RSA_512                                                                                \
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQDGPIHKGKgIKzDQrsTWZ8O8cn6cBjk6DZJT4mPFbbwDE6AUj/"       \
    "cOB2nkVPM6YTVT6CC7XRzyBfDRlDJNB8ZVUQ7h"
#define LABEL_64 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *good[8];
    const char *bad[16];
} values[] = {
    [CONF_TYPE_BOOL] = {{"true", "false"}, {"1", "\"true\"", "[ true ]"}},
    [CONF_TYPE_HOSTNAME] = {{"\"a\"", "\"A.b-c.example\"", "\"xn--4ca.example\""},
                            {"\"\"", "\"-x\"", "\"x-\"", "\"a..b\"", "\".a\"", "\"a.\"",
                             "\"1.2.3.4\"", "\"a_b\"", "\"a b\"", "\"[::1]\"",
                             "\"" LABEL_64 ".example\"", "5"}},
    [CONF_TYPE_DOMAIN] = {{"\"*\"", "\"a.example\"", "\".a.example\""},
                          {"\"\"", "\"*.a.example\"", "\"..a\"", "\"a@b\"", "7", "[ \"a\" ]"}},
    [CONF_TYPE_PARTNER] = {{"\"a.example\"", "\".a.example\""},
                           {"\"\"", "\"*\"", "\"*.a.example\"", "\"..a\"", "\"a@b\"",
                            "\"[192.0.2.1]\"", "7", "[ \"a\" ]"}},
    [CONF_TYPE_NAME] = {{"\"a-b_c.1\""}, {"\"\"", "\"a b\"", "\"a/b\"", "1"}},
    [CONF_TYPE_MAILBOX] = {{"\"a@b.example\"", "\"x.y+z@a-b.c.example\""},
                           {"\"a@b\"", "\"a b@c.example\"", "\"<a@b.example>\"", "\"a\"", "\"\"",
                            "1"}},
    [CONF_TYPE_ADDRESS] = {{"\"0.0.0.0:25\"", "\"[::]:25\"", "\"127.0.0.1:65535\""},
                           {"\"127.0.0.1\"", "\"127.0.0.1:0\"", "\"127.0.0.1:65536\"", "\"::1:25\"",
                            "\"localhost:25\"", "\"\"", "25"}},
    [CONF_TYPE_METRICS] = {{"\"\"", "\"127.0.0.1:9\"", "\"[::1]:9\""},
                           {"\"localhost:9\"", "\"127.0.0.1\"", "9925"}},
    [CONF_TYPE_PIN] = {{"\"" HASH "\"", "\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\""},
                       {"\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\"", "\"\"",
                        "[ \"" HASH "\" ]", "1"}},
    [CONF_TYPE_FINGERPRINT] = {{"\"" HASH "\"", "\"" HASH_COLONS "\""},
                               {"\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"", "\"\"",
                                "\"" HASH "0\"", "[ \"" HASH "\" ]", "1"}},
    [CONF_TYPE_MOMENT] = {{"\"2027-01-31T12:00:00Z\"", "\"1970-01-01T00:00:00+00:00\""},
                          {"\"\"", "\"2027-01-31\"", "\"2027-02-30T12:00:00Z\"",
                           "\"1969-12-31T23:59:59Z\"", "\"2027-01-31T12:00:00\"", "1801396800",
                           "true"}},
    [CONF_TYPE_INTERFACE] = {{"\"first\"", "\"eno1\"", "\"enp3s0f0.25_a-b\"",
                              "\"52:54:00:AB:cd:ef\""},
                             {"\"\"", "\"lo\"", "\"all\"", "\"en*\"", "\"eno 1\"", "\"-eno1\"",
                              "\".\"", "\"sixteenletters16\"", "\"53:54:00:ab:cd:ef\"",
                              "\"52-54-00-ab-cd-ef\"", "\"52:54:00:ab:cd\"", "\"a\\nb\"", "1"}},
    [CONF_TYPE_HOST] = {{"\"time.example.org\"", "\"192.0.2.1\"", "\"2001:db8::1\""},
                        {"\"\"", "\"a b\"", "\"192.0.2.1:123\"", "\"a\\niburst\"", "\"a;b\"", "1"}},
    [CONF_TYPE_TIME_ZONE] = {{"\"UTC\"", "\"Europe/Berlin\"", "\"Etc/GMT+5\"",
                              "\"America/Argentina/Buenos_Aires\""},
                             {"\"\"", "\"/etc/passwd\"", "\"../../etc/passwd\"", "\"Europe/\"",
                              "\"Europe//Berlin\"", "\"Europe/../UTC\"", "\"Europe Berlin\"", "1"}},
    [CONF_TYPE_CRYPT] = {{"\"$6$salt$" HASH "\"", "\"$y$j9T$salt$" HASH "\"",
                          "\"$6$rounds=5000$salt$" HASH "\""},
                         {"\"secret\"", "\"\"", "\"$1$salt$" HASH "\"", "\"$5$salt$" HASH "\"",
                          "\"$6$salt\"", "\"$6$salt$" HASH "$\"", "\"$6$sa:lt$" HASH "\"",
                          "\"$6$salt$" HASH "\\n\"", "\"!$6$salt$" HASH "\"", "6"}},
    [CONF_TYPE_URL] = {{"\"https://acme.example/directory\"", "\"https://a:14000/dir?x=1\""},
                       {"\"http://acme.example/\"", "\"https://\"", "\"https:///x\"", "\"\"",
                        "\"https://a/ b\"", "\"https://a/$(b)\"", "\"https://a/`b`\"",
                        "\"https://a/\\\"b\"", "\"https://a/\\nb\"", "\"https://u@a/\"", "1"}},
    [CONF_TYPE_SOURCE] = {{"\"192.0.2.1\"", "\"2001:db8::1\"", "[ \"192.0.2.1\", \"2001:db8::1\" ]",
                           "( \"2001:db8::1\" )"},
                          {"\"x\"", "\"192.0.2.1:25\"", "[ \"192.0.2.1\", \"192.0.2.2\" ]", "[ ]",
                           "[ 1 ]", "1", "{ }",
                           "[ \"192.0.2.1\", \"2001:db8::1\", \"192.0.2.2\" ]"}},
    [CONF_TYPE_STRINGS] = {{"\"in\"", "[ \"in\" ]", "( )"}, {"1", "[ 1 ]", "{ }", "\"out\""}},
    [CONF_TYPE_USERS] = {{"\"anna\"", "[ \"a.b_c@d-e+f\" ]", "( )"},
                         {"\"\"", "\"an na\"", "\"a:b\"", "1", "[ 1 ]"}},
    [CONF_TYPE_SUITES] = {{"\"TLS_AES_128_GCM_SHA256\"",
                           "[ \"TLS_AES_256_GCM_SHA384\", \"TLS_RSA_WITH_AES_128_GCM_SHA256\" ]"},
                          {"\"TLS AES\"", "\"TLS_AES:TLS\"", "13"}},
    [CONF_TYPE_GROUPS] = {{"\"X25519MLKEM768\"", "[ \"P-256\", \"ffdhe2048\" ]"},
                          {"\"*X25519\"", "\"X25519:P-256\"", "\"X25519/P-256\"", "1"}},
    [CONF_TYPE_HOSTNAMES] = {{"\"corp.example\"", "[ ]"}, {"\"*\"", "[ \"a\", \"-\" ]", "1"}},
    [CONF_TYPE_TLS_NAMES] = {{"\".a.example\"", "[ \"a.example\", \".b.example\" ]"},
                             {"\"*\"", "\"*.a.example\"", "1"}},
    [CONF_TYPE_DNS_SERVERS] = {{"\"192.0.2.1\"", "[ \"[::1]:53\", \"::1\", \"192.0.2.1:5353\" ]"},
                               {"\"dns.example\"", "\"192.0.2.1:0\"", "53"}},
    [CONF_TYPE_DNS_STUBS] = {{"\"corp.example=192.0.2.1:53\"", "[ \"a=[::1]:53\" ]"},
                             {"\"corp.example\"", "\"=192.0.2.1:53\"", "\"a=192.0.2.1\"", "1"}},
    [CONF_TYPE_PREFIXES] = {{"\"10.0.0.0/8\"", "[ \"::/0\", \"192.0.2.1\" ]", "[ ]"},
                            {"\"10.0.0.0/33\"", "\"::/129\"", "\"x\"", "[ 1 ]", "1"}},
    [CONF_TYPE_FINGERPRINTS] = {{"\"" HASH "\"", "[ \"" HASH_COLONS "\" ]"},
                                {"\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"",
                                 "\"" HASH "0\"", "\"00" HASH_COLONS "\"", "\"x\"", "1"}},
    [CONF_TYPE_PINS] = {{"\"" HASH "\"", "\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\""},
                        {"\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=\"", /* spare bits */
                         "\"sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\"",
                         "\"sha256/47DEQpj8HBSa*/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\"", "\"sha256/\"",
                         "\"sha1/x\"", "1"}},
    [CONF_TYPE_INTERFACES] = {{"\"eno1\"", "[ \"eno1\", \"52:54:00:ab:cd:ef\" ]"},
                              {"\"first\"", "[ ]", "\"lo\"", "\"eno1\\n\"", "1", "[ 1 ]"}},
    [CONF_TYPE_ADDRESSES] = {{"\"192.0.2.25/24\"", "[ \"192.0.2.25/32\", \"2001:db8::25/64\" ]",
                              "[ ]", "\"192.0.2.0/31\""},
                             {"\"192.0.2.25\"", "\"192.0.2.25/33\"", "\"192.0.2.25/0\"",
                              "\"192.0.2.25/\"", "\"[2001:db8::25]/64\"", "\"2001:db8::25/129\"",
                              "\"192.0.2.25/24\\nx\"", "\"192.0.2.0/24\"", "\"192.0.2.255/24\"",
                              "\"2001:db8::/64\"", "[ \"192.0.2.25/24\", \"192.0.2.25/25\" ]",
                              "1"}},
    [CONF_TYPE_IPS] = {{"\"192.0.2.1\"", "[ \"192.0.2.1\", \"2001:db8::1\" ]", "[ ]"},
                       {"\"192.0.2.1/24\"", "\"a\"", "\"192.0.2.1:53\"", "\"192.0.2.1\\nx\"", "1"}},
    [CONF_TYPE_SSH_KEYS] = {{"\"" SSH_KEY "\"",
                             "[ \"" SSH_KEY " anna@example\", \"  " SSH_KEY "   two words \" ]",
                             "[ ]"},
                            {"\"ssh-ed25519\"", "\"ssh-dss " SSH_BLOB "\"",
                             "\"ssh-rsa " SSH_BLOB "\"", "\"command=\\\"x\\\" " SSH_KEY "\"",
                             "\"" SSH_KEY " a\\nssh-rsa\"", "\"ssh-ed25519 " SSH_BLOB "A\"",
                             "\"ssh-ed25519 AAAA\"", "\"" SSH_RSA_512 "\"", "1", "[ 1 ]"}},
    [CONF_TYPE_HOPS] = {{"\"mx\"", "\"mail.example:25\"", "\"[2001:db8::1]:25\"",
                         "[ \"192.0.2.1:25\", \"a_b.example:2525\" ]"},
                        {"\"mail.example\"", "\"mail.example:0\"", "\"mail.example:65536\"",
                         "\"2001:db8::1:25\"", "\":25\"", "\"1.2.3.400:25\"", "[ ]", "[ 25 ]", "25",
                         "[ \"mx\", \"mail.example:25\" ]", "\"\""}},
    [CONF_TYPE_SECTION] = {{NULL}, {"1", "\"x\"", "( )", "[ ]", "( { } )"}},
    [CONF_TYPE_SECTIONS] = {{NULL}, {"1", "\"x\"", "{ }", "( 1 )", "[ 1 ]"}},
};

static void check_listed(const struct conf_row *row)
{
    for (size_t i = 0; i < 8 && values[row->type].good[i]; i++)
        good(row, values[row->type].good[i]);
    for (size_t i = 0; i < 16 && values[row->type].bad[i]; i++)
        bad(row, values[row->type].bad[i]);
}

static void every_row_is_obeyed(void **state)
{
    for (size_t i = 0; i < conf_rows_len; i++) {
        const struct conf_row *row = &conf_rows[i];
        if (row->type == CONF_TYPE_UINT || row->type == CONF_TYPE_U64)
            check_number(row);
        else if (row->type == CONF_TYPE_WORD)
            check_words(row);
        else if (row->type == CONF_TYPE_STRING || row->type == CONF_TYPE_FILE)
            check_length(row);
        else
            check_listed(row);
    }
}

static void a_list_has_a_longest(void **state)
{
    static char text[VALUE_TEXT];

    for (size_t i = 0; i < conf_rows_len; i++) {
        const struct conf_row *row = &conf_rows[i];
        size_t n = 1;
        if (!conf_type_is_list(row->type) || row->max > 300)
            continue;
        text[0] = '(';
        for (int64_t count = 0; count <= row->max; count++)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"x\"", count ? "," : "");
        snprintf(text + n, sizeof(text) - n, ")");
        bad(row, text);
    }
}

static void every_must_is_missed(void **state)
{
    for (size_t i = 0; i < conf_rows_len; i++) {
        const struct conf_row *row = &conf_rows[i];
        static char text[VALUE_TEXT + 2048];
        const struct one one = {.row = row, .value = "1"};
        if (!row->must)
            continue;
        render(&one, text, sizeof(text));
        char key[64], *at;
        snprintf(key, sizeof(key), "%s = 1;\n", row->key);
        assert_non_null(at = strstr(text, key));
        memset(at, ' ', strlen(key));
        struct parsed p = parse_of(row, text);
        snprintf(key, sizeof(key), "%s: found nothing, it must be set", row->key);
        if (!strstr(p.errors.text, key))
            fail_msg("%s is not missed: %s", row->key, p.errors.text);
    }
}

/* What each row owes its readers, and what a default has to be. */
static void the_table_is_sound(void **state)
{
    for (size_t i = 0; i < conf_rows_len; i++) {
        const struct conf_row *row = &conf_rows[i];
        bool section = row->type == CONF_TYPE_SECTION || row->type == CONF_TYPE_SECTIONS;
        assert_true(strlen(row->prose) > 0 && row->prose[strlen(row->prose) - 1] == '.');
        for (size_t j = 0; j < i; j++)
            assert_false(conf_rows[j].group == row->group &&
                         strcmp(conf_rows[j].key, row->key) == 0);
        if (!section && row->reload == CONF_RELOAD_RESTART) {
            assert_true(row->type <= CONF_TYPE_METRICS);
            assert_true(row->must || row->fallback);
        }
        if (row->fallback && row->fallback[0] != '=') {
            bool bare = row->type == CONF_TYPE_UINT || row->type == CONF_TYPE_U64 ||
                        row->type == CONF_TYPE_BOOL;
            char text[128];
            snprintf(text, sizeof(text), bare ? "%s" : "\"%s\"", row->fallback);
            if (!(row->type == CONF_TYPE_WORD && strcmp(row->fallback, "none") == 0))
                good(row, text);
        }
    }
}

static void distances_are_right(void **state)
{
    assert_int_equal(conf_distance("", ""), 0);
    assert_int_equal(conf_distance("abc", "abc"), 0);
    assert_int_equal(conf_distance("kitten", "sitting"), 3);
    assert_int_equal(conf_distance("", "abc"), 3);
    assert_string_equal(conf_row_nearest(CONF_GROUP_LISTENER, "requiretls"), "require_tls");
    assert_null(conf_row_nearest(CONF_GROUP_LISTENER, "zzzzzzzz"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_obeyed),  cmocka_unit_test(a_list_has_a_longest),
        cmocka_unit_test(every_must_is_missed), cmocka_unit_test(the_table_is_sound),
        cmocka_unit_test(distances_are_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
