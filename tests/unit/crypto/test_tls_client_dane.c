/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DANE for SMTP (RFC 6698, 7671, 7672) between our own client and our own server: what may pass,
 * by which record, and what is told where nothing may. A row is a cell: which certificates the
 * server sends, which TLSA records DNS has, and what comes of it; every row runs with TLS 1.2 and
 * 1.3. A record is written as "3 1 1 leaf": its data is made from that certificate, and "/cut",
 * "/long", "/flip", "/empty" spoil it.
 */
#include "tls_handshake.h"
#include "tls_lab.h"

#include <string.h>

/* ---- certificates ---- */

enum {
    ROOT,
    ROOT2,
    INTER,
    INTER_OLD,
    LEAF,
    DIRECT,
    OLD,
    UNDER_OLD,
    SELF,
    SELF_OLD,
    WRONG,
    NO_NAMES,
    CN_ONLY,
    WILD,
    FOR_CLIENTS,
    UNDER_LEAF,
    FORGED,
    RSA_LEAF,
    CERTS
};

static struct lab_cert certs[CERTS];
static const char *const cert_names[CERTS] = {
    "root",    "root2",     "inter",       "inter_old",  "leaf",   "direct",
    "old",     "under_old", "self",        "self_old",   "wrong",  "no_names",
    "cn_only", "wild",      "for_clients", "under_leaf", "forged", "rsa"};

static int setup(void **state)
{
    static const char san[] = "DNS:mx.example.org";
    struct lab_cert_spec specs[CERTS] = {
        [ROOT] = {.cn = "Root", .ca = true},
        [ROOT2] = {.cn = "Other", .ca = true},
        [INTER] = {.cn = "Inter", .ca = true, .issuer = &certs[ROOT]},
        [INTER_OLD] = {.cn = "Old", .ca = true, .issuer = &certs[ROOT], .days = -10},
        [LEAF] = {.cn = "leaf", .san = san, .issuer = &certs[INTER]},
        [DIRECT] = {.san = san, .issuer = &certs[ROOT]},
        [OLD] = {.san = san, .issuer = &certs[INTER], .days = -10},
        [UNDER_OLD] = {.san = san, .issuer = &certs[INTER_OLD]},
        [SELF] = {.san = san},
        [SELF_OLD] = {.san = san, .days = -10},
        [WRONG] = {.san = "DNS:other.example.net", .issuer = &certs[INTER]},
        [NO_NAMES] = {.issuer = &certs[INTER]},
        [CN_ONLY] = {.cn = "mx.example.org", .issuer = &certs[INTER]},
        [WILD] = {.san = "DNS:*.example.org", .issuer = &certs[INTER]},
        [FOR_CLIENTS] = {.san = san, .usage = "clientAuth", .issuer = &certs[INTER]},
        [UNDER_LEAF] = {.san = san, .issuer = &certs[LEAF]},
        [FORGED] = {.san = san},
        [RSA_LEAF] = {.san = san, .rsa = true, .issuer = &certs[INTER]},
    };

    if (lab_setup(state))
        return -1;
    for (int i = 0; i < CERTS; i++)
        lab_cert_make(&certs[i], &specs[i]);
    /* Names its issuer and is signed by somebody else. */
    X509_set_issuer_name(certs[FORGED].cert, X509_get_subject_name(certs[INTER].cert));
    return X509_sign(certs[FORGED].cert, certs[ROOT2].key, EVP_sha256()) > 0 ? 0 : -1;
}

static int teardown(void **state)
{
    for (int i = 0; i < CERTS; i++)
        lab_cert_free(&certs[i]);
    return lab_teardown(state);
}

static const struct lab_cert *cert_named(const char *name, size_t len)
{
    for (int i = 0; i < CERTS; i++)
        if (strlen(cert_names[i]) == len && memcmp(cert_names[i], name, len) == 0)
            return &certs[i];
    fail_msg("no certificate %.*s", (int)len, name);
    return NULL;
}

/* ---- records ---- */

enum { RECORDS_MAX = 24, DATA_MAX = 2048 };

struct record_set {
    struct tls_tlsa records[RECORDS_MAX];
    uint8_t data[RECORDS_MAX][DATA_MAX];
    size_t len;
};

static size_t record_data(const struct lab_cert *of, unsigned selector, unsigned matching,
                          uint8_t out[DATA_MAX])
{
    uint8_t der[DATA_MAX], *at = der;
    int len = selector == TLSA_SPKI ? i2d_X509_PUBKEY(X509_get_X509_PUBKEY(of->cert), &at)
                                    : i2d_X509(of->cert, &at);
    unsigned size = (unsigned)len;

    assert_true(len > 0 && len < DATA_MAX);
    if (matching == TLSA_SHA256 || matching == TLSA_SHA512)
        assert_int_equal(EVP_Digest(der, (size_t)len, out, &size,
                                    matching == TLSA_SHA256 ? EVP_sha256() : EVP_sha512(), NULL),
                         1);
    else
        memcpy(out, der, size);
    return size;
}

static void record_add(struct record_set *set, const char *text)
{
    struct tls_tlsa *record = &set->records[set->len];
    uint8_t *data = set->data[set->len++];
    unsigned usage, selector, matching;
    char what[32], *how;

    assert_int_equal(sscanf(text, "%u %u %u %31s", &usage, &selector, &matching, what), 4);
    how = strchr(what, '/');
    size_t len = record_data(cert_named(what, how ? (size_t)(how - what) : strlen(what)), selector,
                             matching, data);
    if (how && strcmp(how, "/cut") == 0)
        len--;
    else if (how && strcmp(how, "/long") == 0)
        data[len++] = 0;
    else if (how && strcmp(how, "/empty") == 0)
        len = 0;
    else if (how && strcmp(how, "/flip") == 0)
        data[len - 1] ^= 1;
    else
        assert_null(how);
    *record = (struct tls_tlsa){usage, selector, matching, (uint16_t)len, data};
}

/* ---- a visit ---- */

static const char *const mx_name[] = {"mx.example.org", NULL};

struct visit {
    const char *sends; /* "leaf inter" */
    int version;
    const char *const *names; /* NULL: the host's */
    struct record_set *set;
    const struct tls_client_ctx *ctx; /* NULL: one without CAs */
    struct tls_server_ctx *server;    /* NULL: one that sends that, and gives no tickets */
};

static const struct tls_ticket_seed seed = {{1}};

static struct tls_server_ctx *server_make(const char *sends, int version, bool tickets)
{
    const struct lab_cert *chain[4];
    size_t len = 0;

    for (const char *at = sends; *at; at += strspn(at, " ")) {
        chain[len++] = cert_named(at, strcspn(at, " "));
        at += strcspn(at, " ");
    }
    const struct tls_cert_files files = {lab_chain_file(chain, len), chain[0]->key_file};
    struct tls_server_ctx *ctx =
        lab_server_ctx(&(struct tls_server_conf){.name = "dane",
                                                 .certs = &files,
                                                 .certs_len = 1,
                                                 .tickets = tickets ? &seed : NULL,
                                                 .ticket_rotate_s = 3600});
    assert_int_equal(SSL_CTX_set_max_proto_version(tls_server_ssl_ctx(ctx), version), 1);
    return ctx;
}

static struct tls_client_ctx *bare;
static struct lab client, server;

/* Sessions are kept under one key, so that it is the judgement that must tell them apart. */
static void visit(const struct visit *v)
{
    struct tls_server_ctx *ctx = v->server ? v->server : server_make(v->sends, v->version, false);
    struct tls_client_request request = {.ctx = v->ctx ? v->ctx : bare,
                                         .check = TLS_CHECK_DANE,
                                         .sni = "mx.example.org",
                                         .names = v->names ? v->names : mx_name,
                                         .tlsa = v->set->records,
                                         .tlsa_len = v->set->len};

    while (request.names[request.names_len])
        request.names_len++;
    lab_server(&server, ctx);
    lab_client(&client, &request);
    lab_pair(&client, &server);
    assert_true(client.done != client.failed);
    if (client.done) {
        assert_true(server.done);
        assert_int_equal(client.facts.version,
                         v->version == TLS1_2_VERSION ? TLS_VERSION_1_2 : TLS_VERSION_1_3);
        assert_int_equal(client.facts.verify, TLS_VERIFY_OK);
        /* RFC-RULES DANE: "SNI is the TLSA base domain". */
        if (!client.facts.resumed)
            assert_string_equal(server.facts.sni, "mx.example.org");
    }
    if (!v->server) {
        lab_next(&server);
        tls_server_ctx_free(ctx);
    }
}

/* After a visit whose outcome was looked at. */
static void next(const struct visit *v)
{
    if (v->server)
        lab_next(&server);
    lab_next(&client);
}

static void open_all(void)
{
    bare = lab_client_ctx(&(struct tls_client_conf){.profile = TLS_PROFILE_MODERN});
    lab_open(&client);
    lab_open(&server);
}

static void close_all(void)
{
    lab_close(&client);
    lab_close(&server);
    tls_client_ctx_free(bare);
}

/* ---- the cells ---- */

struct row {
    const char *sends;
    const char *records[5];
    const char *matched; /* what is told of success; NULL: refused */
    const char *why;     /* in what is told of the refusal */
    const char *names[3];
};

static void rows_run(const struct row *rows, size_t len, const struct tls_client_ctx *ctx)
{
    static struct record_set set;

    for (size_t i = 0; i < len; i++)
        for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            const struct row *row = &rows[i];
            struct visit v = {.sends = row->sends, .version = version, .set = &set, .ctx = ctx};

            set.len = 0;
            for (size_t at = 0; at < 5 && row->records[at]; at++)
                record_add(&set, row->records[at]);
            v.names = row->names[0] ? row->names : NULL;
            visit(&v);
            const char *text = client.done ? client.facts.verify_text : client.failure.text;
            bool good = row->matched ? client.done && strcmp(text, row->matched) == 0
                                     : client.failed && client.failure.kind == TLS_FAIL_VERIFY &&
                                           strstr(text, row->why);
            if (!good)
                fail_msg("row %zu (%s with \"%s\"): %s, \"%s\"", i, row->sends,
                         row->records[0] ? row->records[0] : "", client.done ? "done" : "failed",
                         text);
            next(&v);
        }
}

#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])
#define NO_MATCH "none of the host's 1 usable TLSA records matches; its key is 3 1 1 "
#define UNUSABLE "none of the host's 1 TLSA records is usable"
#define NAMED ", name mx.example.org"

static void each_selector_and_matching_type(void **state)
{
    static const struct row rows[] = {
        {"leaf", {"3 0 0 leaf"}, "dane 3 0 0"},
        {"leaf", {"3 0 1 leaf"}, "dane 3 0 1"},
        {"leaf", {"3 0 2 leaf"}, "dane 3 0 2"},
        {"leaf", {"3 1 0 leaf"}, "dane 3 1 0"},
        {"leaf", {"3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf", {"3 1 2 leaf"}, "dane 3 1 2"},
        {"rsa", {"3 0 0 rsa"}, "dane 3 0 0"},
        {"rsa", {"3 1 0 rsa"}, "dane 3 1 0"},
        {"rsa inter root", {"3 1 1 rsa"}, "dane 3 1 1"},
        {"leaf inter root", {"2 0 0 root"}, "dane 2 0 0" NAMED},
        {"leaf inter root", {"2 0 1 root"}, "dane 2 0 1" NAMED},
        {"leaf inter root", {"2 0 2 root"}, "dane 2 0 2" NAMED},
        {"leaf inter root", {"2 1 0 root"}, "dane 2 1 0" NAMED},
        {"leaf inter root", {"2 1 1 root"}, "dane 2 1 1" NAMED},
        {"leaf inter root", {"2 1 2 root"}, "dane 2 1 2" NAMED},
        /* An intermediate is as good an anchor, with what is above it or without. */
        {"leaf inter", {"2 0 0 inter"}, "dane 2 0 0" NAMED},
        {"leaf inter", {"2 0 1 inter"}, "dane 2 0 1" NAMED},
        {"leaf inter", {"2 0 2 inter"}, "dane 2 0 2" NAMED},
        {"leaf inter", {"2 1 0 inter"}, "dane 2 1 0" NAMED},
        {"leaf inter", {"2 1 1 inter"}, "dane 2 1 1" NAMED},
        {"leaf inter root", {"2 1 2 inter"}, "dane 2 1 2" NAMED},
        {"direct root", {"2 1 1 root"}, "dane 2 1 1" NAMED},
        {"leaf root inter", {"2 1 1 root"}, "dane 2 1 1" NAMED}, /* in no order */
    };

    rows_run(ROWS(rows), NULL);
}

/* RFC 7672 section 3.1.2: a digest says nothing of an anchor that the server does not send; a
 * whole certificate or key (RFC 7671 section 5.2.2, 5.2.3) is there in DNS. */
static void an_anchor_that_is_not_sent(void **state)
{
    static const struct row rows[] = {
        {"leaf inter", {"2 0 0 root"}, "dane 2 0 0" NAMED},
        {"leaf inter", {"2 1 0 root"}, "dane 2 1 0" NAMED},
        {"leaf", {"2 0 0 inter"}, "dane 2 0 0" NAMED},
        {"leaf", {"2 1 0 inter"}, "dane 2 1 0" NAMED},
        {"leaf inter", {"2 0 1 root"}, NULL, NO_MATCH},
        {"leaf inter", {"2 0 2 root"}, NULL, NO_MATCH},
        {"leaf inter", {"2 1 1 root"}, NULL, NO_MATCH},
        {"leaf inter", {"2 1 2 root"}, NULL, NO_MATCH},
        {"leaf", {"2 1 1 inter"}, NULL, NO_MATCH},
        {"leaf", {"2 0 0 root"}, NULL, NO_MATCH}, /* a gap between them */
        {"direct", {"2 1 1 root"}, NULL, NO_MATCH},
    };

    rows_run(ROWS(rows), NULL);
}

/* RFC-RULES DANE: "Usage 3 ignores name and expiry" (RFC 7672 section 3.1.1), purposes and issuers
 * too. */
static void usage_3_looks_at_nothing_else(void **state)
{
    static const struct row rows[] = {
        {"old", {"3 1 1 old"}, "dane 3 1 1"},
        {"self", {"3 1 1 self"}, "dane 3 1 1"},
        {"self", {"3 0 1 self"}, "dane 3 0 1"},
        {"self_old", {"3 1 1 self_old"}, "dane 3 1 1"},
        {"self_old", {"3 0 0 self_old"}, "dane 3 0 0"},
        {"wrong", {"3 1 1 wrong"}, "dane 3 1 1"},
        {"no_names", {"3 1 1 no_names"}, "dane 3 1 1"},
        {"for_clients", {"3 1 1 for_clients"}, "dane 3 1 1"},
        {"forged inter root", {"3 1 1 forged"}, "dane 3 1 1"},
        {"under_old inter_old", {"3 1 1 under_old"}, "dane 3 1 1"},
        {"wrong root2", {"3 1 1 wrong"}, "dane 3 1 1"}, /* a chain that is none */
        {"leaf", {"3 1 1 leaf"}, "dane 3 1 1", NULL, {"other.example.net"}},
    };

    rows_run(ROWS(rows), NULL);
}

/* RFC-RULES DANE: "usage 2 checks the name" (RFC 7672 section 3.1.2, 3.2.3), and the rest of the
 * chain down to the server's certificate. */
static void usage_2_looks_at_the_whole_chain(void **state)
{
    static const struct row rows[] = {
        {"wrong inter root",
         {"2 1 1 root"},
         NULL,
         "the certificate is for other.example.net, not for mx.example.org"},
        {"wrong inter root", {"2 0 0 inter"}, NULL, "not for mx.example.org"},
        {"no_names inter root", {"2 1 1 root"}, NULL, "no name at all"},
        {"cn_only inter root", {"2 1 1 root"}, "dane 2 1 1" NAMED},
        {"wild inter root", {"2 1 1 root"}, "dane 2 1 1" NAMED},
        {"wild inter root", {"2 1 1 root"}, NULL, "not for a.mx", {"a.mx.example.org"}},
        /* RFC 7672 section 3.2.3: the base domain, or what was expanded to it. */
        {"wrong inter root",
         {"2 1 1 root"},
         "dane 2 1 1, name other.example.net",
         NULL,
         {"mx.example.org", "other.example.net"}},
        {"old inter root", {"2 1 1 root"}, NULL, "the server's certificate expired on 20"},
        {"old inter", {"2 1 0 root"}, NULL, "the server's certificate expired on 20"},
        {"under_old inter_old root", {"2 1 1 root"}, NULL, "a CA certificate of its chain expired"},
        {"for_clients inter root", {"2 1 1 root"}, NULL, "purpose"},
        {"forged inter root", {"2 1 1 root"}, NULL, "signature"},
        {"forged inter", {"2 1 0 inter"}, NULL, ""},
        {"forged", {"2 1 0 inter"}, NULL, NO_MATCH},
        /* A server's certificate vouches for no other, also not for itself. */
        {"under_leaf leaf inter root", {"2 1 1 root"}, NULL, "CA certificate"},
        {"under_leaf leaf", {"2 1 1 leaf"}, NULL, "CA certificate"},
        {"leaf inter root", {"2 1 1 leaf"}, NULL, NO_MATCH},
        {"leaf inter root", {"2 0 0 leaf"}, NULL, NO_MATCH},
        {"self", {"2 1 1 self"}, NULL, NO_MATCH},
        {"self", {"2 0 0 self"}, NULL, NO_MATCH},
    };

    rows_run(ROWS(rows), NULL);
}

/* RFC-RULES DANE: "0 and 1 are unusable" (RFC 7672 section 3.1.3), and so is what cannot match. */
static void what_cannot_match_is_unusable(void **state)
{
    static const struct row rows[] = {
        {"leaf inter root", {"0 0 1 root"}, NULL, UNUSABLE},
        {"leaf inter root", {"0 1 1 root"}, NULL, UNUSABLE},
        {"leaf inter root", {"0 0 0 root"}, NULL, UNUSABLE},
        {"leaf inter root", {"1 1 1 leaf"}, NULL, UNUSABLE},
        {"leaf inter root", {"1 0 1 leaf"}, NULL, UNUSABLE},
        {"leaf inter root", {"1 0 0 leaf"}, NULL, UNUSABLE},
        {"leaf", {"4 1 1 leaf"}, NULL, UNUSABLE},
        {"leaf", {"255 1 1 leaf"}, NULL, UNUSABLE}, /* PrivCert */
        {"leaf", {"3 2 1 leaf"}, NULL, UNUSABLE},
        {"leaf", {"3 255 0 leaf"}, NULL, UNUSABLE},
        {"leaf", {"3 1 3 leaf"}, NULL, UNUSABLE},
        {"leaf", {"3 0 255 leaf"}, NULL, UNUSABLE},
        {"leaf", {"3 1 1 leaf/cut"}, NULL, UNUSABLE},
        {"leaf", {"3 1 1 leaf/long"}, NULL, UNUSABLE},
        {"leaf", {"3 1 1 leaf/empty"}, NULL, UNUSABLE},
        {"leaf", {"3 1 2 leaf/cut"}, NULL, UNUSABLE},
        {"leaf", {"3 0 0 leaf/cut"}, NULL, UNUSABLE},
        {"leaf", {"3 0 0 leaf/long"}, NULL, UNUSABLE},
        {"leaf", {"3 0 0 leaf/empty"}, NULL, UNUSABLE},
        {"leaf", {"3 1 0 leaf/cut"}, NULL, UNUSABLE},
        {"leaf", {"3 1 0 leaf/long"}, NULL, UNUSABLE},
        {"leaf inter root", {"2 0 0 root/cut"}, NULL, UNUSABLE},
        {"leaf inter root", {"2 1 0 root/long"}, NULL, UNUSABLE},
        {"leaf inter root", {"2 1 1 root/cut"}, NULL, UNUSABLE},
        {"leaf", {NULL}, NULL, "none of the host's 0 TLSA records is usable"},
        {"leaf", {"0 0 1 root", "1 1 1 leaf", "3 1 1 leaf/cut"}, NULL, "none of the host's 3 TLSA"},
    };

    rows_run(ROWS(rows), NULL);
}

static void wrong_data_matches_nothing(void **state)
{
    static const struct row rows[] = {
        {"leaf", {"3 1 1 self"}, NULL, NO_MATCH},
        {"leaf", {"3 1 1 leaf/flip"}, NULL, NO_MATCH},
        {"leaf", {"3 0 1 leaf/flip"}, NULL, NO_MATCH},
        {"leaf", {"3 1 2 leaf/flip"}, NULL, NO_MATCH},
        {"leaf", {"3 0 0 self"}, NULL, NO_MATCH},
        {"leaf", {"3 1 0 self"}, NULL, NO_MATCH},
        {"leaf inter root", {"3 1 1 inter"}, NULL, NO_MATCH}, /* an issuer's, as a server's */
        {"leaf inter root", {"3 0 1 root"}, NULL, NO_MATCH},
        {"leaf inter root", {"2 1 1 root2"}, NULL, NO_MATCH},
        {"leaf inter root", {"2 1 1 root/flip"}, NULL, NO_MATCH},
        {"leaf inter root", {"2 0 0 root2"}, NULL, NO_MATCH},
        {"leaf inter root", {"2 1 0 root2"}, NULL, NO_MATCH},
        {"leaf inter root2", {"2 1 1 root2"}, NULL, NO_MATCH}, /* sent, but issuer of nothing */
        {"self", {"3 1 1 leaf"}, NULL, NO_MATCH},
    };

    rows_run(ROWS(rows), NULL);
}

static void several_records(void **state)
{
    static const struct row rows[] = {
        /* Rollover (RFC 7671 section 8.1): the next key's beside this one's, in any order. */
        {"leaf", {"3 1 1 leaf", "3 1 1 self"}, "dane 3 1 1"},
        {"leaf", {"3 1 1 self", "3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf inter root", {"2 1 1 root2", "2 1 1 root"}, "dane 2 1 1" NAMED},
        {"leaf inter root", {"3 1 1 self", "2 1 1 root"}, "dane 2 1 1" NAMED},
        {"leaf inter root", {"2 1 1 root2", "3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf inter root", {"3 0 1 self", "3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf inter root",
         {"3 1 1 self", "3 0 1 old", "2 1 1 root2", "2 0 1 root2", "2 0 1 inter"},
         "dane 2 0 1" NAMED},
        /* One that matches is enough, whatever others would find. */
        {"wrong inter root", {"2 1 1 root", "3 1 1 wrong"}, "dane 3 1 1"},
        {"old inter root", {"3 1 1 old", "2 1 1 root"}, "dane 3 1 1"},
        {"leaf inter root",
         {"3 1 1 self", "3 1 1 old", "2 1 1 root2"},
         NULL,
         "none of the host's 3 usable TLSA records matches"},
        {"wrong inter root", {"2 1 1 root", "3 1 1 leaf"}, NULL, "not for mx.example.org"},
        /* RFC 7671 section 9: of a usage and selector, the strongest digest counts alone. */
        {"leaf", {"3 1 1 leaf", "3 1 2 self"}, NULL, "none of the host's 2 usable"},
        {"leaf", {"3 1 1 self", "3 1 2 leaf"}, "dane 3 1 2"},
        {"leaf", {"3 1 1 leaf", "3 0 2 self"}, "dane 3 1 1"},
        {"leaf", {"3 1 1 leaf", "3 1 0 self"}, "dane 3 1 1"},
        /* Not usable ones are as if they were not there (RFC 7671 section 4.1; 7672 section 2.2).
         */
        {"leaf", {"0 0 1 root", "1 1 1 leaf", "3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf", {"3 1 1 leaf/cut", "3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf", {"3 1 2 leaf/cut", "3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf", {"3 1 3 leaf", "3 2 1 leaf", "3 1 1 leaf"}, "dane 3 1 1"},
        {"leaf inter root", {"3 0 0 leaf/cut", "2 1 1 root"}, "dane 2 1 1" NAMED},
        {"leaf inter root", {"1 1 1 leaf", "3 1 1 self"}, NULL, NO_MATCH},
        {"leaf inter root", {"0 1 1 root", "2 1 1 root2"}, NULL, NO_MATCH},
    };

    rows_run(ROWS(rows), NULL);
}

/* RFC-RULES MTA-STS: "Never overrides failing DANE (8461 section 2)": what CAs vouch for makes up
 * for nothing. */
static void cas_make_up_for_nothing(void **state)
{
    static const struct row rows[] = {
        {"leaf inter root", {"3 1 1 self"}, NULL, NO_MATCH},
        {"leaf inter root", {"2 1 1 root2"}, NULL, NO_MATCH},
        {"leaf inter", {"2 1 1 root"}, NULL, NO_MATCH},
        {"leaf inter root", {"1 1 1 leaf"}, NULL, UNUSABLE},
        {"leaf inter root", {"3 1 1 leaf/cut"}, NULL, UNUSABLE},
        {"leaf inter root", {NULL}, NULL, "none of the host's 0 TLSA records is usable"},
        {"wrong inter root", {"2 1 1 root"}, NULL, "not for mx.example.org"},
        {"leaf inter root", {"3 1 1 leaf"}, "dane 3 1 1"},
        {"self", {"3 1 1 self"}, "dane 3 1 1"},
    };
    struct tls_client_ctx *ctx =
        lab_client_ctx(&(struct tls_client_conf){.names = true, .ca = certs[ROOT].cert_file});

    rows_run(ROWS(rows), ctx);
    tls_client_ctx_free(ctx);
}

/* The most that a resolver hands on, and only the last of them is right. */
static void as_many_as_dns_has(void **state)
{
    static struct record_set set;
    struct visit v = {.sends = "leaf", .version = TLS1_3_VERSION, .set = &set};

    set.len = 0;
    for (int i = 0; i < RECORDS_MAX - 1; i++) {
        record_add(&set, "3 1 1 self");
        set.data[i][0] ^= (uint8_t)(i + 1);
    }
    record_add(&set, "3 1 1 leaf");
    visit(&v);
    assert_true(client.done);
    next(&v);
    set.len--;
    visit(&v);
    assert_true(client.failed);
    assert_non_null(strstr(client.failure.text, "none of the host's 23 usable"));
    next(&v);
}

/* ---- resumption ---- */

struct step {
    const char *records[3];
    bool done, resumed;
    const char *text;
};

/* RFC 7672 section 2.1.3 has DANE hold for each connection: what DNS says now decides, also on a
 * session of which the server shows no certificate again. */
static void steps_run(const char *sends, const struct step *steps, size_t len)
{
    static struct record_set set;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct visit v = {
            .version = version, .set = &set, .server = server_make(sends, version, true)};

        for (size_t i = 0; i < len; i++) {
            set.len = 0;
            for (size_t at = 0; at < 3 && steps[i].records[at]; at++)
                record_add(&set, steps[i].records[at]);
            visit(&v);
            const char *text = client.done ? client.facts.verify_text : client.failure.text;
            if (client.done != steps[i].done || !strstr(text, steps[i].text) ||
                (client.done && client.facts.resumed != steps[i].resumed))
                fail_msg("version %x, step %zu: %s%s, \"%s\"", version, i,
                         client.done ? "done" : "failed",
                         client.done && client.facts.resumed ? ", resumed" : "", text);
            next(&v);
        }
        /* The other version starts without a session. */
        lab_close(&client);
        lab_open(&client);
        tls_server_ctx_free(v.server);
    }
}

static void a_session_holds_while_the_records_do(void **state)
{
    static const struct step steps[] = {
        {{"3 1 1 leaf"}, true, false, "dane 3 1 1"},
        {{"3 1 1 leaf"}, true, true, "dane 3 1 1"},
        /* Other records that the same certificate matches. */
        {{"3 1 1 self", "2 1 1 root"}, true, true, "dane 2 1 1, name mx.example.org"},
        {{"3 0 2 leaf"}, true, true, "dane 3 0 2"},
        /* Those that it does not: the session is not offered, and the handshake fails. */
        {{"3 1 1 self"}, false, false, NO_MATCH},
        /* It is gone for good. */
        {{"3 1 1 leaf"}, true, false, "dane 3 1 1"},
        {{"3 1 1 leaf"}, true, true, "dane 3 1 1"},
        {{"1 1 1 leaf"}, false, false, UNUSABLE},
        {{"3 1 1 leaf"}, true, false, "dane 3 1 1"},
        {{NULL}, false, false, "none of the host's 0"},
        {{"2 1 1 root"}, true, false, "dane 2 1 1"},
        {{"2 1 1 root"}, true, true, "dane 2 1 1"},
        {{"2 1 1 root2"}, false, false, NO_MATCH},
    };

    steps_run("leaf inter root", ROWS(steps));
}

static void a_session_of_usage_3_is_no_name(void **state)
{
    static const struct step steps[] = {
        {{"3 1 1 wrong"}, true, false, "dane 3 1 1"},
        {{"3 1 1 wrong"}, true, true, "dane 3 1 1"},
        {{"2 1 1 root"}, false, false, "not for mx.example.org"},
        {{"3 1 1 wrong"}, true, false, "dane 3 1 1"},
    };

    steps_run("wrong inter root", ROWS(steps));
}

/* The server has a new key, and DNS its record: the old session is not offered, and the full
 * handshake finds what DNS says. */
static void a_new_key_is_met_by_a_full_handshake(void **state)
{
    static struct record_set set;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct visit v = {
            .version = version, .set = &set, .server = server_make("leaf", version, true)};

        set.len = 0;
        record_add(&set, "3 1 1 leaf");
        visit(&v);
        assert_true(client.done && !client.facts.resumed);
        next(&v);
        tls_server_ctx_free(v.server);
        v.server = server_make("self", version, true);
        set.len = 0;
        record_add(&set, "3 1 1 self");
        visit(&v);
        assert_true(client.done && !client.facts.resumed);
        assert_string_equal(client.facts.verify_text, "dane 3 1 1");
        next(&v);
        visit(&v);
        assert_true(client.done && client.facts.resumed);
        next(&v);
        tls_server_ctx_free(v.server);
        lab_close(&client);
        lab_open(&client);
    }
}

/* A session that nothing was asked of, or a CA's name, is none that DANE takes unseen. */
static void a_session_of_another_check_is_judged_by_the_records(void **state)
{
    static struct record_set set;

    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct visit v = {
            .version = version, .set = &set, .server = server_make("leaf", version, true)};
        struct tls_client_request request = {.ctx = bare, .sni = "mx.example.org"};

        lab_server(&server, v.server);
        lab_client(&client, &request);
        lab_pair(&client, &server);
        assert_true(client.done);
        assert_int_equal(client.facts.verify, TLS_VERIFY_UNCHECKED);
        next(&v);
        set.len = 0;
        record_add(&set, "3 1 1 leaf");
        visit(&v);
        assert_true(client.done && client.facts.resumed);
        assert_string_equal(client.facts.verify_text, "dane 3 1 1");
        next(&v);
        set.len = 0;
        record_add(&set, "3 1 1 self");
        visit(&v);
        assert_true(client.failed);
        next(&v);
        tls_server_ctx_free(v.server);
    }
}

/* A name that nobody vouches for is no reason to trust. */
static void a_context_without_cas_takes_no_name(void **state)
{
    struct tls_server_ctx *ctx = server_make("leaf inter root", TLS1_3_VERSION, false);
    struct tls_client_request request = {
        .ctx = bare, .check = TLS_CHECK_NAME, .names = mx_name, .names_len = 1};

    lab_server(&server, ctx);
    lab_client(&client, &request);
    lab_pair(&client, &server);
    assert_true(client.failed);
    assert_string_equal(client.failure.text, "this route has no CAs to judge by");
    lab_next(&client);
    lab_next(&server);
    tls_server_ctx_free(ctx);
}

static int group_setup(void **state)
{
    if (setup(state))
        return -1;
    open_all();
    return 0;
}

static int group_teardown(void **state)
{
    close_all();
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest rows[] = {
        cmocka_unit_test(each_selector_and_matching_type),
        cmocka_unit_test(an_anchor_that_is_not_sent),
        cmocka_unit_test(usage_3_looks_at_nothing_else),
        cmocka_unit_test(usage_2_looks_at_the_whole_chain),
        cmocka_unit_test(what_cannot_match_is_unusable),
        cmocka_unit_test(wrong_data_matches_nothing),
        cmocka_unit_test(several_records),
        cmocka_unit_test(cas_make_up_for_nothing),
        cmocka_unit_test(as_many_as_dns_has),
        cmocka_unit_test(a_context_without_cas_takes_no_name),
    };
    /* Threads have a part in what is kept, not in what is judged. */
    const struct CMUnitTest sessions[] = {
        cmocka_unit_test(a_session_holds_while_the_records_do),
        cmocka_unit_test(a_session_of_usage_3_is_no_name),
        cmocka_unit_test(a_new_key_is_met_by_a_full_handshake),
        cmocka_unit_test(a_session_of_another_check_is_judged_by_the_records),
    };
    int failed = cmocka_run_group_tests_name("tls_client_dane", rows, group_setup, group_teardown);

    return failed + lab_group_run("tls_client_dane, sessions", sessions,
                                  sizeof(sessions) / sizeof(sessions[0]), group_setup,
                                  group_teardown);
}
