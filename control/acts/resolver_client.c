/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_wire.h"

#include "assertion.h"
#include "dp.h"
#include "shared.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
    BUCKETS = 256,
    RESEND_MS = 20, /* a full socket is tried again after */
};

struct dns_question {
    TAILQ_ENTRY(dns_question) in_order; /* oldest first: all have the same timeout */
    LIST_ENTRY(dns_question) in_bucket;
    struct resolver_wire_question wire;
    bool sent;
    uint64_t deadline_ms;
    union {
        void (*mx)(void *user, const struct dns_mx_answer *answer);
        void (*addr)(void *user, const struct dns_addr_answer *answer);
        void (*ptr)(void *user, const struct dns_ptr_answer *answer);
    } done;
    void *user;
};

TAILQ_HEAD(question_list, dns_question);
LIST_HEAD(question_bucket, dns_question);

struct resolver_client {
    struct resolver base;
    struct dp *dp;
    int fd; /* -1 while the process is gone */
    uint64_t timeout_ms;
    uint64_t next_id;
    unsigned len, unsent;
    struct question_list questions;
    struct question_bucket buckets[BUCKETS];
    struct dp_timer timer;
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

static void question_unlink(struct resolver_client *c, struct dns_question *q)
{
    TAILQ_REMOVE(&c->questions, q, in_order);
    LIST_REMOVE(q, in_bucket);
    c->len--;
    c->unsent -= !q->sent;
}

static void socket_set(struct resolver_client *c, int fd);

/* Sends every question that is not out yet, until the socket is full or gone. */
static void questions_send(struct resolver_client *c)
{
    struct dns_question *q;

    if (c->unsent == 0)
        return;
    TAILQ_FOREACH (q, &c->questions, in_order) {
        if (c->fd < 0)
            return;
        if (q->sent)
            continue;
        ssize_t n = send(c->fd, &q->wire, sizeof(q->wire), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n == (ssize_t)sizeof(q->wire)) {
            q->sent = true;
            c->unsent--;
        } else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ||
                             errno == ENOBUFS)) {
            return;
        } else {
            socket_set(c, -1);
        }
    }
}

/* One timer serves all: the oldest deadline, or sooner where the socket was full. */
static void timer_set(struct resolver_client *c)
{
    struct dns_question *oldest = TAILQ_FIRST(&c->questions);
    uint64_t now = dp_now_ms(c->dp);
    uint64_t after;

    if (!oldest) {
        dp_timer_stop(c->dp, &c->timer);
        return;
    }
    after = oldest->deadline_ms > now ? oldest->deadline_ms - now : 0;
    if (after > RESEND_MS && c->fd >= 0 && c->unsent > 0)
        after = RESEND_MS;
    /* It can only fail where the heap can't grow, and a started timer's place is there already. */
    if (dp_timer_start(c->dp, &c->timer, after) != 0)
        ASSERT(!"a resolver question without a timer");
}

static void question_fail(struct resolver_client *c, struct dns_question *q)
{
    const struct dns_mx_answer mx = {.status = DNS_FAILED};
    const struct dns_addr_answer addr = {.status = DNS_FAILED};
    const struct dns_ptr_answer ptr = {.status = DNS_FAILED};

    question_unlink(c, q);
    count(c, COUNTER_RESOLVER_FAILED);
    switch ((enum resolver_kind)q->wire.kind) {
    case RESOLVER_MX:
        q->done.mx(q->user, &mx);
        break;
    case RESOLVER_ADDR:
        q->done.addr(q->user, &addr);
        break;
    case RESOLVER_PTR:
        q->done.ptr(q->user, &ptr);
        break;
    }
    free(q);
}

static void timer_fired(void *user, struct dp_timer *timer)
{
    struct resolver_client *c = user;
    struct dns_question *oldest;

    while ((oldest = TAILQ_FIRST(&c->questions)) && oldest->deadline_ms <= dp_now_ms(c->dp))
        question_fail(c, oldest);
    questions_send(c);
    timer_set(c);
}

static void answer_take(struct resolver_client *c, const struct resolver_wire_answer *answer)
{
    struct dns_question *q;

    LIST_FOREACH (q, &c->buckets[answer->id % BUCKETS], in_bucket)
        if (q->wire.id == answer->id)
            break;
    /* Cancelled or timed out long ago, or not what was asked. */
    if (!q || q->wire.kind != answer->kind)
        return;
    question_unlink(c, q);
    switch ((enum resolver_kind)answer->kind) {
    case RESOLVER_MX:
        q->done.mx(q->user, &answer->mx);
        break;
    case RESOLVER_ADDR:
        q->done.addr(q->user, &answer->addr);
        break;
    case RESOLVER_PTR:
        q->done.ptr(q->user, &answer->ptr);
        break;
    }
    free(q);
}

static void fd_ready(void *user, int fd)
{
    struct resolver_client *c = user;
    struct resolver_wire_answer answer;

    /* done may give us another descriptor: stop then. */
    while (c->fd == fd) {
        ssize_t n = recv(fd, &answer, sizeof(answer), MSG_DONTWAIT | MSG_TRUNC);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        if (n <= 0)
            socket_set(c, -1);
        else if ((size_t)n <= sizeof(answer) && resolver_wire_valid(&answer, (size_t)n))
            answer_take(c, &answer);
    }
    questions_send(c);
    timer_set(c);
}

static void socket_set(struct resolver_client *c, int fd)
{
    struct dns_question *q;

    if (c->fd >= 0)
        dp_unwatch_fd(c->dp, c->fd);
    c->fd = fd;
    if (fd >= 0 && dp_watch_fd(c->dp, fd, fd_ready, c) != 0)
        c->fd = -1;
    /* A new process knows nothing of what the old one was asked. */
    TAILQ_FOREACH (q, &c->questions, in_order)
        q->sent = false;
    c->unsent = c->len;
}

/* A client's name is asked for with every session, and its zone may be a hostile client's own that
 * never answers: half of the places are left to what mail needs. */
static unsigned questions_max(enum resolver_kind kind)
{
    return kind == RESOLVER_PTR ? RESOLVER_MAX_QUESTIONS / 2 : RESOLVER_MAX_QUESTIONS;
}

static int question_new(struct resolver_client *c, enum resolver_kind kind, void *user,
                        struct dns_question **ret)
{
    struct dns_question *q;

    *ret = NULL;
    if (c->len >= questions_max(kind))
        return ERR_LIMIT;
    q = calloc(1, sizeof(*q));
    if (!q)
        return ERR_NOMEM;
    q->wire.id = c->next_id++;
    q->wire.kind = kind;
    q->user = user;
    q->deadline_ms = dp_now_ms(c->dp) + c->timeout_ms;
    if (TAILQ_EMPTY(&c->questions) && dp_timer_start(c->dp, &c->timer, c->timeout_ms) != 0) {
        free(q);
        return ERR_NOMEM;
    }
    *ret = q;
    return 0;
}

static void question_ask(struct resolver_client *c, struct dns_question *q)
{
    TAILQ_INSERT_TAIL(&c->questions, q, in_order);
    LIST_INSERT_HEAD(&c->buckets[q->wire.id % BUCKETS], q, in_bucket);
    c->len++;
    c->unsent++;
    count(c, COUNTER_RESOLVER_QUERIES);
    questions_send(c);
    timer_set(c);
}

static int name_copy(struct dns_question *q, const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > DNS_NAME_MAX) {
        free(q);
        return ERR_RANGE;
    }
    memcpy(q->wire.name, name, len + 1);
    return 0;
}

static int client_mx(struct resolver *r, const char *domain,
                     void (*done)(void *user, const struct dns_mx_answer *answer), void *user,
                     struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_MX, user, &q);

    *ret = NULL;
    if (!err)
        err = name_copy(q, domain);
    if (err)
        return err;
    q->done.mx = done;
    *ret = q;
    question_ask(client_of(r), q);
    return 0;
}

static int client_addr(struct resolver *r, const char *host,
                       void (*done)(void *user, const struct dns_addr_answer *answer), void *user,
                       struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_ADDR, user, &q);

    *ret = NULL;
    if (!err)
        err = name_copy(q, host);
    if (err)
        return err;
    q->done.addr = done;
    *ret = q;
    question_ask(client_of(r), q);
    return 0;
}

static int client_ptr(struct resolver *r, const union net_addr *addr,
                      void (*done)(void *user, const struct dns_ptr_answer *answer), void *user,
                      struct dns_question **ret)
{
    struct dns_question *q;
    int err = question_new(client_of(r), RESOLVER_PTR, user, &q);

    *ret = NULL;
    if (err)
        return err;
    q->wire.addr = *addr;
    q->done.ptr = done;
    *ret = q;
    question_ask(client_of(r), q);
    return 0;
}

static void client_cancel(struct resolver *r, struct dns_question *question)
{
    struct resolver_client *c = client_of(r);

    question_unlink(c, question);
    free(question);
    timer_set(c);
}

static const struct resolver_ops client_ops = {
    .mx = client_mx,
    .addr = client_addr,
    .ptr = client_ptr,
    .cancel = client_cancel,
};

int resolver_client_new(struct dp *dp, int fd, unsigned timeout_s,
                        const struct shared_column *counters, struct resolver **ret)
{
    struct resolver_client *c = calloc(1, sizeof(*c));

    *ret = NULL;
    if (!c)
        return ERR_NOMEM;
    c->base.ops = &client_ops;
    c->dp = dp;
    c->fd = -1;
    c->timeout_ms = (uint64_t)timeout_s * 1000;
    c->next_id = 1;
    TAILQ_INIT(&c->questions);
    for (unsigned i = 0; i < BUCKETS; i++)
        LIST_INIT(&c->buckets[i]);
    c->timer.fire = timer_fired;
    c->timer.user = c;
    if (counters) {
        c->has_counters = true;
        c->counters = *counters;
    }
    socket_set(c, fd);
    if (fd >= 0 && c->fd < 0) {
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
    questions_send(c);
    timer_set(c);
}

void resolver_client_free(struct resolver *r)
{
    struct resolver_client *c = r ? client_of(r) : NULL;
    struct dns_question *q;

    if (!c)
        return;
    socket_set(c, -1);
    dp_timer_stop(c->dp, &c->timer);
    while ((q = TAILQ_FIRST(&c->questions))) {
        question_unlink(c, q);
        free(q);
    }
    free(c);
}
