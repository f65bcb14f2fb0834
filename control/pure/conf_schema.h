/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of settings as a value: what conf_schema.def says, for the parser, the man page and
 * the tests. Shared by the conf_*.c files only.
 */
#pragma once

#include "conf.h"

enum conf_group {
    CONF_GROUP_ROOT,
    CONF_GROUP_GATEWAY,
    CONF_GROUP_LIMITS,
    CONF_GROUP_RESOLVER,
    CONF_GROUP_TLS,
    CONF_GROUP_CERT,
    CONF_GROUP_POLICY_LIST,
    CONF_GROUP_TLSRPT,
    CONF_GROUP_TLSRPT_SEND,
    CONF_GROUP_LISTENER,
    CONF_GROUP_ROUTE,
    CONF_GROUP_ROUTE_TLS,
    CONF_GROUP_ROUTE_AUTH,
    CONF_GROUP_SENDER,
    CONF_GROUP_PIN_FILE, /* of a file of its own, as the next one */
    CONF_GROUP_PIN,
    CONF_GROUP_APPLIANCE, /* the same */
    CONF_GROUP_NETWORK,
    CONF_GROUP_BOND,
    CONF_GROUP_NTP,
    CONF_GROUP_ACME,
    CONF_GROUP_COUNT,
};

enum conf_type {
    CONF_TYPE_UINT,
    CONF_TYPE_U64,
    CONF_TYPE_BOOL,
    CONF_TYPE_WORD,
    CONF_TYPE_STRING,
    CONF_TYPE_FILE,
    CONF_TYPE_HOSTNAME,
    CONF_TYPE_DOMAIN,
    CONF_TYPE_PARTNER,
    CONF_TYPE_NAME,
    CONF_TYPE_MAILBOX,
    CONF_TYPE_ADDRESS,
    CONF_TYPE_METRICS,
    CONF_TYPE_PIN,
    CONF_TYPE_FINGERPRINT,
    CONF_TYPE_MOMENT,
    CONF_TYPE_INTERFACE,
    CONF_TYPE_HOST,
    CONF_TYPE_TIME_ZONE,
    CONF_TYPE_CRYPT,
    CONF_TYPE_URL,
    CONF_TYPE_SOURCE,
    CONF_TYPE_STRINGS,
    CONF_TYPE_USERS,
    CONF_TYPE_GROUPS,
    CONF_TYPE_SUITES,
    CONF_TYPE_HOSTNAMES,
    CONF_TYPE_TLS_NAMES,
    CONF_TYPE_DNS_SERVERS,
    CONF_TYPE_DNS_STUBS,
    CONF_TYPE_PREFIXES,
    CONF_TYPE_FINGERPRINTS,
    CONF_TYPE_PINS,
    CONF_TYPE_INTERFACES,
    CONF_TYPE_ADDRESSES,
    CONF_TYPE_IPS,
    CONF_TYPE_SSH_KEYS,
    CONF_TYPE_HOPS,
    CONF_TYPE_SECTION,
    CONF_TYPE_SECTIONS,
};

enum conf_reload { CONF_RELOAD_SESSION, CONF_RELOAD_RESTART };

enum conf_section {
    CONF_SECTION_ALWAYS,   /* a struct of its own, with its defaults where it is not written */
    CONF_SECTION_SAME,     /* the same, but its fields are in the struct around it */
    CONF_SECTION_OPTIONAL, /* a struct of its own that stays empty where it is not written */
};

/* One word of an enumeration; refused is why this version does not take it, NULL if it does. */
struct conf_word {
    const char *word;
    int value;
    const char *refused;
};

struct conf_row {
    enum conf_group group;
    const char *key;
    enum conf_type type;
    size_t offset;     /* into the group's struct */
    size_t len_offset; /* of a list's length */
    int64_t min, max;
    const struct conf_word *words; /* ends with a NULL word */
    const char *fallback;          /* the default as written; NULL for none */
    bool must;
    enum conf_section presence;
    enum conf_group section; /* of CONF_TYPE_SECTION and _SECTIONS */
    const char *unit;
    enum conf_reload reload;
    const char *prose;
};

extern const struct conf_row conf_rows[];
extern const size_t conf_rows_len;

/* Which file a group belongs to, and its manual. */
const char *conf_group_file(enum conf_group group);
const char *conf_group_manual(enum conf_group group);
/* The bytes of one element of a group that stands in a list. */
size_t conf_group_size(enum conf_group group);
/* How messages and the man page name a group: "routes", "routes.tls"; "" for the file itself. */
const char *conf_group_name(enum conf_group group);
const struct conf_row *conf_row_find(enum conf_group group, const char *key);
/* The key of the group that a mistyped one most likely means; NULL where none is near. */
const char *conf_row_nearest(enum conf_group group, const char *key);
/* How many characters must be changed, added or taken away to make b of a. */
unsigned conf_distance(const char *a, const char *b);
/* "100 to 100000 seconds", "true or false", "\"none\", \"may\" or \"encrypt\"". Returns out. */
enum { CONF_ALLOWED_TEXT = 256 };
const char *conf_row_allowed(const struct conf_row *row, char out[CONF_ALLOWED_TEXT]);
/* The word of an enumeration, NULL where it has none of that text; and its text by a value that it
 * has. */
const struct conf_word *conf_word_find(const struct conf_word *words, const char *text);
const char *conf_word_text(const struct conf_word *words, int value);
bool conf_type_is_list(enum conf_type type);
