/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration: an immutable value, parsed by libconfig from text and checked against the
 * table in conf_schema.def, where each setting is one row (name, type, range, default, unit,
 * reload class, prose). The row gives the parser, the checks, `posternd -n` and the man page.
 * Pure: conf_parse reads no file (certificate files are only named here; the contexts load them).
 * Strings live in the configuration's arena. A new configuration is a new value; nothing is ever
 * changed in one.
 */
#pragma once

#include "arena.h"
#include "auth_users.h"
#include "buf.h"
#include "errcode.h"
#include "log.h"
#include "net_addr.h"
#include "tls_client.h"
#include "tls_profile.h"
#include "tls_server.h"

enum conf_dataplane { CONF_DATAPLANE_AUTO, CONF_DATAPLANE_KTLS, CONF_DATAPLANE_URING };

/* Of a kernel that lacks fixes which kernel TLS needs. */
enum conf_kernel_fixes { CONF_KERNEL_FIXES_REQUIRE, CONF_KERNEL_FIXES_WARN };

/* Who seals and opens records that are postern's own. */
enum conf_aead { CONF_AEAD_AUTO, CONF_AEAD_OPENSSL, CONF_AEAD_IPSEC_MB };

enum conf_listener_tls { CONF_LISTENER_STARTTLS, CONF_LISTENER_IMPLICIT, CONF_LISTENER_NONE };

/* What a route demands of TLS; docs/policy.md says what each refuses. The last three are a matter
 * of what DNS and HTTPS say of a host. */
enum conf_level {
    CONF_LEVEL_NONE,
    CONF_LEVEL_MAY,
    CONF_LEVEL_ENCRYPT,
    CONF_LEVEL_VERIFY,
    CONF_LEVEL_PIN,
    CONF_LEVEL_DANE,
    CONF_LEVEL_STS,
    CONF_LEVEL_AUTO,
};

enum conf_hop_tls { CONF_HOP_STARTTLS, CONF_HOP_IMPLICIT };

enum conf_bare_newline { CONF_BARE_NEWLINE_REJECT, CONF_BARE_NEWLINE_NORMALIZE };

/* What a client has to have that brings mail from a sender's domain, and what it hears else. */
enum conf_sender_level { CONF_SENDER_ENCRYPT, CONF_SENDER_VERIFY };
enum conf_refuse { CONF_REFUSE_PERMANENT, CONF_REFUSE_TEMPORARY };

/* What becomes of mail where a destination has less TLS than before (ratchet.h). */
enum conf_ratchet { CONF_RATCHET_OFF, CONF_RATCHET_WARN, CONF_RATCHET_HOLD };

enum conf_auth { CONF_AUTH_NONE, CONF_AUTH_PLAIN, CONF_AUTH_LOGIN };

struct conf_cert {
    const char *cert, *key;
};

struct conf_hash { /* SHA-256 of an SPKI or of a certificate */
    uint8_t sha256[32];
};

/* What is known of one certificate of a partner. */
struct conf_pin {
    const char *name; /* its own, as a person reads it; NULL: there is no such pin */
    struct conf_hash spki, certificate;
    int64_t not_after; /* seconds since 1970 */
};

/* A pin file: the certificate that a partner shows, and the one that comes next. */
struct conf_pins {
    const char *partner;
    struct conf_pin current, next;
};

struct conf_strings {
    const char *const *items;
    size_t len;
};

struct conf_gateway {
    const char *hostname;
    unsigned workers; /* 0: one per core */
    enum conf_dataplane dataplane;
    enum conf_kernel_fixes kernel_fixes;
    enum conf_aead aead;
    const char *state_dir;
    const char *control_socket;
    const char *metrics; /* HOST:PORT, or "" for none */
    const char *user;    /* whom the worker and resolver processes run as, when started by root */
    unsigned drain_timeout_s;
    enum log_level log_level;
};

struct conf_limits {                   /* per worker unless the prose of the row says otherwise */
    unsigned max_sessions;             /* 421 4.3.2 beyond it */
    unsigned max_sessions_per_address; /* across workers */
    unsigned max_handshakes;           /* in flight, per worker */
    unsigned max_commands;             /* per session without a message between */
    unsigned max_errors;               /* per session */
    unsigned max_auth_failures;        /* per session */
    unsigned max_auth_failures_per_hour; /* of one address, across workers */
    unsigned max_messages;             /* per session; 0: no bound; LIMITS MAILMAX */
    unsigned max_recipients;           /* per transaction, at least 100; LIMITS RCPTMAX */
    unsigned max_line;                 /* bytes of a command line with CRLF */
    unsigned max_header;               /* bytes of a message's header */
    unsigned max_hops;                 /* Received lines; at least 100 */
    uint64_t max_message;              /* bytes; SIZE */
    unsigned command_timeout_s;        /* for the next command */
    unsigned data_timeout_s;           /* for the next bytes of a body */
    unsigned handshake_timeout_s;      /* from the first byte to its end, and for a PROXY header */
    unsigned session_timeout_s;        /* whole session */
    unsigned hop_connect_timeout_s;    /* one address */
    unsigned hop_race_ms;              /* until the next address is tried beside it; 0: never */
    unsigned hop_command_timeout_s;    /* one reply of the next hop */
    unsigned hop_final_timeout_s;      /* the reply to the final dot: below a client's 10 minutes */
    unsigned hop_budget_s;             /* all hosts and addresses tried for one RCPT */
    unsigned hop_dead_s;               /* how long a dead host is answered at once, first time */
    unsigned hop_idle_s;               /* a pooled connection without a message */
    unsigned hop_max_messages;         /* on one connection to a next hop */
};

struct conf_resolver {
    struct conf_strings forward;  /* addresses to ask; empty: iterate from the root */
    const char *trust_anchor;     /* file with DS or DNSKEY records; "" for the built-in root */
    struct conf_strings stub;     /* "zone=address:port": asked directly; for internal zones */
    struct conf_strings insecure; /* domains not validated */
    unsigned timeout_s;
    unsigned port;          /* of forward addresses without one */
    bool reverse;           /* look PTR records of clients up */
    unsigned cache_entries; /* answers that a worker keeps */
    const char *sts_ca;     /* whom HTTPS servers of policies are verified by; "": the system's */
    unsigned sts_port;
    unsigned sts_timeout_s; /* of one fetch of a policy */
    unsigned sts_entries;   /* policies that are kept */
};

struct policy_list;
struct conf_policy_list { /* NULLs for none */
    const char *file, *signature, *key;
};

struct conf_tls_defaults {
    enum tls_profile profile;
    enum tls_version min_version;
    struct conf_strings suites; /* empty: the profile's */
    struct conf_strings groups; /* the same */
    struct conf_cert *certificates;
    size_t certificates_len;
    unsigned ticket_rotate_s; /* 0: no tickets */
    enum conf_ratchet ratchet;
    unsigned ratchet_expiry_days; /* how long what was had before counts */
    unsigned expiry_warning_days; /* of certificates */
    struct conf_policy_list policy_list;
    struct policy_list *policies; /* conf_parse leaves it NULL; conf_load reads the list into it */
};

struct conf_listener {
    const char *name;
    const char *address; /* as written */
    union net_addr addr;
    enum conf_listener_tls tls;
    bool require_tls; /* 530 5.7.0 before STARTTLS */
    enum tls_profile profile;
    enum tls_version min_version;
    struct conf_strings suites;     /* empty: the profile's */
    struct conf_strings groups;     /* the same */
    struct conf_cert *certificates; /* empty: those of tls */
    size_t certificates_len;
    enum tls_client_cert client_cert;
    const char *client_ca; /* NULL: not checked against a CA */
    struct net_prefix *relay_clients;
    size_t relay_clients_len;
    struct conf_hash *relay_certs; /* SHA-256 of the client's certificate */
    size_t relay_certs_len;
    struct conf_strings relay_names;  /* of client certificates that client_ca vouches for */
    const char *auth_users;         /* NULL: AUTH is not offered; conf_load reads it into users */
    const struct auth_users *users; /* conf_parse leaves it NULL */
    bool require_auth;              /* 530 5.7.0 before AUTH */
    struct net_prefix *proxy_clients; /* must begin with a PROXY header; nobody else may */
    size_t proxy_clients_len;
    struct net_prefix *xclient_clients;
    size_t xclient_clients_len;
    enum conf_bare_newline bare_newline;
    bool bdat_scan;
    bool chunking; /* CHUNKING offered */
};

struct conf_hop {     /* one entry of a next_hop list */
    const char *host; /* name or address */
    uint16_t port;
    bool is_addr;
    union net_addr addr; /* where is_addr */
};

struct conf_route {
    const char *domain; /* "example.org", ".example.org" (subdomains), "*" */
    bool mx;            /* next_hop = "mx" */
    unsigned mx_port;
    struct conf_hop *hops;
    size_t hops_len;
    struct conf_strings listeners; /* names; empty: all */
    bool relay;                    /* elsewhere: the client needs the right; always so for "*" */
    struct {
        enum conf_level level;
        enum conf_hop_tls mode;
        enum tls_profile profile;
        enum tls_version min_version;
        struct conf_strings suites; /* empty: the profile's */
        struct conf_strings groups; /* the same */
        const char *ca;             /* NULL: the system's */
        struct conf_strings names;  /* reference names; empty: see the level's row */
        const char *sni;            /* NULL: the host's name */
        struct conf_hash *spki;
        size_t spki_len;
        struct conf_hash *fingerprints;
        size_t fingerprints_len;
        const char *pin_file;         /* NULL: none; conf_load reads it, and fills spki by it */
        const struct conf_pins *pins; /* what it says; conf_parse leaves it NULL */
        struct conf_cert client; /* ours to show; NULLs for none */
        enum conf_ratchet ratchet;
    } tls;
    bool has_source4, has_source6;
    union net_addr source4, source6;
    const char *helo; /* NULL: gateway.hostname */
    struct {
        enum conf_auth mechanism;
        const char *user;
        const char *password;      /* conf_parse leaves it NULL where password_file is set */
        const char *password_file; /* conf_load (control/acts) reads it into password */
    } auth;                        /* only over TLS */
    bool xclient;             /* pass the client on with XCLIENT where the next hop offers it */
    bool report;              /* its sessions are in TLS reports (RFC 8460) */
    bool data_to_bdat;        /* DATA goes out in chunks where the next hop offers CHUNKING */
    unsigned max_connections; /* to one host, across workers */
};

struct conf_sender {    /* control/pure/policy_sender.h */
    const char *domain; /* "partner.example", ".partner.example" (subdomains) */
    enum conf_sender_level level;
    struct conf_hash *certs; /* SHA-256 of a client's certificate */
    size_t certs_len;
    const char *pin_file; /* NULL: none; conf_load reads it, and fills certs by it */
    const struct conf_pins *pins; /* what it says; conf_parse leaves it NULL */
    struct conf_strings names; /* of a certificate that client_ca vouches for */
    struct conf_strings users; /* of a listener's auth_users */
    enum conf_refuse refuse;
    struct conf_strings listeners; /* names; empty: all */
};

struct conf_tlsrpt_send { /* from NULL: nothing is sent */
    const char *from;
    const char *submission;    /* address and port, for mail; NULL: none goes by mail */
    const char *dkim_key, *dkim_selector;
    unsigned delay_s, retry_s;
};

struct conf_tlsrpt { /* NULLs for none: nothing is counted */
    const char *organization, *contact;
    struct conf_tlsrpt_send send;
};

struct conf {
    struct arena arena;
    struct conf_gateway gateway;
    struct conf_limits limits;
    struct conf_resolver resolver;
    struct conf_tls_defaults tls;
    struct conf_tlsrpt tlsrpt;
    struct conf_listener *listeners;
    size_t listeners_len;
    struct conf_route *routes;
    size_t routes_len;
    struct conf_sender *senders;
    size_t senders_len;
};

enum { CONF_TEXT_MAX = 4 << 20 }; /* bytes of a configuration file */
enum { CONF_PINS_MAX = 64 << 10 };  /* and of a pin file */

/* What is wrong, for people: "postern.conf:12: limits.max_recipients: found 50, allowed 100 to
 * 100000". All errors found are listed, a line each; where they outgrow the room, the last line
 * says so and count is still right. */
struct conf_errors {
    size_t count;
    size_t len;
    char text[8192];
};

/* Adds "file:line: path: what"; line 0 and an empty path are left out. */
void conf_errors_add(struct conf_errors *errors, const char *file, unsigned line, const char *path,
                     const char *format, ...) __attribute__((format(printf, 5, 6)));

/* text: the file's content; file: its name for messages, and the directory that relative file
 * names in it start from. errors is written anew. *ret is NULL on failure (ERR_CONFIG, ERR_NOMEM).
 */
int conf_parse(const char *text, const char *file, struct conf **ret,
               struct conf_errors *errors) ERR_CHECK;
/* The same of a pin file, whose strings go into arena; errors is added to. ret is undefined on
 * failure (ERR_CONFIG, ERR_NOMEM). */
int conf_pins_parse(const char *text, const char *file, struct arena *arena, struct conf_pins *ret,
                    struct conf_errors *errors) ERR_CHECK;
/* The file's text as conf_pins_parse reads it. ERR_FULL, ERR_NOMEM. */
int conf_pins_write(const struct conf_pins *pins, struct buf *out) ERR_CHECK;
enum { CONF_PIN_TEXT = 7 + 44 + 1, CONF_FINGERPRINT_TEXT = 64 + 1 };
/* "sha256/" and base64; hex digits. Both return out. */
const char *conf_pin_text(const struct conf_hash *hash, char out[CONF_PIN_TEXT]);
const char *conf_fingerprint_text(const struct conf_hash *hash, char out[CONF_FINGERPRINT_TEXT]);
/* The line of a setting named by path ("routes[0].tls.ca"), or of the nearest group around it; 0
 * where not even that is written. For errors that show only after parsing. */
unsigned conf_line_of(const char *text, const char *path);
void conf_free(struct conf *conf);
/* A string as libconfig takes it, with its quotes. ERR_FULL, ERR_NOMEM. */
int conf_string_write(const char *text, struct buf *out) ERR_CHECK;
/* The words of the file: "auto", "require", "none", "encrypt". */
const char *conf_dataplane_text(enum conf_dataplane dataplane);
const char *conf_kernel_fixes_text(enum conf_kernel_fixes fixes);
const char *conf_level_text(enum conf_level level);
const char *conf_sender_level_text(enum conf_sender_level level);
/* Whether a list of listeners' names, of which an empty one means all, has this one. */
bool conf_at_listener(const struct conf_strings *names, const struct conf_listener *listener);

/* Whether the level may need CAs and names to check a certificate by. */
bool conf_level_names(enum conf_level level);

/* The man page postern.conf(5), made from the table, as mdoc. */
int conf_write_man(struct buf *out) ERR_CHECK;
/* The complete configurations that the man page shows; NULL past the last. */
const char *conf_example(size_t index);
