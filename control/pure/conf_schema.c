/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_schema.h"

#include "appliance.h"

#include <stdio.h>

static const struct conf_word conf_dataplane_words[] = {
    {"auto", CONF_DATAPLANE_AUTO, NULL},
    {"ktls", CONF_DATAPLANE_KTLS, NULL},
    {"uring", CONF_DATAPLANE_URING, NULL},
    {"dpdk", 0, "this version can't honour it: it has no DPDK transport yet"},
    {NULL, 0, NULL},
};

static const struct conf_word conf_kernel_fixes_words[] = {
    {"require", CONF_KERNEL_FIXES_REQUIRE, NULL},
    {"warn", CONF_KERNEL_FIXES_WARN, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_aead_words[] = {
    {"auto", CONF_AEAD_AUTO, NULL},
    {"openssl", CONF_AEAD_OPENSSL, NULL},
    {"ipsec-mb", CONF_AEAD_IPSEC_MB, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_log_words[] = {
    {"error", LOG_LEVEL_ERROR, NULL},
    {"warning", LOG_LEVEL_WARNING, NULL},
    {"info", LOG_LEVEL_INFO, NULL},
    {"debug", LOG_LEVEL_DEBUG, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_profile_words[] = {
    {"modern", TLS_PROFILE_MODERN, NULL},
    {"nist-800-52r2", TLS_PROFILE_NIST_800_52R2, NULL},
    {"compatible", TLS_PROFILE_COMPATIBLE, NULL},
    {"hipaa", TLS_PROFILE_HIPAA, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_version_words[] = {
    {"1.2", TLS_VERSION_1_2, NULL},
    {"1.3", TLS_VERSION_1_3, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_listener_tls_words[] = {
    {"starttls", CONF_LISTENER_STARTTLS, NULL},
    {"implicit", CONF_LISTENER_IMPLICIT, NULL},
    {"none", CONF_LISTENER_NONE, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_client_cert_words[] = {
    {"none", TLS_CLIENT_CERT_NONE, NULL},
    {"ask", TLS_CLIENT_CERT_ASK, NULL},
    {"require", TLS_CLIENT_CERT_REQUIRE, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_bare_newline_words[] = {
    {"reject", CONF_BARE_NEWLINE_REJECT, NULL},
    {"normalize", CONF_BARE_NEWLINE_NORMALIZE, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_level_words[] = {
    {"none", CONF_LEVEL_NONE, NULL},
    {"may", CONF_LEVEL_MAY, NULL},
    {"encrypt", CONF_LEVEL_ENCRYPT, NULL},
    {"verify", CONF_LEVEL_VERIFY, NULL},
    {"pin", CONF_LEVEL_PIN, NULL},
    {"dane", CONF_LEVEL_DANE, NULL},
    {"sts", CONF_LEVEL_STS, NULL},
    {"auto", CONF_LEVEL_AUTO, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_sender_level_words[] = {
    {"encrypt", CONF_SENDER_ENCRYPT, NULL},
    {"verify", CONF_SENDER_VERIFY, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_ratchet_words[] = {{"off", CONF_RATCHET_OFF, NULL},
                                                      {"warn", CONF_RATCHET_WARN, NULL},
                                                      {"hold", CONF_RATCHET_HOLD, NULL},
                                                      {NULL, 0, NULL}};
static const struct conf_word conf_refuse_words[] = {
    {"permanent", CONF_REFUSE_PERMANENT, NULL},
    {"temporary", CONF_REFUSE_TEMPORARY, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_hop_tls_words[] = {
    {"starttls", CONF_HOP_STARTTLS, NULL},
    {"implicit", CONF_HOP_IMPLICIT, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_auth_words[] = {
    {"none", CONF_AUTH_NONE, NULL},
    {"plain", CONF_AUTH_PLAIN, NULL},
    {"login", CONF_AUTH_LOGIN, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_dhcp_words[] = {
    {"auto", APPLIANCE_DHCP_AUTO, NULL}, {"both", APPLIANCE_DHCP_BOTH, NULL},
    {"ipv4", APPLIANCE_DHCP_IPV4, NULL}, {"ipv6", APPLIANCE_DHCP_IPV6, NULL},
    {"none", APPLIANCE_DHCP_NONE, NULL}, {NULL, 0, NULL},
};

static const struct conf_word conf_bond_words[] = {
    {"active-backup", APPLIANCE_BOND_ACTIVE_BACKUP, NULL},
    {"802.3ad", APPLIANCE_BOND_802_3AD, NULL},
    {"balance-xor", APPLIANCE_BOND_BALANCE_XOR, NULL},
    {NULL, 0, NULL},
};

static const struct conf_word conf_terms_words[] = {{"agreed", APPLIANCE_TERMS_AGREED, NULL},
                                                    {NULL, 0, NULL}};

/* Words are written into their field as an int. */
_Static_assert(sizeof(enum conf_level) == sizeof(int) && sizeof(enum tls_profile) == sizeof(int) &&
                   sizeof(enum tls_version) == sizeof(int),
               "an enum is an int");

#define CONF_STRUCT_ROOT struct conf
#define CONF_STRUCT_GATEWAY struct conf_gateway
#define CONF_STRUCT_LIMITS struct conf_limits
#define CONF_STRUCT_RESOLVER struct conf_resolver
#define CONF_STRUCT_TLS struct conf_tls_defaults
#define CONF_STRUCT_CERT struct conf_cert
#define CONF_STRUCT_POLICY_LIST struct conf_policy_list
#define CONF_STRUCT_TLSRPT struct conf_tlsrpt
#define CONF_STRUCT_TLSRPT_SEND struct conf_tlsrpt_send
#define CONF_STRUCT_LISTENER struct conf_listener
#define CONF_STRUCT_ROUTE struct conf_route
#define CONF_STRUCT_ROUTE_TLS struct conf_route
#define CONF_STRUCT_ROUTE_AUTH struct conf_route
#define CONF_STRUCT_SENDER struct conf_sender
#define CONF_STRUCT_PIN_FILE struct conf_pins
#define CONF_STRUCT_PIN struct conf_pin
#define CONF_STRUCT_APPLIANCE struct appliance
#define CONF_STRUCT_NETWORK struct appliance_network
#define CONF_STRUCT_BOND struct appliance_network
#define CONF_STRUCT_NTP struct appliance_ntp
#define CONF_STRUCT_ACME struct appliance_acme

#define MUST .must = true
#define NONE .fallback = NULL
#define DEFAULT(text) .fallback = text

const struct conf_row conf_rows[] = {
#define SETTING(grp, name, kind, field, low, high, dflt, u, rel, text)                             \
    {.group = CONF_GROUP_##grp,                                                                    \
     .key = name,                                                                                  \
     .type = CONF_TYPE_##kind,                                                                     \
     .offset = offsetof(CONF_STRUCT_##grp, field),                                                 \
     .min = low,                                                                                   \
     .max = high,                                                                                  \
     dflt,                                                                                         \
     .unit = u,                                                                                    \
     .reload = CONF_RELOAD_##rel,                                                                  \
     .prose = text},
#define LIST(grp, name, kind, list, list_len, low, high, dflt, u, rel, text)                       \
    {.group = CONF_GROUP_##grp,                                                                    \
     .key = name,                                                                                  \
     .type = CONF_TYPE_##kind,                                                                     \
     .offset = offsetof(CONF_STRUCT_##grp, list),                                                  \
     .len_offset = offsetof(CONF_STRUCT_##grp, list_len),                                          \
     .min = low,                                                                                   \
     .max = high,                                                                                  \
     dflt,                                                                                         \
     .unit = u,                                                                                    \
     .reload = CONF_RELOAD_##rel,                                                                  \
     .prose = text},
#define WORDS(grp, name, table, field, dflt, rel, text)                                            \
    {.group = CONF_GROUP_##grp,                                                                    \
     .key = name,                                                                                  \
     .type = CONF_TYPE_WORD,                                                                       \
     .offset = offsetof(CONF_STRUCT_##grp, field),                                                 \
     .words = table,                                                                               \
     dflt,                                                                                         \
     .unit = "",                                                                                   \
     .reload = CONF_RELOAD_##rel,                                                                  \
     .prose = text},
#define SECTION(grp, name, sub, field, when, text)                                                 \
    {.group = CONF_GROUP_##grp,                                                                    \
     .key = name,                                                                                  \
     .type = CONF_TYPE_SECTION,                                                                    \
     .offset = offsetof(CONF_STRUCT_##grp, field),                                                 \
     .section = CONF_GROUP_##sub,                                                                  \
     .presence = when,                                                                             \
     .unit = "",                                                                                   \
     .prose = text},
#define SECTIONS(grp, name, sub, list, list_len, low, high, text)                                  \
    {.group = CONF_GROUP_##grp,                                                                    \
     .key = name,                                                                                  \
     .type = CONF_TYPE_SECTIONS,                                                                   \
     .offset = offsetof(CONF_STRUCT_##grp, list),                                                  \
     .len_offset = offsetof(CONF_STRUCT_##grp, list_len),                                          \
     .section = CONF_GROUP_##sub,                                                                  \
     .min = low,                                                                                   \
     .max = high,                                                                                  \
     .must = (low) > 0,                                                                            \
     .unit = "",                                                                                   \
     .prose = text},
#include "conf_schema.def"
#undef SETTING
#undef LIST
#undef WORDS
#undef SECTION
#undef SECTIONS
};

const size_t conf_rows_len = sizeof(conf_rows) / sizeof(conf_rows[0]);

static const struct {
    const char *name;
    size_t size;
} groups[CONF_GROUP_COUNT] = {
    [CONF_GROUP_ROOT] = {"", sizeof(struct conf)},
    [CONF_GROUP_GATEWAY] = {"gateway", sizeof(struct conf_gateway)},
    [CONF_GROUP_LIMITS] = {"limits", sizeof(struct conf_limits)},
    [CONF_GROUP_RESOLVER] = {"resolver", sizeof(struct conf_resolver)},
    [CONF_GROUP_TLS] = {"tls", sizeof(struct conf_tls_defaults)},
    [CONF_GROUP_CERT] = {"certificates", sizeof(struct conf_cert)},
    [CONF_GROUP_POLICY_LIST] = {"tls.policy_list", sizeof(struct conf_policy_list)},
    [CONF_GROUP_TLSRPT] = {"tlsrpt", sizeof(struct conf_tlsrpt)},
    [CONF_GROUP_TLSRPT_SEND] = {"tlsrpt.send", sizeof(struct conf_tlsrpt_send)},
    [CONF_GROUP_LISTENER] = {"listeners", sizeof(struct conf_listener)},
    [CONF_GROUP_ROUTE] = {"routes", sizeof(struct conf_route)},
    [CONF_GROUP_ROUTE_TLS] = {"routes.tls", sizeof(struct conf_route)},
    [CONF_GROUP_ROUTE_AUTH] = {"routes.auth", sizeof(struct conf_route)},
    [CONF_GROUP_SENDER] = {"senders", sizeof(struct conf_sender)},
    [CONF_GROUP_PIN_FILE] = {"a pin file", sizeof(struct conf_pins)},
    [CONF_GROUP_PIN] = {"a pin", sizeof(struct conf_pin)},
    [CONF_GROUP_APPLIANCE] = {"", sizeof(struct appliance)},
    [CONF_GROUP_NETWORK] = {"network", sizeof(struct appliance_network)},
    [CONF_GROUP_BOND] = {"network.bond", sizeof(struct appliance_network)},
    [CONF_GROUP_NTP] = {"ntp", sizeof(struct appliance_ntp)},
    [CONF_GROUP_ACME] = {"acme", sizeof(struct appliance_acme)},
};

size_t conf_group_size(enum conf_group group)
{
    return groups[group].size;
}

const char *conf_group_name(enum conf_group group)
{
    return groups[group].name;
}

const char *conf_group_file(enum conf_group group)
{
    return group >= CONF_GROUP_APPLIANCE  ? "appliance.conf"
           : group >= CONF_GROUP_PIN_FILE ? "a pin file"
                                          : "postern.conf";
}

const char *conf_group_manual(enum conf_group group)
{
    return group >= CONF_GROUP_APPLIANCE ? "appliance.conf(5)" : "postern.conf(5)";
}

const struct conf_row *conf_row_find(enum conf_group group, const char *key)
{
    for (size_t i = 0; i < conf_rows_len; i++) {
        if (conf_rows[i].group == group && strcmp(conf_rows[i].key, key) == 0)
            return &conf_rows[i];
    }
    return NULL;
}

enum { DISTANCE_MAX_LEN = 64 };

unsigned conf_distance(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    unsigned row[DISTANCE_MAX_LEN + 1];

    if (a_len > DISTANCE_MAX_LEN || b_len > DISTANCE_MAX_LEN)
        return DISTANCE_MAX_LEN;
    for (size_t j = 0; j <= b_len; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            unsigned above = row[j];
            unsigned best = diagonal + (a[i - 1] != b[j - 1]);
            best = above + 1 < best ? above + 1 : best;
            row[j] = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            diagonal = above;
        }
    }
    return row[b_len];
}

const char *conf_row_nearest(enum conf_group group, const char *key)
{
    const char *nearest = NULL;
    unsigned best = 2 + (unsigned)strlen(key) / 4;

    for (size_t i = 0; i < conf_rows_len; i++) {
        unsigned distance = conf_distance(key, conf_rows[i].key);
        if (conf_rows[i].group == group && distance <= best) {
            best = distance - (distance > 0);
            nearest = conf_rows[i].key;
        }
    }
    return nearest;
}

bool conf_type_is_list(enum conf_type type)
{
    return type >= CONF_TYPE_STRINGS && type <= CONF_TYPE_HOPS;
}

static void allowed_words(const struct conf_word *words, char out[CONF_ALLOWED_TEXT])
{
    size_t len = 0, left = 0;

    for (const struct conf_word *w = words; w->word; w++)
        left += !w->refused;
    for (const struct conf_word *w = words; w->word && len < CONF_ALLOWED_TEXT; w++) {
        if (w->refused)
            continue;
        left--;
        len += (size_t)snprintf(out + len, CONF_ALLOWED_TEXT - len, "\"%s\"%s", w->word,
                                left > 1    ? ", "
                                : left == 1 ? " or "
                                            : "");
    }
}

/* counted: what a row's range counts, where the text goes on with it. */
static const struct {
    const char *text, *counted;
} allowed_texts[] = {
    [CONF_TYPE_UINT] = {"", NULL},
    [CONF_TYPE_U64] = {"", NULL},
    [CONF_TYPE_BOOL] = {"true or false", NULL},
    [CONF_TYPE_WORD] = {"", NULL},
    [CONF_TYPE_STRING] = {"a string of", "bytes"},
    [CONF_TYPE_FILE] = {"a file name of", "bytes"},
    [CONF_TYPE_HOSTNAME] = {"a host name such as \"mx.example.org\"", NULL},
    [CONF_TYPE_DOMAIN] = {"a domain (\"example.org\"), its subdomains (\".example.org\") or \"*\"",
                          NULL},
    [CONF_TYPE_PARTNER] =
        {"a domain (\"partner.example\") or its subdomains (\".partner.example\")", NULL},
    [CONF_TYPE_NAME] = {"letters, digits, '-', '_' and '.',", "bytes"},
    [CONF_TYPE_MAILBOX] = {"an address of mail such as \"postmaster@example.org\"", NULL},
    [CONF_TYPE_ADDRESS] = {"an address and port such as \"192.0.2.1:25\" or \"[2001:db8::1]:25\"",
                           NULL},
    [CONF_TYPE_METRICS] = {"an address and port such as \"127.0.0.1:9925\", or \"\" for none",
                           NULL},
    [CONF_TYPE_PIN] =
        {"SHA-256 of a public key (\"sha256/\" and 44 characters of base64, or 64 hex digits)",
         NULL},
    [CONF_TYPE_FINGERPRINT] = {"SHA-256 of a certificate (64 hex digits, with or without colons)",
                               NULL},
    [CONF_TYPE_MOMENT] = {"a time such as \"2027-01-31T12:00:00Z\"", NULL},
    [CONF_TYPE_INTERFACE] = {"\"first\", an interface's name such as \"eno1\", or its MAC address",
                             NULL},
    [CONF_TYPE_HOST] = {"a host name such as \"time.example.org\", or an IP address", NULL},
    [CONF_TYPE_TIME_ZONE] = {"a time zone such as \"UTC\" or \"Europe/Berlin\"", NULL},
    [CONF_TYPE_CRYPT] = {"a hash of a password that begins with \"$y$\" or \"$6$\", as "
                         "\"openssl passwd -6\" makes it",
                         NULL},
    [CONF_TYPE_URL] = {"an address such as \"https://acme.example/directory\"", NULL},
    [CONF_TYPE_SOURCE] = {"an IP address, or a list of one IPv4 and one IPv6 address", NULL},
    [CONF_TYPE_STRINGS] = {"a list of strings,", "elements"},
    [CONF_TYPE_USERS] = {"a list of users such as \"anna\" (letters, digits and \"._@+-\"),",
                         "elements"},
    [CONF_TYPE_GROUPS] = {"a list of key exchange groups such as \"X25519\" or \"P-256\",",
                          "elements"},
    [CONF_TYPE_SUITES] = {"a list of suites such as \"TLS_AES_128_GCM_SHA256\",", "elements"},
    [CONF_TYPE_HOSTNAMES] = {"a list of domains such as \"corp.example\",", "elements"},
    [CONF_TYPE_TLS_NAMES] = {"a list of host names such as \"mx.example.org\" or \".example.org\",",
                             "elements"},
    [CONF_TYPE_DNS_SERVERS] = {"a list of addresses such as \"192.0.2.53\" or \"192.0.2.53:5353\",",
                               "elements"},
    [CONF_TYPE_DNS_STUBS] = {"a list of entries such as \"corp.example=192.0.2.53:53\",",
                             "elements"},
    [CONF_TYPE_PREFIXES] =
        {"a list of addresses or networks such as \"192.0.2.1\" or \"2001:db8::/32\",", "elements"},
    [CONF_TYPE_FINGERPRINTS] =
        {"a list of SHA-256 fingerprints (64 hex digits, with or without colons),", "elements"},
    [CONF_TYPE_PINS] =
        {"a list of SHA-256 pins (\"sha256/\" and 44 characters of base64, or 64 hex digits),",
         "elements"},
    [CONF_TYPE_INTERFACES] = {"a list of interfaces' names such as \"eno1\", or MAC addresses,",
                              "elements"},
    [CONF_TYPE_ADDRESSES] = {"a list of addresses with their networks' length, such as "
                             "\"192.0.2.25/24\" or \"2001:db8::25/64\",",
                             "elements"},
    [CONF_TYPE_IPS] = {"a list of IP addresses,", "elements"},
    [CONF_TYPE_SSH_KEYS] =
        {"a list of public keys such as \"ssh-ed25519 AAAA... name\" (RSA ones of "
         "2048 bits or more, no options),",
         "elements"},
    [CONF_TYPE_HOPS] = {"\"mx\", or \"host:port\" or a list of such,", "elements"},
    [CONF_TYPE_SECTION] = {"a group of settings { ... }", NULL},
    [CONF_TYPE_SECTIONS] = {"a list ( { ... }, ... ) of", "groups"},
};

const char *conf_row_allowed(const struct conf_row *row, char out[CONF_ALLOWED_TEXT])
{
    const char *text = allowed_texts[row->type].text, *counted = allowed_texts[row->type].counted;

    if (row->type == CONF_TYPE_WORD)
        allowed_words(row->words, out);
    else if (row->type == CONF_TYPE_UINT || row->type == CONF_TYPE_U64)
        snprintf(out, CONF_ALLOWED_TEXT, "%lld to %lld%s%s", (long long)row->min,
                 (long long)row->max, row->unit[0] ? " " : "", row->unit);
    else if (counted)
        snprintf(out, CONF_ALLOWED_TEXT, "%s %lld to %lld %s", text, (long long)row->min,
                 (long long)row->max, counted);
    else
        snprintf(out, CONF_ALLOWED_TEXT, "%s", text);
    return out;
}

const struct conf_word *conf_word_find(const struct conf_word *words, const char *text)
{
    for (; words->word; words++) {
        if (strcmp(words->word, text) == 0)
            return words;
    }
    return NULL;
}

const char *conf_word_text(const struct conf_word *words, int value)
{
    while (words->value != value)
        words++;
    return words->word;
}

const char *conf_dataplane_text(enum conf_dataplane dataplane)
{
    return conf_word_text(conf_dataplane_words, (int)dataplane);
}

const char *conf_kernel_fixes_text(enum conf_kernel_fixes fixes)
{
    return conf_word_text(conf_kernel_fixes_words, (int)fixes);
}

const char *conf_level_text(enum conf_level level)
{
    return conf_word_text(conf_level_words, (int)level);
}

const char *conf_sender_level_text(enum conf_sender_level level)
{
    return conf_word_text(conf_sender_level_words, (int)level);
}

bool conf_at_listener(const struct conf_strings *names, const struct conf_listener *listener)
{
    for (size_t i = 0; i < names->len; i++) {
        if (strcmp(names->items[i], listener->name) == 0)
            return true;
    }
    return names->len == 0;
}

bool conf_level_names(enum conf_level level)
{
    return level == CONF_LEVEL_VERIFY || level == CONF_LEVEL_STS || level == CONF_LEVEL_AUTO;
}
