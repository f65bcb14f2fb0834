/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the supervisor maps before it forks and all processes share: counters, limits that
 * span workers, the ticket seed. Touched at connect and by relaxed atomic adds of a worker's own
 * column; no lock. A column belongs to one worker process (two generations of a slot have two): a
 * dead worker's gauges and holds are cleared by the supervisor (shared_clear_column), its counters
 * stay.
 */
#pragma once

#include "errcode.h"
#include "net_addr.h"
#include "session_end.h"
#include "tls_server.h"

#include <stdatomic.h>
#include <stdint.h>

enum counter {
#define COUNTER(name, text, kind, help) COUNTER_##name,
#include "counter.def"
#undef COUNTER
    COUNTER_COUNT
};

enum {
    SHARED_COLUMN_SUPERVISOR = 4 * 256, /* behind those of four generations of 256 workers */
    SHARED_COLUMNS,
};

struct shared;

/* An anonymous shared mapping; for unit tests too. ERR_NOMEM. */
int shared_new(struct shared **ret) ERR_CHECK;
void shared_free(struct shared *s);

/* One worker's view. */
struct shared_column {
    struct shared *shared;
    unsigned column;
};
void counter_add(const struct shared_column *c, enum counter which, int64_t n);
void counter_set(const struct shared_column *c, enum counter which, uint64_t value);
void counter_session_end(const struct shared_column *c, enum session_end end);
const char *counter_name(enum counter which); /* as metrics call it */
uint64_t counter_sum(const struct shared *s, enum counter which);
uint64_t counter_of(const struct shared *s, unsigned column, enum counter which);
uint64_t counter_session_end_sum(const struct shared *s, enum session_end end);
void shared_clear_column(struct shared *s, unsigned column);

/* Limits that span workers: how many of key are held. False where max are held already (or the
 * table has no room near the key: counted as held). */
enum shared_kind { SHARED_CLIENT_ADDRESS, SHARED_HOP };
bool shared_hold(const struct shared_column *c, enum shared_kind kind, uint64_t key, unsigned max);
void shared_drop(const struct shared_column *c, enum shared_kind kind, uint64_t key);
unsigned shared_held(const struct shared *s, enum shared_kind kind, uint64_t key);
/* The key of an address: an IPv4 address, or an IPv6 /64. Salted at random per start. */
uint64_t shared_address_key(const struct shared *s, const union net_addr *a);
uint64_t shared_text_key(const struct shared *s, struct span text);

/* Peers whose TLS the kernel's records can't follow: they changed keys in a session, and get our
 * own records for a day. key: shared_address_key's. now_s: seconds of the monotonic clock, which
 * workers share. Bounded: where too many come at once, the one whose day ends first is forgotten.
 * Asked once a handshake, told once such a session. */
void shared_rekeyed(struct shared *s, uint64_t key, uint64_t now_s);
bool shared_rekeys(const struct shared *s, uint64_t key, uint64_t now_s);
/* How many there are now. */
unsigned shared_rekeyed_count(const struct shared *s, uint64_t now_s);

/* Failed logins of an address: at most max (1 to 3600) at once, and so many an hour. Bounded as the peers
 * above are. */
void shared_login_failed(struct shared *s, uint64_t key, unsigned max, uint64_t now_s);
/* No further one is to be tried now. */
bool shared_logins_over(const struct shared *s, uint64_t key, unsigned max, uint64_t now_s);

/* Whether something of this name was told today: true for a day after a call that said false.
 * Bounded as the peers above are. */
bool shared_told(struct shared *s, uint64_t key, uint64_t now_s);

/* In a process that needs no more than counters: the ticket seed is not in its memory any more. */
void shared_forget_seed(struct shared *s);
const struct tls_ticket_seed *shared_ticket_seed(const struct shared *s);
/* Prometheus text of everything. */
struct buf;
int shared_write_metrics(const struct shared *s, struct buf *out) ERR_CHECK;
