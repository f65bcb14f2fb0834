/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sending side: from a transaction's route to a leg to the next hop that has the TLS level the
 * policy demands. Owns the pool of legs, resolves and tries hosts and addresses within the RCPT's
 * budget, remembers dead hosts, keeps max_connections across workers (with a bounded wait), drives
 * smtp_client and the handshakes of client legs, and hands the established leg to the body's
 * relay. One per worker. A durable spool would be another implementation behind these calls.
 *
 * Legs and TLS sessions are keyed by destination host, reference names and a hash of the whole TLS
 * policy. MX failover, and the retry of a pooled leg that turned out stale, happen only before the
 * first RCPT answer. Every answer given to the events is already the sender's (smtp_answer.h).
 */
#pragma once

#include "conf.h"
#include "dp.h"
#include "ratchet_table.h"
#include "resolver.h"
#include "shared.h"
#include "smtp_answer.h"
#include "smtp_session.h"
#include "tls_service.h"
#include "tls_verdict.h"

struct upstream;
struct hop; /* one transaction's use of the next hop */

struct hop_events {
    /* Answers in the order of hop_rcpt. */
    void (*rcpt)(void *user, const struct smtp_reply *reply);
    /* To hop_data: 354, or a refusal. */
    void (*data)(void *user, const struct smtp_reply *reply);
    /* To a chunk that is not the last. */
    void (*chunk)(void *user, const struct smtp_reply *reply);
    /* To the message. Also when it comes early, before the body's end: then the connection is of
     * no more use for this transaction. */
    void (*final)(void *user, const struct smtp_reply *reply, bool early);
    /* The next hop can't be had, or is gone. reply says it to the sender. indeterminate: the whole
     * message had been sent and its final reply is lost. No call is possible on the hop but
     * hop_close. */
    void (*lost)(void *user, const struct smtp_reply *reply, bool indeterminate);
    /* The leg's output has room again after hop_send said ERR_FULL, or hop_data_chunk ERR_AGAIN. */
    void (*writable)(void *user);
};

/* Who sends, for XCLIENT and the pool's key where the route passes the client on. */
struct hop_client {
    const char *name; /* PTR, "" for unknown */
    const char *helo;
    const union net_addr *addr;
    bool esmtp;
};

struct upstream_conf {
    const struct conf *conf;
    struct dp *dp;
    struct tls_service *tls;
    struct resolver *resolver;
    struct shared_column shared;
    uint32_t max_legs;
    struct ratchet_line ratchet;
};

/* ERR_CONFIG: a file of a route's TLS can't be used; why says which. */
int upstream_new(const struct upstream_conf *conf, struct upstream **ret, char *why,
                 size_t why_room) ERR_CHECK;
void upstream_free(struct upstream *u);
/* Closes idle legs, and each other when its transaction is over. */
void upstream_drain(struct upstream *u);

/* Begins: finds a leg for txn->route and txn->domain; MAIL goes out as soon as there is one. txn
 * outlives the hop. size_added: bytes that Received adds. ERR_NOMEM, ERR_LIMIT. */
int hop_open(struct upstream *u, const struct smtp_transaction *txn, uint64_t size_added,
             const struct hop_client *client, const struct hop_events *events, void *user,
             struct hop **ret) ERR_CHECK;
/* Recipient index of the transaction; may be called before there is a leg. */
int hop_rcpt(struct hop *h, unsigned index) ERR_CHECK;
int hop_data(struct hop *h) ERR_CHECK;
/* True where the next hop has CHUNKING (known once a recipient was answered). */
bool hop_has_chunking(const struct hop *h);
/* "BDAT size [LAST]" goes out; the caller then passes exactly size bytes. */
int hop_chunk(struct hop *h, uint64_t size, bool last) ERR_CHECK;
/* After data's 354: the body of a DATA goes out in chunks, by hop_data_chunk alone. */
bool hop_takes_chunks(const struct hop *h);
/* A chunk of lead, which goes out at once, and of more bytes that the caller puts into the leg's
 * output at once. ERR_AGAIN: nothing was sent, wait for writable (an answer, or room, is missing),
 * or for lost once that took too long. Whatever it returns, command and lead are sent whole or not.
 * Where more is not 0, the leg's output has less than half its bound. The answer is counted here: a
 * refusal is final's. After the last one comes hop_finish. */
int hop_data_chunk(struct hop *h, struct span lead, size_t more, bool last) ERR_CHECK;
/* Body bytes, header phase. ERR_FULL: wait for writable. */
int hop_send(struct hop *h, struct span bytes) ERR_CHECK;
/* The same for bytes that go out with the next ones (dp_send_held). */
int hop_send_held(struct hop *h, struct span bytes) ERR_CHECK;
struct leg_id hop_leg(const struct hop *h);
/* The body of a DATA is complete: finish (".\r\n" or "\r\n.\r\n") goes out, final follows. For BDAT
 * LAST, finish is empty. Also called, with an empty finish, after each chunk that is not the last:
 * the time for its answer begins, and hop_close can say RSET (in mid-chunk it cuts). */
int hop_finish(struct hop *h, struct span finish) ERR_CHECK;
/* Ends the use, in any state: back to the pool after a final answer; RSET where the message has not
 * begun; cut in mid-body, so that it can't look complete. h is gone; *h becomes NULL. */
void hop_close(struct hop **h);

/* For the log, evidence and status. Valid while the hop is open, also after it is lost. */
struct hop_facts {
    const char *host; /* name of the host that was tried last */
    union net_addr addr;
    bool connected, has_tls, reused;
    bool plaintext_retry; /* level may fell back; why says how */
    bool alarm;           /* a fault for the administrator: the next hop refuses the gateway */
    const char *why;      /* text of the last failure, "" if none */
    /* Of the host that was tried last: what it had to have, and who named that. NULL where no
     * host came to be judged. */
    const struct tls_verdict *verdict;
    const char *sts_id; /* of the MTA-STS policy behind it, NULL if none */
    /* Of a connection under a policy in testing mode: why that would refuse it in mode enforce; NULL:
     * it would not. */
    const char *would_refuse;
    const char *ratchet_was; /* the level that the host had before, where it has less now; or NULL */
    struct tls_facts tls;
    struct smtp_caps caps;
};
void hop_facts(const struct hop *h, struct hop_facts *ret);

/* A probe: a hop that carries no mail. It asks and decides all that mail to a domain of a route
 * would, host by host, and where it connects it goes up to EHLO behind TLS by the very same code;
 * then it says QUIT. AUTH and XCLIENT are not said, what pool and back-off know is not changed. */
enum upstream_probe_result {
    UPSTREAM_PROBE_SKIPPED, /* the verdict is that mail must not go there */
    UPSTREAM_PROBE_USABLE,  /* mail would be tried there (without a connection, that is all) */
    UPSTREAM_PROBE_MET,     /* mail would go on with MAIL FROM */
    UPSTREAM_PROBE_HELD,    /* it has less TLS than before, for which the route holds mail */
    UPSTREAM_PROBE_FAILED,
    UPSTREAM_PROBE_LATE, /* not tried: the time for a probe was over */
};

struct upstream_probe_host { /* NULL: was not asked, or did not come about */
    const char *host;
    uint16_t port;
    enum upstream_probe_result result;
    const struct tls_verdict *verdict;
    const struct sts_answer *sts; /* of the domain */
    const struct dns_tlsa_answer *tlsa;
    const struct dns_addr_answer *addrs;
    const char *const *names; /* that a certificate must have one of, where names count */
    size_t names_len;
    const char *sni;
    uint64_t dead_for_ms; /* mail would not be tried there for so long */
    const char *dead_why;
    /* What the host had before, or the weakest of its domain's others where it is new to it; not
     * known where it is held to nothing. */
    struct ratchet_memory had;
    bool new_host;
    /* With a connection. */
    const union net_addr *addr;   /* that was tried last */
    enum smtp_client_phase phase; /* FAILED: at what */
    const char *would_refuse;     /* MET, as in hop_facts */
    const char *why;              /* FAILED, SKIPPED, and why plaintext was taken; "" otherwise */
    const struct smtp_caps *caps; /* MET */
    const struct tls_facts *tls;  /* MET or HELD, with TLS */
    const char *drop;             /* MET: it has less TLS than before, in a sentence; or NULL */
};

struct upstream_probe_end {
    bool connects;
    const struct dns_mx_answer *mx;
    const struct sts_answer *sts;
    /* What the sender of a message would hear, where no host is left; code 0: one is. */
    const struct smtp_reply *failure;
};

struct upstream_probe_events {
    /* Once for each host, in the order in which mail would try them. Not to be closed in it. */
    void (*host)(void *user, const struct upstream_probe_host *host);
    /* Nothing comes after it; the hop is to be closed, also in it. */
    void (*done)(void *user, const struct upstream_probe_end *end);
};
/* Events come in later turns of the loop. Bounded in time, whatever is probed. ERR_NOMEM. */
int upstream_probe_open(struct upstream *u, const struct conf_route *route, const char *domain,
                        bool connects, const struct upstream_probe_events *events, void *user,
                        struct hop **ret) ERR_CHECK;
/* The most time that one takes. */
enum { UPSTREAM_PROBE_S = 45 };

/* What next hops of a listener's routes offer: false or 0 unless every one is fixed and was seen.
 */
void upstream_offers(const struct upstream *u, const struct conf_listener *listener,
                     struct smtp_offers *ret);

/* Events of the dataplane and of the TLS service for legs that upstream made: it returns false
 * where the leg is not its own. */
bool upstream_connected(struct upstream *u, struct leg_id leg, int error);
bool upstream_received(struct upstream *u, struct leg_id leg, const uint8_t *data, size_t len,
                       size_t *ret_used);
bool upstream_ticket_record(struct upstream *u, struct leg_id leg, struct span record);
bool upstream_lost(struct upstream *u, struct leg_id leg, const struct dp_lost_info *info);
bool upstream_writable(struct upstream *u, struct leg_id leg);
bool upstream_tls_output(struct upstream *u, struct leg_id leg, struct span bytes);
bool upstream_tls_done(struct upstream *u, struct leg_id leg, const struct tls_keys *keys,
                       const struct tls_facts *facts, struct span rest);
bool upstream_tls_failed(struct upstream *u, struct leg_id leg, const struct tls_failure *failure);

/* Somebody needs a leg: where few are left, the connection that was idle for longest gives its own
 * back. */
void upstream_room_make(struct upstream *u);

/* Connections to next hops: open, or being opened. */
unsigned upstream_legs(const struct upstream *u);

/* For posternctl routes: calls row once a host known to the pool. */
struct upstream_host_status {
    const char *host;
    unsigned open, idle;
    uint64_t dead_for_ms; /* 0: alive */
    const char *last_error;
};
void upstream_hosts(const struct upstream *u,
                    void (*row)(void *user, const struct upstream_host_status *s), void *user);
