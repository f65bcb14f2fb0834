/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_cache.h"
#include "resolver_wire.h"

#include "assertion.h"
#include "dp.h"
#include "shared.h"
#include "sip_hash.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

enum {
    BUCKETS = 256,
    RESEND_MS = 20, /* a full socket is tried again after */
};

/* Questions by how long they may take: each list is in the order of deadlines. */
enum pace { PACE_DNS, PACE_FETCH, PACES };

/* Whoever asked; several that ask the same share one message. */
struct dns_question {
    TAILQ_ENTRY(dns_question) in_list; /* the ask's, or the client's where the answer is here */
    struct ask *ask;                   /* NULL: the answer is in the cache */
    union {
        void (*mx)(void *user, const struct dns_mx_answer *answer);
        void (*addr)(void *user, const struct dns_addr_answer *answer);
        void (*ptr)(void *user, const struct dns_ptr_answer *answer);
        void (*tlsa)(void *user, const struct dns_tlsa_answer *answer);
        void (*sts)(void *user, const struct sts_answer *answer);
    } done;
    void *user;
    struct resolver_wire_question wire;
};
TAILQ_HEAD(question_list, dns_question);

/* One message that is out, or waits to be sent. */
struct ask {
    TAILQ_ENTRY(ask) in_order; /* oldest first */
    LIST_ENTRY(ask) in_bucket; /* by id */
    LIST_ENTRY(ask) in_names;  /* by what is asked */
    struct resolver_wire_question wire;
    enum pace pace;
    bool sent;
    bool ending; /* its questions are being answered */
    uint64_t deadline_ms;
    struct question_list questions;
};
TAILQ_HEAD(ask_list, ask);
LIST_HEAD(ask_bucket, ask);

struct resolver_client {
    struct resolver base;
    struct dp *dp;
    int fd; /* -1 while the process is gone */
    uint64_t timeout_ms[PACES];
    uint64_t next_id;
    uint64_t salt[2];
    unsigned len; /* questions that are not answered yet */
    unsigned asks_len, unsent;
    unsigned ready_len;
    struct question_list ready; /* their answers are in the cache */
    struct ask_list asks[PACES];
    struct ask_bucket buckets[BUCKETS], names[BUCKETS];
    struct dp_timer timer;
    struct resolver_cache *cache;
    struct resolver_wire_answer answer; /* while it is received, or told */
    bool has_counters;
    struct shared_column counters;
};

static struct resolver_client *client_of(struct resolver *r)
{
    return (struct resolver_client *)r;
}

static void count(const struct resolver_client *c, enum counter which)
{
    if (c->has_counters)
        counter_add(&c->counters, which, 1);
}

static uint64_t now_s(const struct resolver_client *c)
{
    return dp_now_ms(c->dp) / 1000;
}

/* --- asks --------------------------------------------------------------------------------- */

static struct ask_bucket *names_of(struct resolver_client *c,
                                   const struct resolver_wire_question *q)
{
    uint64_t hash = sip_hash(c->salt, (const uint8_t *)q->name, strlen(q->name));

    return &c->names[(hash + q->kind) % BUCKETS];
}

/* Clients' addresses are as many as clients: they are not looked for. */
static struct ask *ask_find(struct resolver_client *c, const struct resolver_wire_question *q)
{
    struct ask *a;

    if (q->kind == RESOLVER_PTR)
        return NULL;
    LIST_FOREACH (a, names_of(c, q), in_names)
        if (a->wire.kind == q->kind && a->wire.port == q->port &&
            strcmp(a->wire.name, q->name) == 0)
            return a;
    return NULL;
}

/* A client's name is asked for with every session, and its zone may be a hostile client's own that
 * never answers; a policy's server may be as slow, and longer: half of the places are left to what
 * all mail needs. */
static unsigned asks_max(uint32_t kind)
{
    return kind == RESOLVER_PTR || kind == RESOLVER_STS ? RESOLVER_MAX_QUESTIONS / 2
                                                        : RESOLVER_MAX_QUESTIONS;
}

static int ask_new(struct resolver_client *c, const struct resolver_wire_question *q,
                   struct ask **ret)
{
    struct ask *a;

    *ret = NULL;
    if (c->asks_len >= asks_max(q->kind))
        return ERR_LIMIT;
    a = calloc(1, sizeof(*a));
    if (!a)
        return ERR_NOMEM;
    a->wire = *q;
    a->wire.id = c->next_id++;
    a->pace = q->kind == RESOLVER_STS ? PACE_FETCH : PACE_DNS;
    a->deadline_ms = dp_now_ms(c->dp) + c->timeout_ms[a->pace];
    TAILQ_INIT(&a->questions);
    TAILQ_INSERT_TAIL(&c->asks[a->pace], a, in_order);
    LIST_INSERT_HEAD(&c->buckets[a->wire.id % BUCKETS], a, in_bucket);
    LIST_INSERT_HEAD(names_of(c, q), a, in_names);
    c->asks_len++;
    c->unsent++;
    count(c, COUNTER_RESOLVER_QUERIES);
    *ret = a;
    return 0;
}

/* Out of all lists; its questions stay. */
static void ask_unlink(struct resolver_client *c, struct ask *a)
{
    TAILQ_REMOVE(&c->asks[a->pace], a, in_order);
    LIST_REMOVE(a, in_bucket);
    LIST_REMOVE(a, in_names);
    c->asks_len--;
    c->unsent -= !a->sent;
}

static void socket_set(struct resolver_client *c, int fd);

/* Sends one; false where the socket is full or gone. */
static bool ask_send(struct resolver_client *c, struct ask *a)
{
    ssize_t n = send(c->fd, &a->wire, sizeof(a->wire), MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n == (ssize_t)sizeof(a->wire)) {
        a->sent = true;
        c->unsent--;
        return true;
    }
    if (n >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR && errno != ENOBUFS))
        socket_set(c, -1);
    return false;
}

/* Sends every ask that is not out yet, until the socket is full or gone. */
static void asks_send(struct resolver_client *c)
{
    struct ask *a;

    for (int pace = 0; pace < PACES; pace++)
        TAILQ_FOREACH (a, &c->asks[pace], in_order)
            if (c->unsent == 0 || c->fd < 0 || (!a->sent && !ask_send(c, a)))
                return;
}

/* One timer serves all: what is in the cache now, the oldest deadlines, or sooner where the socket
 * was full. */
static void timer_set(struct resolver_client *c)
{
    uint64_t now = dp_now_ms(c->dp);
    uint64_t due = UINT64_MAX;

    for (int pace = 0; pace < PACES; pace++) {
        const struct ask *oldest = TAILQ_FIRST(&c->asks[pace]);
        if (oldest && oldest->deadline_ms < due)
            due = oldest->deadline_ms;
    }
    if (c->fd >= 0 && c->unsent > 0 && due > now + RESEND_MS)
        due = now + RESEND_MS;
    if (c->ready_len > 0)
        due = now;
    if (due == UINT64_MAX) {
        dp_timer_stop(c->dp, &c->timer);
        return;
    }
    /* It can only fail where the heap can't grow, and a started timer's place is there already. */
    if (dp_timer_start(c->dp, &c->timer, due > now ? due - now : 0) != 0)
        ASSERT(!"a resolver question without a timer");
}

/* --- answers ------------------------------------------------------------------------------ */

static void question_tell(struct resolver_client *c, struct dns_question *q,
                          const struct resolver_wire_answer *answer)
{
    struct dns_question told = *q;

    c->len--;
    free(q);
    switch ((enum resolver_kind)told.wire.kind) {
    case RESOLVER_MX:
        told.done.mx(told.user, &answer->mx);
        break;
    case RESOLVER_ADDR:
        told.done.addr(told.user, &answer->addr);
        break;
    case RESOLVER_PTR:
        told.done.ptr(told.user, &answer->ptr);
        break;
    case RESOLVER_TLSA:
        told.done.tlsa(told.user, &answer->tlsa);
        break;
    case RESOLVER_STS:
        told.done.sts(told.user, &answer->sts);
        break;
    }
}

/* The end of an ask: each of its questions hears, and may cancel others of them. */
static void ask_end(struct resolver_client *c, struct ask *a,
                    const struct resolver_wire_answer *answer)
{
    struct dns_question *q;

    ask_unlink(c, a);
    a->ending = true;
    while ((q = TAILQ_FIRST(&a->questions))) {
        TAILQ_REMOVE(&a->questions, q, in_list);
        question_tell(c, q, answer);
    }
    free(a);
}

static void answer_fail(uint32_t kind, struct resolver_wire_answer *ret)
{
    ret->kind = kind;
    switch ((enum resolver_kind)kind) {
    case RESOLVER_MX:
        ret->mx = (struct dns_mx_answer){.status = DNS_FAILED};
        break;
    case RESOLVER_ADDR:
        ret->addr = (struct dns_addr_answer){.status = DNS_FAILED};
        break;
    case RESOLVER_PTR:
        ret->ptr = (struct dns_ptr_answer){.status = DNS_FAILED};
        break;
    case RESOLVER_TLSA:
        ret->tlsa = (struct dns_tlsa_answer){.status = DNS_FAILED};
        break;
    case RESOLVER_STS:
        ret->sts = (struct sts_answer){.status = DNS_BOGUS,
                                       .why = "the resolver process gave no answer in time"};
        break;
    }
}

static void asks_time_out(struct resolver_client *c)
{
    struct ask *oldest;

    for (int pace = 0; pace < PACES; pace++)
        while ((oldest = TAILQ_FIRST(&c->asks[pace])) && oldest->deadline_ms <= dp_now_ms(c->dp)) {
            count(c, COUNTER_RESOLVER_FAILED);
            answer_fail(oldest->wire.kind, &c->answer);
            ask_end(c, oldest, &c->answer);
        }
}

/* Out of the cache, or as an ask; ERR_NOMEM, ERR_LIMIT. What is kept, or is asked already, takes no
 * place of those that are bounded: however many wait for a domain that never answers, others have
 * theirs. Questions themselves are as many as sessions. */
static int question_place(struct resolver_client *c, struct dns_question *q)
{
    struct ask *a;
    int err = 0;

    if (resolver_cache_has(c->cache, &q->wire, now_s(c))) {
        q->ask = NULL;
        TAILQ_INSERT_TAIL(&c->ready, q, in_list);
        c->ready_len++;
        return 0;
    }
    a = ask_find(c, &q->wire);
    if (!a)
        err = ask_new(c, &q->wire, &a);
    if (err)
        return err;
    q->ask = a;
    TAILQ_INSERT_TAIL(&a->questions, q, in_list);
    return 0;
}

/* Those that are ready now; what they ask in turn is for the next turn. */
static void ready_tell(struct resolver_client *c)
{
    for (unsigned left = c->ready_len; left > 0 && c->ready_len > 0; left--) {
        struct dns_question *q = TAILQ_FIRST(&c->ready);
        TAILQ_REMOVE(&c->ready, q, in_list);
        c->ready_len--;
        if (resolver_cache_get(c->cache, &q->wire, now_s(c), &c->answer)) {
            count(c, COUNTER_RESOLVER_CACHED);
            question_tell(c, q, &c->answer);
        } else if (question_place(c, q) != 0) { /* it went meanwhile */
            answer_fail(q->wire.kind, &c->answer);
            question_tell(c, q, &c->answer);
        }
    }
}

static void timer_fired(void *user, struct dp_timer *timer)
{
    struct resolver_client *c = user;

    asks_time_out(c);
    ready_tell(c);
    asks_send(c);
    timer_set(c);
}

static void answer_take(struct resolver_client *c)
{
    struct ask *a;

    LIST_FOREACH (a, &c->buckets[c->answer.id % BUCKETS], in_bucket)
        if (a->wire.id == c->answer.id)
            break;
    /* Cancelled or timed out long ago, or not what was asked. */
    if (!a || a->wire.kind != c->answer.kind)
        return;
    resolver_cache_put(c->cache, &a->wire, &c->answer, now_s(c));
    ask_end(c, a, &c->answer);
}

static void fd_ready(void *user, int fd)
{
    struct resolver_client *c = user;

    /* done may give us another descriptor: stop then. */
    while (c->fd == fd) {
        ssize_t n = recv(fd, &c->answer, sizeof(c->answer), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0)
            socket_set(c, -1);
        else if ((size_t)n <= sizeof(c->answer) && resolver_wire_valid(&c->answer, (size_t)n))
            answer_take(c);
    }
    asks_send(c);
    timer_set(c);
}

static void socket_set(struct resolver_client *c, int fd)
{
    struct ask *a;

    if (c->fd >= 0)
        dp_unwatch_fd(c->dp, c->fd);
    c->fd = fd;
    if (fd >= 0 && dp_watch_fd(c->dp, fd, fd_ready, c) != 0)
        c->fd = -1;
    /* A new process knows nothing of what the old one was asked. */
    c->unsent = 0;
    for (int pace = 0; pace < PACES; pace++)
        TAILQ_FOREACH (a, &c->asks[pace], in_order) {
            a->sent = false;
            c->unsent++;
        }
}

/* --- questions ---------------------------------------------------------------------------- */

static int question_new(struct resolver_client *c, enum resolver_kind kind, const char *name,
                        void *user, struct dns_question **ret)
{
    size_t len = strlen(name);
    struct dns_question *q;

    *ret = NULL;
    if (kind != RESOLVER_PTR && (len == 0 || len > DNS_NAME_MAX))
        return ERR_RANGE;
    q = calloc(1, sizeof(*q));
    if (!q)
        return ERR_NOMEM;
    q->wire.kind = kind;
    memcpy(q->wire.name, name, len + 1);
    q->user = user;
    *ret = q;
    return 0;
}

/* Takes the question: *ret is it, or NULL. */
static int question_ask(struct resolver_client *c, struct dns_question *q,
                        struct dns_question **ret)
{
    int err = 0;

    *ret = NULL;
    if (c->len == 0) /* its place in the heap, from here on until none is left */
        err = dp_timer_start(c->dp, &c->timer, c->timeout_ms[PACE_DNS]);
    if (!err)
        err = question_place(c, q);
    if (err) {
        free(q);
        return err;
    }
    c->len++;
    *ret = q;
    asks_send(c);
    timer_set(c);
    return 0;
}

static int client_mx(struct resolver *r, const char *domain,
                     void (*done)(void *user, const struct dns_mx_answer *answer), void *user,
                     struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_MX, domain, user, &q);

    *ret = NULL;
    if (err)
        return err;
    q->done.mx = done;
    return question_ask(client_of(r), q, ret);
}

static int client_addr(struct resolver *r, const char *host,
                       void (*done)(void *user, const struct dns_addr_answer *answer), void *user,
                       struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_ADDR, host, user, &q);

    *ret = NULL;
    if (err)
        return err;
    q->done.addr = done;
    return question_ask(client_of(r), q, ret);
}

static int client_ptr(struct resolver *r, const union net_addr *addr,
                      void (*done)(void *user, const struct dns_ptr_answer *answer), void *user,
                      struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_PTR, "", user, &q);

    *ret = NULL;
    if (err)
        return err;
    q->wire.addr = *addr;
    q->done.ptr = done;
    return question_ask(client_of(r), q, ret);
}

static int client_tlsa(struct resolver *r, const char *host, uint16_t port,
                       void (*done)(void *user, const struct dns_tlsa_answer *answer), void *user,
                       struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_TLSA, host, user, &q);

    *ret = NULL;
    if (err)
        return err;
    q->wire.port = port;
    q->done.tlsa = done;
    return question_ask(client_of(r), q, ret);
}

static int client_sts(struct resolver *r, const char *domain,
                      void (*done)(void *user, const struct sts_answer *answer), void *user,
                      struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_STS, domain, user, &q);

    *ret = NULL;
    if (err)
        return err;
    q->done.sts = done;
    return question_ask(client_of(r), q, ret);
}

static void client_cancel(struct resolver *r, struct dns_question *question)
{
    struct resolver_client *c = client_of(r);
    struct ask *a = question->ask;

    if (a) {
        TAILQ_REMOVE(&a->questions, question, in_list);
    } else {
        TAILQ_REMOVE(&c->ready, question, in_list);
        c->ready_len--;
    }
    if (a && !a->ending && TAILQ_EMPTY(&a->questions)) {
        ask_unlink(c, a);
        free(a);
    }
    c->len--;
    free(question);
    timer_set(c);
}

static void client_report(struct resolver *r, const struct tlsrpt_event *event)
{
    const struct resolver_client *c = client_of(r);
    struct {
        uint64_t none;
        uint32_t kind;
    } head = {.kind = RESOLVER_REPORT};
    const size_t head_len = offsetof(struct resolver_wire_report, event);
    struct iovec parts[] = {{&head, head_len}, {(void *)event, tlsrpt_event_len(event)}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};

    _Static_assert(offsetof(struct resolver_wire_report, event) <= sizeof(head), "all of it");
    if (c->fd >= 0 && sendmsg(c->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
        count(c, COUNTER_TLSRPT_SESSIONS);
    else
        count(c, COUNTER_TLSRPT_DROPPED);
}

static const struct resolver_ops client_ops = {
    .report = client_report,
    .mx = client_mx,
    .addr = client_addr,
    .ptr = client_ptr,
    .tlsa = client_tlsa,
    .sts = client_sts,
    .cancel = client_cancel,
};

static int client_begin(struct resolver_client *c, const struct resolver_client_conf *conf)
{
    c->timeout_ms[PACE_DNS] = (uint64_t)conf->timeout_s * 1000;
    c->timeout_ms[PACE_FETCH] = ((uint64_t)conf->timeout_s + conf->sts_timeout_s) * 1000;
    c->next_id = 1;
    TAILQ_INIT(&c->ready);
    for (int pace = 0; pace < PACES; pace++)
        TAILQ_INIT(&c->asks[pace]);
    for (unsigned i = 0; i < BUCKETS; i++) {
        LIST_INIT(&c->buckets[i]);
        LIST_INIT(&c->names[i]);
    }
    c->timer.fire = timer_fired;
    c->timer.user = c;
    if (getrandom(c->salt, sizeof(c->salt), 0) != (ssize_t)sizeof(c->salt))
        return ERR_SYSTEM;
    return resolver_cache_new(conf->cache_entries, &c->cache);
}

int resolver_client_new(struct dp *dp, int fd, const struct resolver_client_conf *conf,
                        const struct shared_column *counters, struct resolver **ret)
{
    struct resolver_client *c = calloc(1, sizeof(*c));
    int err = c ? client_begin(c, conf) : ERR_NOMEM;

    *ret = NULL;
    if (err) {
        free(c);
        return err;
    }
    c->base.ops = &client_ops;
    c->dp = dp;
    c->fd = -1;
    if (counters) {
        c->has_counters = true;
        c->counters = *counters;
    }
    socket_set(c, fd);
    if (fd >= 0 && c->fd < 0) {
        resolver_cache_free(c->cache);
        free(c);
        return ERR_NOMEM;
    }
    *ret = &c->base;
    return 0;
}

void resolver_client_set_fd(struct resolver *r, int fd)
{
    struct resolver_client *c = client_of(r);

    socket_set(c, fd);
    asks_send(c);
    timer_set(c);
}

void resolver_client_free(struct resolver *r)
{
    struct resolver_client *c = r ? client_of(r) : NULL;
    struct dns_question *q;
    struct ask *a;

    if (!c)
        return;
    socket_set(c, -1);
    dp_timer_stop(c->dp, &c->timer);
    while ((q = TAILQ_FIRST(&c->ready))) {
        TAILQ_REMOVE(&c->ready, q, in_list);
        free(q);
    }
    for (int pace = 0; pace < PACES; pace++)
        while ((a = TAILQ_FIRST(&c->asks[pace]))) {
            while ((q = TAILQ_FIRST(&a->questions))) {
                TAILQ_REMOVE(&a->questions, q, in_list);
                free(q);
            }
            ask_unlink(c, a);
            free(a);
        }
    resolver_cache_free(c->cache);
    free(c);
}
