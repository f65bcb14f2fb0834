/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of upstream:
 *
 *   upstream.c       what there is one of: making, draining, events to their leg, offers, status
 *   upstream_hop.c   a transaction: commands out, answers back to the sender
 *   upstream_dial.c  from a route to an address: hosts, failover, budget, what failed
 *   upstream_race.c  several addresses of a host at once, while none of them is connected
 *   upstream_verdict.c  what a host must have where DNS and HTTPS decide: asks them, keeps it
 *   upstream_pool.c  hosts: idle legs, limits, waiting, who is dead
 *   upstream_leg.c   one connection: from connect to close, and its SMTP machine
 *   upstream_route.c what a route's level means: contexts, names, keys of pool and sessions
 *   upstream_tls.c   handshakes: how they begin, and what the service tells of them
 *   upstream_ratchet.c  whether a connection has less TLS than its destination had before
 *   upstream_report.c what TLS reports tell of a session
 *   upstream_probe.c  a hop that carries no mail: it tells what mail would meet
 *
 * A hop uses at most one leg, beside which others may be connecting; a leg serves at most one hop.
 * Both can go while their own events are on the stack: they are pinned for that long, and freed by
 * the last unpin.
 */
#pragma once

#include "tls_verdict.h"
#include "upstream.h"

#include <sys/queue.h>

struct evp_md_ctx_st;

enum {
    UPSTREAM_BUCKETS = 1024,
    UPSTREAM_HOSTS_MAX = 8192,
    UPSTREAM_WHY = 256,
    UPSTREAM_REPORTED_MAX = 8,
    UPSTREAM_WAIT_MS = 30 * 1000,   /* for a free connection to a host that has its most */
    UPSTREAM_POLL_MS = 100,         /* other workers' connections end without telling us */
    UPSTREAM_IDLE_FULL_MS = 1000,   /* idle legs of such a host make room soon */
    UPSTREAM_RACERS = 2,            /* connections under way beside the first */
    UPSTREAM_RACERS_ALL = 32,       /* of all hops */
    UPSTREAM_DEAD_DOUBLINGS = 5,    /* of hop_dead_s */
    UPSTREAM_RECORDS_MAX = 1 << 23, /* DESIGN, "The hand-off" */
};

struct upstream_key {
    uint8_t sha256[32];
};

struct upstream_target { /* a host to try */
    char host[DNS_NAME_MAX + 1];
    uint16_t port;
    bool is_addr;
    union net_addr addr;
};

/* What DNS and HTTPS said of a transaction's domain and of the host in turn. */
struct upstream_said {
    bool mx_secure;   /* or the hosts are the route's own */
    unsigned tlsa_of; /* 1 and the place of the target that tlsa is of; 0: none */
    struct tls_verdict verdict;
    /* Only as long as what they hold: no list behind what is used of it. */
    const struct dns_tlsa_answer *tlsa;
    const struct sts_answer *sts; /* NULL: not asked */
};

/* A decision that stands for a while (upstream_recall.c). */
struct upstream_recalled;

/* A host to try, and what it must have. */
struct upstream_aim {
    const struct upstream_target *target;
    const char *domain; /* of the recipients; NULL with a fixed hop whose key is made ahead */
    const struct tls_verdict *verdict;
    const struct dns_tlsa_answer *tlsa; /* where the verdict is by them */
    const char *sts_id;                 /* the same */
};

struct upstream_route {
    const struct conf_route *conf;
    bool judged;                     /* its level is a matter of each host */
    struct tls_verdict verdict;      /* where it is not */
    struct tls_client_ctx *ctx;      /* NULL: level none */
    struct upstream_key policy;      /* hash of all that the route says of TLS */
    struct upstream_target *targets; /* fixed hops */
    struct upstream_key *keys;       /* of the pool, for each, where no client is passed on */
    struct smtp_caps *caps;          /* of each, where seen */
    bool *seen;
};

struct upstream_leg;
TAILQ_HEAD(upstream_legs, upstream_leg);

struct upstream_host {
    TAILQ_ENTRY(upstream_host) link; /* of all, least recently used first */
    struct upstream_host *next;      /* of its bucket */
    uint64_t key;                    /* of shared_hold */
    unsigned uses;                   /* hops and legs that point here */
    unsigned open, idle_len;
    struct upstream_legs idle; /* most recently used first */
    uint64_t dead_until_ms;
    unsigned failures; /* in a row */
    char last_error[UPSTREAM_WHY];
    uint16_t port;
    char name[]; /* "host:port" */
};

enum upstream_leg_state {
    LEG_CONNECTING,
    LEG_TALKING,   /* bytes are SMTP */
    LEG_HANDSHAKE, /* bytes are the TLS service's */
    LEG_CLOSED,
};

struct upstream_who { /* for XCLIENT: copies */
    struct smtp_client_speaks_for speaks_for;
    union net_addr addr;
    char name[DNS_NAME_MAX + 1], helo[256];
};

struct upstream_leg {
    struct upstream *u;
    struct leg_id id;
    enum upstream_leg_state state;
    unsigned pins;
    struct upstream_host *host;
    struct upstream_route *route;
    struct hop *hop; /* who uses it; NULL: idle, or clearing after a hop left early */
    struct upstream_key key;
    union net_addr addr;
    int fixed;             /* place in route->targets, -1 with mx */
    enum conf_level level; /* of the verdict that it was made under */
    bool judges_dates;     /* notAfter counts at that level */

    struct smtp_client *client;
    struct smtp_client_conf conf;
    struct upstream_who *who;
    struct buf out;
    struct dp_timer timer;

    unsigned reported_len; /* domains that were told of this session, by their hashes */
    uint64_t reported[UPSTREAM_REPORTED_MAX];
    bool has_tls, tickets, got_data; /* tickets: the TLS service still has its session */
    bool lost; /* in its handshake, whose answer is still awaited, for its reason */
    struct dp_lost_info lost_info;
    struct tls_facts facts;
    bool plaintext_retry;
    char why[UPSTREAM_WHY]; /* of the retry */
    /* What the ratchet was asked for last, and its answer. Mail of several destinations, and of
     * routes that differ in this setting, may share a connection: each is asked for. */
    bool ratchet_asked;
    enum conf_ratchet ratchet_setting;
    char ratchet_domain[DNS_NAME_MAX + 1]; /* of the recipients; "": the next hop is the route's */
    const char *ratchet_was; /* the level that its host had before, where it has less; or NULL */
    bool ratchet_proved;     /* a message was taken over it, and that was told */
    bool ready, idle, reused;
    uint64_t idle_more_ms; /* after the first look at whether its place is wanted */
    unsigned messages;
    TAILQ_ENTRY(upstream_leg) link;      /* of host->idle */
    TAILQ_ENTRY(upstream_leg) idle_link; /* of the worker's */
};

enum hop_state {
    HOP_WAITING,  /* for a name, a free connection, or its first turn */
    HOP_DIALLING, /* its leg is not ready */
    HOP_ACTIVE,   /* its leg is: a transaction runs */
    HOP_LOST,     /* lost was or is about to be told */
};

enum hop_rcpt_state { HOP_RCPT_WAITING, HOP_RCPT_SENT, HOP_RCPT_UNSUPPORTED, HOP_RCPT_LIMIT };

struct hop_rcpt {
    unsigned index;
    enum hop_rcpt_state state;
};

struct hop {
    struct upstream *u;
    const struct smtp_transaction *txn;
    uint64_t size_added;
    const struct hop_events *events;
    void *user;
    unsigned pins;
    bool closed;
    enum hop_state state;
    struct upstream_route *route;
    struct upstream_who *who;     /* where the route passes the client on */
    struct upstream_probe *probe; /* NULL: it carries mail */

    /* Where it goes. */
    struct upstream_target *targets;
    unsigned targets_len, target;
    bool targets_owned;
    struct upstream_said *said; /* NULL where the route's level is not judged */
    struct upstream_recalled
        *recalled;                     /* targets, said and key are its; NULL: they are the hop's */
    uint64_t stands_until_ms;          /* for so long what DNS said holds */
    unsigned first_equals;             /* hosts of the first target's preference, with it */
    const struct tls_verdict *verdict; /* of this target; NULL: none is made yet */
    struct upstream_key key;           /* of the pool, for this target */
    struct upstream_host *host;
    union net_addr addrs[DNS_ADDRS_MAX];
    unsigned addrs_len, addr;
    /* Not connected yet, beside leg: racers[i] is to addrs[addr + 1 + i]. */
    struct upstream_leg *racers[UPSTREAM_RACERS];
    unsigned racers_len;
    struct dp_timer race; /* until one more joins them */
    bool no_pool;         /* a pooled leg was stale: the next is a new one */
    bool plaintext;       /* this address once more without TLS (level may) */
    bool unreachable;     /* no address of this host was there at all so far */
    bool resolved;
    struct dns_question *question;
    struct dp_timer turn, budget;
    uint64_t deadline_ms, wait_until_ms; /* wait: 0 where it does not wait for a connection */
    TAILQ_ENTRY(hop) waiting;
    bool is_waiting;
    bool has_failure, alarm;
    enum tls_cert_fault fault; /* of the certificate that its leg was shown */
    struct smtp_reply failure; /* what the sender hears if nothing better is found */

    /* The transaction. */
    struct upstream_leg *leg;
    struct hop_rcpt *rcpts;
    unsigned rcpts_len, rcpts_cap, rcpts_pushed, rcpts_answered, rcpts_accepted;
    bool mail_sent, mail_refused, mail_unsupported;
    struct smtp_reply mail_reply; /* its refusal */
    bool data_wanted, data_sent, data_refused;
    bool body;       /* 354 was given, the body is not at its end */
    bool chunk;      /* BDAT is out, its bytes are not all passed */
    bool chunk_last; /* the one that is out is the last */
    bool as_chunks;  /* DATA was answered 354 from here: its body goes out in chunks */
    bool chunk_wait; /* the next one waits for an answer, or for room */
    bool finished;   /* the whole message is out */
    bool final;      /* its answer was told */

    struct hop_facts facts;
    char fact_host[DNS_NAME_MAX + 1], why[UPSTREAM_WHY];
};

TAILQ_HEAD(upstream_hosts, upstream_host);
TAILQ_HEAD(upstream_hops, hop);
TAILQ_HEAD(upstream_recalls, upstream_recalled);

struct upstream {
    struct upstream_conf conf;
    const struct conf_limits *limits;
    struct upstream_route *routes; /* as in conf */
    struct upstream_leg **legs;    /* by slot */
    struct upstream_host *buckets[UPSTREAM_BUCKETS];
    struct upstream_hosts hosts;
    unsigned hosts_len, legs_len, racers_len;
    struct upstream_legs idle;    /* of all hosts, idle for longest first */
    struct upstream_hops waiting; /* for a connection */
    struct evp_md_ctx_st *hash;   /* for keys; between two of them it is nobody's */
    struct upstream_recalled *recall_buckets[UPSTREAM_BUCKETS];
    struct upstream_recalls recalls; /* the one unused for longest first */
    unsigned recalls_len;
    uint64_t recall_random; /* for the order of equal hosts, which is no secret */
    bool draining;
};

static inline void upstream_count(const struct upstream *u, enum counter which)
{
    counter_add(&u->conf.shared, which, 1);
}
/* One line of text for people, into room bytes of UPSTREAM_WHY. */
void upstream_why(char out[UPSTREAM_WHY], const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A refusal of our own; the text is cut to what fits a line. */
void upstream_reply(struct smtp_reply *ret, uint16_t code, uint16_t subject, uint16_t detail,
                    const char *format, ...) __attribute__((format(printf, 5, 6)));

/* upstream_route.c */
/* The names and records that a certificate must match, and room for those that are made. */
struct upstream_names {
    const char *const *items;
    size_t len;
    const char *made[3];
    char subdomains[DNS_NAME_MAX + 2];
    struct tls_tlsa tlsa[DNS_TLSA_MAX];
};
int upstream_hash_new(struct evp_md_ctx_st **ret) ERR_CHECK;
void upstream_hash_free(struct evp_md_ctx_st *md);
int upstream_route_init(const struct upstream *u, struct upstream_route *r,
                        const struct conf_route *conf, char *why, size_t why_room) ERR_CHECK;
void upstream_route_free(struct upstream_route *r);
enum smtp_client_tls upstream_tls_mode(const struct conf_route *route, enum conf_level level,
                                       bool plaintext);
void upstream_names_find(const struct conf_route *r, const struct upstream_aim *aim,
                         struct upstream_names *ret);
const char *upstream_sni(const struct conf_route *r, const struct upstream_aim *aim);
/* Of the pool, for the hop's target: destination, names, policy, verdict, and whatever else makes a
 * leg its route's own. */
void upstream_pool_key(const struct hop *h, struct upstream_key *ret);
enum tls_check upstream_check_of(enum conf_level level);
/* What a handshake looks at: more than the level needs where a policy is in testing mode; whether
 * that may fail, the level says. */
enum tls_check upstream_check_made(const struct tls_verdict *verdict);
/* Whether a leg for the hop's target is of no use once its certificate ran out. */
bool upstream_judges_dates(const struct hop *h);
/* What the leg's handshake asks for; ret points into names. */
void upstream_tls_request(const struct upstream_leg *leg, struct upstream_names *names,
                          struct tls_client_request *ret);

/* upstream_tls.c */
void upstream_tls_begin(struct upstream_leg *leg);

/* upstream_pool.c */
/* With one use more; NULL: no memory. */
struct upstream_host *upstream_host_get(struct upstream *u, const char *host, uint16_t port);
void upstream_host_drop(struct upstream *u, struct upstream_host *host);
void upstream_host_failed(struct upstream *u, struct upstream_host *host, const char *why);
void upstream_host_alive(struct upstream_host *host);
bool upstream_host_dead(const struct upstream *u, const struct upstream_host *host);
/* A connection more to host, across workers; idle legs of ours with another key make room. */
bool upstream_host_hold(struct upstream *u, struct upstream_host *host, unsigned max);
/* NULL: none that may be used. */
struct upstream_leg *upstream_pool_take(struct upstream *u, struct upstream_host *host,
                                        const struct upstream_key *key);
/* The leg is between transactions: it waits for the next one, or retires. */
void upstream_pool_put(struct upstream_leg *leg);
/* An idle leg's time is over, or the first part of it. */
void upstream_pool_tired(struct upstream_leg *leg);
void upstream_pool_remove(struct upstream_leg *leg);
/* Who waits for a connection to host looks again. */
void upstream_pool_wake(struct upstream *u, const struct upstream_host *host);
/* Whether somebody waits for one. */
bool upstream_host_awaited(struct upstream *u, const struct upstream_host *host);
void upstream_wait_begin(struct hop *h);
void upstream_wait_end(struct hop *h);

/* upstream_dial.c */
/* Finds the targets; a pooled leg of a fixed hop is used at once. Tells nothing. */
int upstream_dial_begin(struct hop *h) ERR_CHECK;
void upstream_dial_turn(struct hop *h); /* the next step, on a timer */
/* The leg of a dialling hop, gone by now, did not become ready. */
void upstream_dial_failed(struct hop *h, enum smtp_client_phase phase,
                          const struct smtp_reply *reply, const char *why, bool unreachable);
/* The leg of an active hop is gone before its first recipient was answered. */
void upstream_dial_again(struct hop *h, bool stale, const struct smtp_reply *reply,
                         const char *why);
/* Its leg is ready, and not for this message: the next hop does not take REQUIRETLS. */
void upstream_dial_unfit(struct hop *h);
/* Its leg was ready, has less TLS than it must have, and is gone: text is for the sender. */
void upstream_dial_held(struct hop *h, const char *text);
void upstream_dial_stop(struct hop *h);

/* upstream_verdict.c */
/* Levels that are made for each host. */
bool upstream_level_judged(enum conf_level level);
int upstream_verdict_begin(struct hop *h) ERR_CHECK;
void upstream_said_free(struct upstream_said *said);
/* NULL: no memory. */
struct upstream_said *upstream_said_copy(const struct upstream_said *said);
/* Whether DNSSEC proved the answer that the targets come from. */
void upstream_verdict_mx(struct hop *h, bool secure);
/* The recipient's domain is an address, which has neither zone nor policy. */
void upstream_verdict_literal(struct hop *h);
/* Asks what the level has to know of the domain, once it has targets. True: that is under way, and
 * upstream_dial_turn goes on. */
bool upstream_verdict_domain(struct hop *h);
/* The same of the target in turn; false: h->verdict is made. */
bool upstream_verdict_host(struct hop *h);
/* Of the MTA-STS policy behind the verdict; NULL: none is. */
const char *upstream_verdict_sts_id(const struct hop *h);
/* Why a policy in testing mode would refuse what a connection got; tls NULL: plaintext. NULL: it
 * would not, or none is in testing mode. */
const char *upstream_verdict_refusal(const struct tls_verdict *verdict,
                                     const struct tls_facts *tls);
struct upstream_aim upstream_aim_of(const struct hop *h);

/* upstream_recall.c */
/* Takes what was decided for the hop's route and domain, where that still stands: its first target
 * with verdict and key. False: nothing does, and the hop is as it was. */
bool upstream_recall_take(struct hop *h);
/* The hop is without again, as before it asked for anything. */
void upstream_recall_drop(struct hop *h);
/* Mail begins on a leg for the hop's target: another message for the domain may go on from there.
 */
void upstream_recall_keep(struct hop *h);
void upstream_recalls_free(struct upstream *u);
/* An answer came, which may be kept for so long. */
void upstream_recall_limit(struct hop *h, enum dns_status status, uint32_t ttl_s);

/* upstream_ratchet.c */
/* A new leg is ready for the hop. True: it has less than it must, and is gone; the hop goes on to
 * the next address or host. What becomes of a probe is counted and told nowhere. */
bool upstream_ratchet_holds(struct hop *h, struct upstream_leg *leg);
/* A pooled leg, not the hop's yet. True: it has less than it must, and the next one is judged, and
 * told of, in its place. Where destination and setting are those asked for last it is a comparison.
 */
bool upstream_ratchet_unfit(struct hop *h, struct upstream_leg *leg);
/* What the hop's target is held to; not known: nothing. new_host: as the weakest of its domain's.
 */
void upstream_ratchet_memory(const struct hop *h, struct ratchet_memory *ret, bool *ret_new_host);
/* The next hop has taken a message over the hop's leg. */
void upstream_ratchet_proved(struct hop *h);

/* upstream_race.c */
void upstream_race_init(struct hop *h);
/* h->leg is connecting: others may join it, until it is connected or failed. */
void upstream_race_begin(struct hop *h);
/* h->leg failed; true: a racer is in its place, and h->addr is its address's. False: none joins any
 * more, until the next begin. */
bool upstream_race_goes_on(struct hop *h);
/* The leg, of those that are under way, becomes h->leg, and its address addrs[addr]. */
void upstream_race_front(struct upstream_leg *leg);
/* It is connected: the others go. Their addresses stay, behind its own. */
void upstream_race_won(struct upstream_leg *leg);
void upstream_race_end(struct hop *h);

/* upstream_probe.c: what happens to a probe's hop, told by the files above. */
uint64_t upstream_probe_time(const struct hop *h, uint64_t mail_ms);
/* No connection is wanted. */
bool upstream_probe_only_asks(const struct hop *h);
void upstream_probe_mx(struct hop *h, const struct dns_mx_answer *answer);
void upstream_probe_enter(struct hop *h); /* the target in turn */
void upstream_probe_judged(struct hop *h);
void upstream_probe_addresses(struct hop *h, const struct dns_addr_answer *answer);
void upstream_probe_failed(struct hop *h, enum smtp_client_phase phase);
/* The leg has less TLS than its host had; text says so. */
void upstream_probe_dropped(struct hop *h, const struct upstream_leg *leg, const char *text,
                            bool holds);
void upstream_probe_leave(struct hop *h);
/* A leg where mail would begin now: it ends here. */
void upstream_probe_ready(struct hop *h, struct upstream_leg *leg);

/* upstream_report.c. Nothing is told where the route or the configuration has no reports. */
bool upstream_report_wanted(const struct hop *h);
/* The target in turn must not be used. */
void upstream_report_skipped(const struct hop *h);
/* The session with the address in turn has no TLS, or not what was demanded. */
void upstream_report_failed(const struct hop *h, enum smtp_client_phase phase, const char *why);
/* Mail begins on a hop's leg, a new one or a pooled one. */
void upstream_report_ready(struct upstream_leg *leg);

/* upstream_hop.c */
struct hop *hop_new(struct upstream *u, const struct conf_route *route);
static inline void hop_pin(struct hop *h)
{
    h->pins++;
}
void hop_unpin(struct hop *h);
/* The leg is ready: the transaction begins on it. */
void hop_activate(struct hop *h, struct upstream_leg *leg);
void hop_on_answer(struct hop *h, const struct smtp_client_event *event);
/* The leg is gone. reply: what it said last (code 0: nothing). */
void hop_on_leg_lost(struct hop *h, const struct smtp_reply *reply, const char *why);
/* Answers of our own, in their order, once everything before them was answered. Not from inside a
 * call of the sender's side. */
void hop_deliver(struct hop *h);
void hop_give_up(struct hop *h, const struct smtp_reply *reply, bool indeterminate);

/* upstream_leg.c */
struct upstream_leg *upstream_leg_find(const struct upstream *u, struct leg_id id);
/* The caller holds a connection of host; it is the leg's now, also on failure. */
int upstream_leg_dial(struct hop *h, const union net_addr *addr,
                      struct upstream_leg **ret) ERR_CHECK;
static inline void leg_pin(struct upstream_leg *leg)
{
    leg->pins++;
}
void leg_unpin(struct upstream_leg *leg);
void leg_flush(struct upstream_leg *leg);
/* The time for the next reply begins, or stops where none is due. */
void leg_expect(struct upstream_leg *leg, unsigned seconds);
void leg_expect_next(struct upstream_leg *leg);
void leg_close(struct upstream_leg *leg, enum dp_close how);
void leg_quit(struct upstream_leg *leg);
/* Not ready yet, and it will not be. */
void leg_failed(struct upstream_leg *leg, enum smtp_client_phase phase,
                const struct smtp_reply *reply, const char *why, bool unreachable);
/* The hop is done with it, in whatever state it is. */
void leg_leave(struct upstream_leg *leg);
void leg_connected(struct upstream_leg *leg, int error);
void leg_input(struct upstream_leg *leg, const uint8_t *data, size_t len, size_t *ret_used);
void leg_lost(struct upstream_leg *leg, const struct dp_lost_info *info);
void leg_secured(struct upstream_leg *leg, const struct tls_facts *facts);
