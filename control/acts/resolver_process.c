/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_process.h"

#include "assertion.h"
#include "channel.h"
#include "resolver_ask.h"
#include "resolver_context.h"
#include "resolver_sts.h"
#include "resolver_tlsa.h"
#include "resolver_wire.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 128, /* workers of all generations that this process serves */
    WARM_UP_S = 10,
};

struct lookup;

struct client {
    TAILQ_HEAD(, lookup) unsent; /* ended, while the socket is full */
    int fd;                      /* -1: free */
    uint32_t generation;         /* an answer for an earlier one of this place is dropped */
    unsigned outstanding;
    unsigned names; /* PTR among them */
};

struct resolver_process {
    struct ub_ctx *ub;
    struct resolver_sts *sts;
    struct tlsrpt_tally *tally; /* NULL: none */
    struct tlsrpt_send *send;   /* the same */
    struct client clients[CLIENTS_MAX];
};

/* One question of a worker on its way. */
struct lookup {
    TAILQ_ENTRY(lookup) in_unsent;
    struct resolver_process *process;
    unsigned client;
    uint32_t generation;
    struct resolver_wire_question question;
    union {
        struct resolver_addresses addr;
        struct {
            unsigned names_len, names_next; /* candidates for forward confirmation */
            char names[RESOLVER_PTR_NAMES][DNS_NAME_MAX + 1];
        } ptr;
        struct {
            struct resolver_tlsa search;
            struct resolver_tlsa_host v4, v6;
            unsigned pending;
        } tlsa;
    };
    struct resolver_wire_answer answer;
};

static void client_close(struct client *c)
{
    struct lookup *l;

    while ((l = TAILQ_FIRST(&c->unsent))) {
        TAILQ_REMOVE(&c->unsent, l, in_unsent);
        free(l);
    }
    close(c->fd);
    c->fd = -1;
    c->generation++;
    c->outstanding = c->names = 0;
}

static void client_add(struct resolver_process *r, int fd)
{
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        if (r->clients[i].fd >= 0)
            continue;
        r->clients[i].fd = fd;
        return;
    }
    close(fd);
}

/* Sends what has ended, until the socket is full. */
static void client_flush(struct client *c)
{
    struct lookup *l;

    while ((l = TAILQ_FIRST(&c->unsent))) {
        size_t len = resolver_wire_len(&l->answer);
        ASSERT(len > 0 && c->outstanding > 0);
        if (send(c->fd, &l->answer, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            if (errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
                client_close(c);
            return;
        }
        TAILQ_REMOVE(&c->unsent, l, in_unsent);
        c->outstanding--;
        c->names -= l->question.kind == RESOLVER_PTR;
        free(l);
    }
}

/* The answer is there. It goes now, or as soon as the worker reads what it was sent before; a
 * worker that never does has no more than its bound of them. Not inline: where several questions
 * are out, gcc does not follow the count that keeps the look-up until the last is answered. */
static __attribute__((noinline)) void lookup_end(struct lookup *l)
{
    struct client *c = &l->process->clients[l->client];

    if (c->generation != l->generation || c->fd < 0) {
        free(l);
        return;
    }
    TAILQ_INSERT_TAIL(&c->unsent, l, in_unsent);
    client_flush(c);
}

static void ask(struct lookup *l, const char *name, int type, ub_callback_type done)
{
    resolver_ask(l->process->ub, name, type, done, l);
}

static void mx_done(void *user, int error, struct ub_result *result)
{
    struct lookup *l = user;

    resolver_mx_answer(error, result, &l->answer.mx);
    ub_resolve_free(result);
    lookup_end(l);
}

static void addr_done(void *user, const struct dns_addr_answer *answer)
{
    struct lookup *l = user;

    l->answer.addr = *answer;
    lookup_end(l);
}

static void ptr_confirm_next(struct lookup *l);

/* A name counts only where its own addresses contain the client's. */
static void ptr_confirm_done(void *user, int error, struct ub_result *result)
{
    struct lookup *l = user;
    struct resolver_part part;

    resolver_addr_part(error, result, &part);
    ub_resolve_free(result);
    for (unsigned i = 0; i < part.len; i++) {
        if (!net_addr_same_ip(&part.addr[i], &l->question.addr))
            continue;
        l->answer.ptr.status = DNS_OK;
        memcpy(l->answer.ptr.name, l->ptr.names[l->ptr.names_next - 1], DNS_NAME_MAX + 1);
        lookup_end(l);
        return;
    }
    if (part.status == DNS_FAILED || part.status == DNS_BOGUS)
        l->answer.ptr.status = part.status;
    ptr_confirm_next(l);
}

static void ptr_confirm_next(struct lookup *l)
{
    if (l->ptr.names_next == l->ptr.names_len) {
        lookup_end(l);
        return;
    }
    const char *name = l->ptr.names[l->ptr.names_next++];
    ask(l, name, net_addr_is_v6(&l->question.addr) ? DNS_TYPE_AAAA : DNS_TYPE_A, ptr_confirm_done);
}

static void ptr_done(void *user, int error, struct ub_result *result)
{
    struct lookup *l = user;

    l->answer.ptr.status = resolver_status(error, result);
    if (l->answer.ptr.status == DNS_OK) {
        l->ptr.names_len = resolver_ptr_names(result, l->ptr.names);
        /* Until one of them is confirmed. */
        l->answer.ptr.status = DNS_NODATA;
    }
    ub_resolve_free(result);
    ptr_confirm_next(l);
}

static void tlsa_step(struct lookup *l, enum resolver_tlsa_step step);

static void tlsa_records_done(void *user, int error, struct ub_result *result)
{
    struct lookup *l = user;
    enum resolver_tlsa_step step = resolver_tlsa_records(&l->tlsa.search, error, result);

    ub_resolve_free(result);
    tlsa_step(l, step);
}

static void tlsa_alias_done(void *user, int error, struct ub_result *result)
{
    struct lookup *l = user;
    enum resolver_tlsa_step step = resolver_tlsa_alias(&l->tlsa.search, error, result);

    ub_resolve_free(result);
    tlsa_step(l, step);
}

static void tlsa_step(struct lookup *l, enum resolver_tlsa_step step)
{
    char name[DNS_NAME_MAX + 1];

    switch (step) {
    case RESOLVER_TLSA_ALIAS:
        ask(l, l->tlsa.search.host, DNS_TYPE_CNAME, tlsa_alias_done);
        break;
    case RESOLVER_TLSA_RECORDS:
        resolver_tlsa_name(&l->tlsa.search, name);
        ask(l, name, DNS_TYPE_TLSA, tlsa_records_done);
        break;
    case RESOLVER_TLSA_END:
        lookup_end(l);
        break;
    }
}

static void tlsa_part_done(struct lookup *l)
{
    if (--l->tlsa.pending > 0)
        return;
    tlsa_step(l, resolver_tlsa_addresses(&l->tlsa.search, &l->tlsa.v6, &l->tlsa.v4));
}

static void tlsa_v4_done(void *user, int error, struct ub_result *result)
{
    struct lookup *l = user;

    resolver_tlsa_host(&l->tlsa.search, error, result, &l->tlsa.v4);
    ub_resolve_free(result);
    tlsa_part_done(l);
}

static void tlsa_v6_done(void *user, int error, struct ub_result *result)
{
    struct lookup *l = user;

    resolver_tlsa_host(&l->tlsa.search, error, result, &l->tlsa.v6);
    ub_resolve_free(result);
    tlsa_part_done(l);
}

static void tlsa_start(struct lookup *l)
{
    const char *host = l->tlsa.search.host;

    resolver_tlsa_begin(&l->tlsa.search, l->question.name, l->question.port, &l->answer.tlsa);
    l->tlsa.pending = 3; /* with one of our own: the first may end at once */
    ask(l, host, DNS_TYPE_AAAA, tlsa_v6_done);
    ask(l, host, DNS_TYPE_A, tlsa_v4_done);
    tlsa_part_done(l);
}

static void sts_done(void *user, const struct sts_answer *answer)
{
    struct lookup *l = user;

    memcpy(&l->answer.sts, answer,
           offsetof(struct sts_answer, mx) + answer->mx_len * sizeof(answer->mx[0]));
    lookup_end(l);
}

static bool question_valid(const struct resolver_wire_question *q, size_t len)
{
    if (len != sizeof(*q))
        return false;
    switch ((enum resolver_kind)q->kind) {
    case RESOLVER_MX:
    case RESOLVER_ADDR:
    case RESOLVER_TLSA:
    case RESOLVER_STS:
        return memchr(q->name, '\0', sizeof(q->name)) != NULL && q->name[0] != '\0';
    case RESOLVER_PTR:
        return q->addr.any.sa_family == AF_INET || q->addr.any.sa_family == AF_INET6;
    }
    return false;
}

static bool report_valid(const struct resolver_wire_report *r, size_t len)
{
    const size_t head = offsetof(struct resolver_wire_report, event);

    return len > head && len <= sizeof(*r) && r->kind == RESOLVER_REPORT &&
           tlsrpt_event_valid(&r->event, len - head);
}

static void lookup_start(struct lookup *l)
{
    const struct resolver_wire_question *q = &l->question;
    char reverse[DNS_NAME_MAX + 1];

    switch ((enum resolver_kind)q->kind) {
    case RESOLVER_MX:
        ask(l, q->name, DNS_TYPE_MX, mx_done);
        break;
    case RESOLVER_ADDR:
        l->addr.done = addr_done;
        l->addr.user = l;
        resolver_ask_addresses(l->process->ub, q->name, &l->addr);
        break;
    case RESOLVER_PTR:
        /* The worker may have dropped its question long ago, its client gone: many that connect
         * and leave must not fill the places that mail needs. */
        if (l->process->clients[l->client].names > RESOLVER_MAX_QUESTIONS / 2) {
            l->answer.ptr.status = DNS_FAILED;
            lookup_end(l);
            return;
        }
        resolver_reverse_name(&q->addr, reverse);
        ask(l, reverse, DNS_TYPE_PTR, ptr_done);
        break;
    case RESOLVER_TLSA:
        tlsa_start(l);
        break;
    case RESOLVER_STS:
        resolver_sts_ask(l->process->sts, q->name, sts_done, l);
        break;
    }
}

/* One packet; false where there is no more now. */
static bool client_read(struct resolver_process *r, unsigned index)
{
    struct client *c = &r->clients[index];
    union {
        struct resolver_wire_question question;
        struct resolver_wire_report report;
    } packet;
    const struct resolver_wire_question *question = &packet.question;
    ssize_t n = recv(c->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_TRUNC);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return false;
    if (n > 0 && report_valid(&packet.report, (size_t)n)) {
        if (r->tally)
            tlsrpt_tally_add(r->tally, &packet.report.event);
        return true;
    }
    /* Who talks garbage is broken or taken over: nothing more is taken from it. */
    if (n <= 0 || !question_valid(question, (size_t)n)) {
        client_close(c);
        return false;
    }
    struct lookup *l = calloc(1, sizeof(*l));
    if (!l)
        return true; /* the worker's timeout answers */
    l->process = r;
    l->client = index;
    l->generation = c->generation;
    l->question = *question;
    l->answer.id = question->id;
    l->answer.kind = question->kind;
    c->outstanding++;
    c->names += question->kind == RESOLVER_PTR;
    lookup_start(l);
    return true;
}

static void client_ready(struct resolver_process *r, unsigned index)
{
    uint32_t generation = r->clients[index].generation;

    /* A turn each, so that a busy worker does not starve the others. */
    for (int i = 0; i < 64; i++) {
        const struct client *c = &r->clients[index];
        if (c->fd < 0 || c->generation != generation || c->outstanding >= RESOLVER_MAX_QUESTIONS ||
            !client_read(r, index))
            return;
    }
}

static char *tally_text(const struct resolver_process *r, const struct channel_message *message)
{
    if (r->tally)
        return tlsrpt_tally_show(r->tally, (unsigned)(message->number & 1), message->text);
    return strdup("{\"error\": \"nothing is counted: the configuration has no group tlsrpt\", "
                  "\"exit\": 78}"); /* EX_CONFIG */
}

static void tally_show(const struct resolver_process *r, int channel,
                       const struct channel_message *message, int fd)
{
    struct channel_message answer = {.kind = CHANNEL_ROWS, .id = message->id};
    char *text = tally_text(r, message);
    size_t len = text ? strlen(text) : 0;

    if (len > 0 && write(fd, text, len) == (ssize_t)len)
        answer.number = len;
    free(text);
    (void)!channel_send(channel, &answer, -1);
}

static int channel_ready(struct resolver_process *r, int channel)
{
    struct channel_message message;
    int fd;
    int err = channel_receive(channel, &message, &fd);

    if (err == ERR_AGAIN)
        return 0;
    if (err)
        return err;
    if (message.kind == CHANNEL_CLIENT && fd >= 0) {
        client_add(r, fd);
        return 0;
    }
    if (message.kind == CHANNEL_TLSRPT && fd >= 0)
        tally_show(r, channel, &message, fd);
    if (fd >= 0)
        close(fd);
    return 0;
}

enum {
    FD_CHANNEL,
    FD_UNBOUND,
    FD_CLIENTS,
    FD_STS = FD_CLIENTS + CLIENTS_MAX,
    FDS_MAX = FD_STS + RESOLVER_STS_FDS
};

/* What to wait for; returns how many, and for how long in *ret_ms (-1: for ever). */
static unsigned fds_collect(struct resolver_process *r, int channel, struct pollfd *fds,
                            int *ret_ms)
{
    fds[FD_CHANNEL] = (struct pollfd){channel, POLLIN, 0};
    fds[FD_UNBOUND] = (struct pollfd){ub_fd(r->ub), POLLIN, 0};
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        const struct client *c = &r->clients[i];
        bool takes = c->fd >= 0 && c->outstanding < RESOLVER_MAX_QUESTIONS;
        short events = (short)((takes ? POLLIN : 0) | (TAILQ_EMPTY(&c->unsent) ? 0 : POLLOUT));
        fds[FD_CLIENTS + i] = (struct pollfd){events ? c->fd : -1, events, 0};
    }
    unsigned len = FD_STS + resolver_sts_fds(r->sts, fds + FD_STS, ret_ms);
    int tally_ms = r->tally ? tlsrpt_tally_wait_ms(r->tally) : -1;
    int send_ms = r->send ? tlsrpt_send_wait_ms(r->send) : -1;
    if (tally_ms >= 0 && (*ret_ms < 0 || tally_ms < *ret_ms))
        *ret_ms = tally_ms;
    if (send_ms >= 0 && (*ret_ms < 0 || send_ms < *ret_ms))
        *ret_ms = send_ms;
    return len;
}

static int turn(struct resolver_process *r, int channel, const struct pollfd *fds, unsigned len)
{
    if (fds[FD_CHANNEL].revents) {
        int err = channel_ready(r, channel);
        if (err)
            return err;
    }
    if (fds[FD_UNBOUND].revents && ub_process(r->ub) != 0)
        return ERR_SYSTEM;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        const struct pollfd *ready = &fds[FD_CLIENTS + i];
        if (ready->revents & POLLOUT && r->clients[i].fd == ready->fd)
            client_flush(&r->clients[i]);
        if (ready->revents & ~POLLOUT && r->clients[i].fd == ready->fd)
            client_ready(r, i);
    }
    resolver_sts_turn(r->sts, fds + FD_STS, len - FD_STS);
    if (r->tally)
        tlsrpt_tally_turn(r->tally);
    if (r->send)
        tlsrpt_send_turn(r->send);
    return 0;
}

int resolver_process_run(struct resolver_process *r, int channel)
{
    struct pollfd fds[FDS_MAX];

    for (;;) {
        int wait_ms;
        unsigned len = fds_collect(r, channel, fds, &wait_ms);
        if (poll(fds, len, wait_ms) < 0) {
            if (errno == EINTR)
                continue;
            return ERR_SYSTEM;
        }
        int err = turn(r, channel, fds, len);
        if (err && r->tally)
            tlsrpt_tally_flush(r->tally);
        if (err)
            return err == ERR_CLOSED ? 0 : err;
    }
}

struct warm_up {
    bool done;
    int error;
};

static void warmed_up(void *user, int error, struct ub_result *result)
{
    struct warm_up *w = user;

    w->done = true;
    w->error = error;
    ub_resolve_free(result);
}

/* The first question makes libunbound read its files and start its thread; a name that libunbound
 * itself knows needs no network. */
static int warm_up(struct resolver_process *r, char *why, size_t why_room)
{
    struct warm_up w = {0};
    int err = ub_resolve_async(r->ub, "localhost", DNS_TYPE_A, DNS_CLASS_IN, &w, warmed_up, NULL);

    while (!err && !w.done) {
        struct pollfd fd = {ub_fd(r->ub), POLLIN, 0};
        int n = poll(&fd, 1, WARM_UP_S * 1000);
        if (n < 0 && errno == EINTR)
            continue;
        err = n <= 0 ? UB_INITFAIL : ub_process(r->ub);
    }
    if (!err)
        err = w.error;
    if (!err)
        return 0;
    snprintf(why, why_room, "resolver: %s; look at resolver.trust_anchor", ub_strerror(err));
    return ERR_CONFIG;
}

int resolver_process_new(const struct conf_resolver *conf, int store, struct tlsrpt_tally *tally,
                         struct tlsrpt_send *send, const struct shared_column *counters,
                         struct resolver_process **ret, char *why, size_t why_room)
{
    struct resolver_process *r = calloc(1, sizeof(*r));
    int err;

    *ret = NULL;
    if (!r) {
        tlsrpt_send_free(send);
        tlsrpt_tally_free(tally);
        snprintf(why, why_room, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    r->tally = tally;
    r->send = send;
    for (unsigned i = 0; i < CLIENTS_MAX; i++) {
        r->clients[i].fd = -1;
        TAILQ_INIT(&r->clients[i].unsent);
    }
    err = resolver_context_new(conf, &r->ub, why, why_room);
    if (!err && ub_ctx_async(r->ub, 1) != 0) {
        snprintf(why, why_room, "resolver: no thread to be had");
        err = ERR_SYSTEM;
    }
    if (!err)
        err = warm_up(r, why, why_room);
    if (!err)
        err = resolver_sts_new(conf, r->ub, store, counters, &r->sts, why, why_room);
    if (err) {
        resolver_process_free(r);
        return err;
    }
    if (r->send)
        tlsrpt_send_begin(r->send, r->ub, resolver_sts_fetches(r->sts));
    *ret = r;
    return 0;
}

void resolver_process_free(struct resolver_process *r)
{
    if (!r)
        return;
    for (unsigned i = 0; i < CLIENTS_MAX; i++)
        if (r->clients[i].fd >= 0)
            client_close(&r->clients[i]);
    ub_ctx_delete(r->ub);
    tlsrpt_send_free(r->send);
    resolver_sts_free(r->sts);
    tlsrpt_tally_free(r->tally);
    free(r);
}
