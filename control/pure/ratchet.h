/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ratchet: whether a connection to a next hop has less TLS than the destination had before.
 * Decides, purely from what is remembered and what the connection has, what becomes of the mail;
 * ratchet_book.h keeps what is remembered, ratchet_file.h is how that looks on disk.
 *
 * A destination is the recipients' domain with next_hop = "mx", and the next hop "host:port" where
 * it is the route's own. Remembered is the best for each host of it. A host that is new to a known
 * destination has to have what the weakest of the known hosts has: whoever forges MX records gains
 * nothing, and a domain with one weak host among others is no drop each time that it is used.
 *
 * Levels that demand TLS (encrypt and above) refuse what is less by themselves; what can drop is
 * left to may and auto.
 */
#pragma once

#include "conf.h"
#include "tls_verdict.h"

/* How much a connection has, weakest first. That a connection has TLS 1.2 and not 1.3 is no drop:
 * nobody on the way can bring that about (RFC 8446 section 4.1.3), and min_version bounds it. */
enum ratchet_strength {
    RATCHET_PLAINTEXT,
    RATCHET_ENCRYPTED, /* TLS, with whatever certificate */
    RATCHET_VERIFIED,  /* an authority vouches for the name, as the other side's policy asks */
    RATCHET_BOUND,     /* the key is one that the other side published in signed DNS */
};

/* What a connection has: the level whose check it passed (NONE: plaintext; never MAY, STS, AUTO),
 * and who asked for that level. */
struct ratchet_had {
    enum conf_level level;
    enum tls_source source;
};

/* What the route itself asks of a certificate is the administrator's own to change: by that a
 * connection proves to others only that there is TLS. */
enum ratchet_strength ratchet_strength_of(const struct ratchet_had *had);
/* Whether a is worth remembering in place of b: it is stronger, or as strong and of a higher level. */
bool ratchet_better(const struct ratchet_had *a, const struct ratchet_had *b);
/* "plaintext", "encrypt", "verify", "pin", "dane". */
const char *ratchet_level_text(enum conf_level level);

/* What is remembered of one host, or of the weakest of a destination. */
struct ratchet_memory {
    bool known;
    struct ratchet_had best;
    int64_t last; /* when a message went out by that, in seconds since 1970 */
};

enum ratchet_finding {
    RATCHET_FINE,
    RATCHET_DROP, /* less than before; the mail goes on */
    RATCHET_HOLD, /* less than before; the mail must not go on over it */
};

struct ratchet_verdict {
    enum ratchet_finding finding;
    bool held;               /* to what follows; false: to nothing */
    bool new_host;           /* what it is held to is the weakest of the destination's others */
    struct ratchet_had was;
    int64_t was_last;
};

/* host, destination: what is remembered of the host, and of the weakest host of its destination.
 * Older than expiry_s is as nothing. */
struct ratchet_question {
    const struct conf_route *route;
    struct ratchet_had now;
    struct ratchet_memory host, destination;
    int64_t now_s, expiry_s;
};
void ratchet_judge(const struct ratchet_question *q, struct ratchet_verdict *ret);

/* Whether a connection of the route is remembered, or held to what is. */
bool ratchet_remembers(const struct conf_route *route);
bool ratchet_judges(const struct conf_route *route);

enum { RATCHET_DATE = 24, RATCHET_TEXT = 464 };
/* "2026-11-22T08:15Z" */
const char *ratchet_date(int64_t seconds, char out[RATCHET_DATE]);
/* For the sender and the log: what was seen before and when, what there is now, and what to do. why:
 * why there is no more ("" where that is all there is to say). */
void ratchet_explain(const struct ratchet_verdict *v, const struct ratchet_had *now,
                     const char *destination, const char *why, char out[RATCHET_TEXT]);
