/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_service.h"

#include "assertion.h"
#include "tls_session_cache.h"
#include "tls_thread.h"

#include <stdlib.h>
#include <sys/queue.h>

enum role { ROLE_SERVER, ROLE_CLIENT, ROLE_COUNT };

/*
 * One leg's handshake. A server's is gone at done; a client's stays for tickets. It is in one of
 * these states, and only the first three have the job here:
 */
enum flight_state {
    FLIGHT_QUIET,   /* waits for the peer's bytes */
    FLIGHT_WAITING, /* has bytes and waits for others to end */
    FLIGHT_DONE,    /* a client's, waits for tickets */
    FLIGHT_AWAY,    /* in the thread, or on its way there and back */
};

struct flight {
    struct tls_job job; /* first: the thread gives it back */
    struct leg_id leg;
    enum role role;
    enum flight_state state;
    bool begun;       /* counted as in flight */
    bool in_use;      /* being told about */
    bool released;    /* its leg is gone: freed when it comes back, or is not told about any more */
    bool ended;       /* the far end is gone */
    bool too_much;    /* came while it was away, or waited */
    struct buf later; /* what came while it was away */
    uint8_t session_key[32]; /* client */
    TAILQ_ENTRY(flight) in_queue;
};

TAILQ_HEAD(queue, flight);

struct place {
    struct leg_id leg;
    struct flight *flight;
};

struct service {
    struct tls_service public;
    struct tls_service_conf conf;
    const struct tls_service_events *events;
    void *user;
    struct tls_session_cache *sessions;
    struct place *places;
    struct tls_thread *thread;
    uint32_t begun[ROLE_COUNT];   /* in flight: not those that wait, for turns, bytes or tickets */
    uint32_t flights[ROLE_COUNT]; /* all that are not done */
    struct queue waiting;         /* servers' */
    struct queue orphans;         /* away, and their legs are gone */
};

static struct service *service_of(struct tls_service *s)
{
    return (struct service *)s;
}

static struct flight *flight_of(struct service *s, struct leg_id leg)
{
    struct place *p = leg.slot < s->conf.max_legs ? &s->places[leg.slot] : NULL;

    return p && p->flight && leg_same(p->leg, leg) ? p->flight : NULL;
}

/* ---- a flight's end ---- */

/* What a handshake learnt about sessions goes into the cache, which is the loop's. */
static void sessions_take(struct service *s, struct flight *f)
{
    struct tls_handshake *h = f->job.handshake;

    if (h->session_bad || (h->session_offered && !h->done))
        tls_session_cache_drop(s->sessions, f->session_key);
    h->session_bad = false;
    if (!h->session_new)
        return;
    tls_session_cache_put(s->sessions, f->session_key, h->session_new);
    SSL_SESSION_free(h->session_new);
    h->session_new = NULL;
}

static void flight_free(struct flight *f)
{
    if (!f)
        return;
    tls_keys_wipe(&f->job.keys);
    tls_handshake_free(f->job.handshake);
    buf_release(&f->job.in);
    buf_release(&f->job.out);
    buf_release(&f->later);
    free(f);
}

static void flight_start(struct service *s, struct flight *f);

/* It is over, and the next one has its turn: in the thread, for no step of another leg may run
 * inside this one's call. */
static void flight_land(struct service *s, struct flight *f)
{
    struct flight *next;

    if (f->begun)
        s->begun[f->role]--;
    f->begun = false;
    while (s->begun[ROLE_SERVER] < s->conf.max_handshakes && (next = TAILQ_FIRST(&s->waiting))) {
        TAILQ_REMOVE(&s->waiting, next, in_queue);
        flight_start(s, next);
    }
}

static void flight_end(struct service *s, struct flight *f)
{
    sessions_take(s, f);
    flight_land(s, f);
    flight_free(f);
}

/* The leg has it no more. */
static void flight_part(struct service *s, struct flight *f)
{
    s->places[f->leg.slot] = (struct place){0};
    if (f->state != FLIGHT_DONE)
        s->flights[f->role]--;
    if (f->state == FLIGHT_WAITING)
        TAILQ_REMOVE(&s->waiting, f, in_queue);
    f->released = true;
    if (f->state == FLIGHT_AWAY)
        TAILQ_INSERT_TAIL(&s->orphans, f, in_queue);
    else if (!f->in_use)
        flight_end(s, f);
}

/* ---- telling ---- */

static void failed_tell(struct service *s, struct flight *f, const struct tls_failure *failure)
{
    flight_part(s, f);
    s->events->failed(s->user, f->leg, failure);
}

static void done_tell(struct service *s, struct flight *f)
{
    struct span rest = buf_span(&f->job.in);

    if (f->role == ROLE_SERVER || f->job.keys.version != TLS_VERSION_1_3) {
        flight_part(s, f);
    } else {
        s->flights[f->role]--;
        f->state = FLIGHT_DONE;
        sessions_take(s, f);
        flight_land(s, f);
    }
    s->events->done(s->user, f->leg, &f->job.keys, &f->job.facts, rest);
    tls_keys_wipe(&f->job.keys);
    buf_release(&f->job.in);
}

static void step_tell(struct service *s, struct flight *f)
{
    static const struct tls_failure ended = {
        .kind = TLS_FAIL_ENDED, .text = "the far end went away during the TLS handshake"};
    static const struct tls_failure too_much = {.kind = TLS_FAIL_LIMIT,
                                                .text = "the peer sends more than a handshake"};
    struct span out = buf_span(&f->job.out);

    if (out.len > 0)
        s->events->output(s->user, f->leg, out);
    buf_release(&f->job.out);
    if (f->released)
        return;
    if (f->too_much) { /* what follows would have a hole */
        failed_tell(s, f, &too_much);
        return;
    }
    switch (f->job.step) {
    case TLS_STEP_MORE:
        if (f->ended && buf_len(&f->job.in) == 0)
            failed_tell(s, f, &ended);
        break;
    case TLS_STEP_DONE:
        done_tell(s, f);
        break;
    case TLS_STEP_FAILED:
        failed_tell(s, f, &f->job.failure);
        break;
    }
}

/* An event may release the very leg that it is about: its flight ends when that returns. False
 * where it has. */
static bool flight_tell(struct service *s, struct flight *f)
{
    ASSERT(!f->in_use);
    f->in_use = true;
    step_tell(s, f);
    f->in_use = false;
    if (!f->released)
        return true;
    flight_end(s, f);
    return false;
}

/* ---- steps ---- */

static void flight_send(struct service *s, struct flight *f)
{
    bool first = f->role == ROLE_SERVER && !f->job.handshake->ssl;

    f->state = FLIGHT_AWAY;
    tls_thread_push(s->thread, &f->job, first ? TLS_TURN_LAST : TLS_TURN_FIRST);
}

static void flight_start(struct service *s, struct flight *f)
{
    f->begun = true;
    s->begun[f->role]++;
    flight_send(s, f);
}

/* There are bytes for it, or it is a client's that begins. */
static void flight_step(struct service *s, struct flight *f)
{
    if (!f->begun && s->begun[f->role] >= s->conf.max_handshakes) {
        f->state = FLIGHT_WAITING;
        TAILQ_INSERT_TAIL(&s->waiting, f, in_queue);
        return;
    }
    if (!f->begun)
        s->begun[f->role]++;
    f->begun = true;
    if (s->thread && !(s->conf.idle && s->conf.idle(s->user))) {
        flight_send(s, f);
        return;
    }
    tls_job_run(&f->job);
    flight_tell(s, f);
}

/* It comes back from the thread. */
static void flight_return(struct service *s, struct flight *f)
{
    f->state = FLIGHT_QUIET;
    if (f->released) {
        TAILQ_REMOVE(&s->orphans, f, in_queue);
        flight_end(s, f);
        return;
    }
    if (buf_append_span(&f->job.in, buf_span(&f->later)) != ERR_OK)
        f->too_much = true;
    bool more = buf_len(&f->later) > 0;
    buf_release(&f->later);
    if (flight_tell(s, f) && f->state == FLIGHT_QUIET && more)
        flight_step(s, f);
}

/* ---- operations ---- */

static int place_prepare(struct service *s, struct leg_id leg, enum role role)
{
    uint32_t max = s->conf.max_handshakes;

    ASSERT(!leg_is_none(leg));
    if (leg.slot >= s->conf.max_legs)
        return ERR_RANGE;
    struct flight *other = s->places[leg.slot].flight;
    if (other && leg_same(other->leg, leg))
        return ERR_STATE;
    if (other) /* of a leg that is gone */
        flight_part(s, other);
    if (role == ROLE_SERVER && s->thread)
        max += s->conf.max_waiting;
    return s->flights[role] >= max ? ERR_LIMIT : ERR_OK;
}

/* Takes h, also where it fails. */
static int flight_new(struct service *s, struct leg_id leg, enum role role, struct tls_handshake *h,
                      struct flight **ret)
{
    struct flight *f = calloc(1, sizeof(*f));

    *ret = f;
    if (!f) {
        tls_handshake_free(h);
        return ERR_NOMEM;
    }
    f->job.handshake = h;
    f->leg = leg;
    f->role = role;
    buf_init(&f->job.in, 2 * TLS_HANDSHAKE_MAX);
    buf_init(&f->later, TLS_HANDSHAKE_MAX);
    s->flights[role]++;
    s->places[leg.slot] = (struct place){.leg = leg, .flight = f};
    return ERR_OK;
}

/* Of a listener under attack most legs never say a word: OpenSSL comes in with the first bytes. */
static int openssl_start_server(struct tls_service *public, struct leg_id leg,
                                const struct tls_server_ctx *ctx)
{
    struct service *s = service_of(public);
    struct tls_handshake *h;
    struct flight *f;

    int err = place_prepare(s, leg, ROLE_SERVER);
    if (!err)
        err = tls_handshake_new_server(ctx, &h);
    return err ? err : flight_new(s, leg, ROLE_SERVER, h, &f);
}

static int openssl_start_client(struct tls_service *public, struct leg_id leg,
                                const struct tls_client_request *request)
{
    struct service *s = service_of(public);
    struct tls_handshake *h;
    struct flight *f;

    int err = place_prepare(s, leg, ROLE_CLIENT);
    /* One that the thread still has of a leg that is gone has its place yet. */
    if (!err && s->begun[ROLE_CLIENT] >= s->conf.max_handshakes)
        err = ERR_LIMIT;
    if (!err)
        err = tls_handshake_new_client(request, &h);
    if (err)
        return err;
    SSL_SESSION *session = tls_session_cache_get(s->sessions, request->session_key);
    if (session)
        h->session_old = SSL_SESSION_dup(session);
    err = flight_new(s, leg, ROLE_CLIENT, h, &f);
    if (err)
        return err;
    memcpy(f->session_key, request->session_key, sizeof(f->session_key));
    flight_step(s, f);
    return ERR_OK;
}

static void openssl_feed(struct tls_service *public, struct leg_id leg, struct span bytes)
{
    struct service *s = service_of(public);
    struct flight *f = flight_of(s, leg);

    if (!f || bytes.len == 0)
        return;
    switch (f->state) {
    case FLIGHT_QUIET:
        if (buf_append_span(&f->job.in, bytes) != ERR_OK)
            f->too_much = true;
        flight_step(s, f);
        break;
    case FLIGHT_WAITING: /* what does not fit shows when its turn comes */
        if (buf_append_span(&f->job.in, bytes) != ERR_OK)
            f->too_much = true;
        break;
    case FLIGHT_AWAY:
        if (buf_append_span(&f->later, bytes) != ERR_OK)
            f->too_much = true;
        break;
    case FLIGHT_DONE:
        break;
    }
}

static bool openssl_end(struct tls_service *public, struct leg_id leg)
{
    struct flight *f = flight_of(service_of(public), leg);

    if (!f || (f->state != FLIGHT_AWAY && f->state != FLIGHT_WAITING))
        return false;
    f->ended = true;
    return true;
}

static bool openssl_quiet(struct tls_service *public, struct leg_id leg)
{
    const struct flight *f = flight_of(service_of(public), leg);

    return f && f->state == FLIGHT_QUIET;
}

static void openssl_ticket_record(struct tls_service *public, struct leg_id leg, struct span record)
{
    struct service *s = service_of(public);
    struct flight *f = flight_of(s, leg);

    if (!f || f->state != FLIGHT_DONE)
        return;
    bool more = tls_handshake_ticket(f->job.handshake, record);
    sessions_take(s, f);
    if (!more)
        flight_part(s, f);
}

static void openssl_release(struct tls_service *public, struct leg_id leg)
{
    struct service *s = service_of(public);
    struct flight *f = flight_of(s, leg);

    if (f)
        flight_part(s, f);
}

static void openssl_answer(struct tls_service *public)
{
    struct service *s = service_of(public);
    struct tls_job *job;

    if (!s->thread)
        return;
    tls_thread_heard(s->thread);
    while ((job = tls_thread_pop(s->thread)))
        flight_return(s, (struct flight *)job);
}

static void openssl_halt(struct tls_service *public)
{
    struct service *s = service_of(public);
    struct flight *f;

    s->conf.max_handshakes = 0; /* nobody has a turn any more */
    tls_thread_free(s->thread);
    s->thread = NULL;
    while ((f = TAILQ_FIRST(&s->orphans))) {
        TAILQ_REMOVE(&s->orphans, f, in_queue);
        flight_end(s, f);
    }
    for (uint32_t i = 0; i < s->conf.max_legs; i++)
        if ((f = s->places[i].flight) && f->state == FLIGHT_AWAY)
            f->state = FLIGHT_QUIET;
}

static void openssl_free(struct tls_service *public)
{
    struct service *s = public ? service_of(public) : NULL;

    if (!s)
        return;
    if (s->places)
        openssl_halt(public);
    for (uint32_t i = 0; s->places && i < s->conf.max_legs; i++)
        flight_free(s->places[i].flight);
    tls_session_cache_free(s->sessions);
    free(s->places);
    free(s);
}

static const struct tls_service_ops openssl_ops = {
    .start_server = openssl_start_server,
    .start_client = openssl_start_client,
    .feed = openssl_feed,
    .end = openssl_end,
    .quiet = openssl_quiet,
    .ticket_record = openssl_ticket_record,
    .release = openssl_release,
    .answer = openssl_answer,
    .halt = openssl_halt,
    .free = openssl_free,
};

int tls_service_openssl_new(const struct tls_service_conf *conf,
                            const struct tls_service_events *events, void *user,
                            struct tls_service **ret)
{
    struct service *s = calloc(1, sizeof(*s));

    *ret = NULL;
    if (!s)
        return ERR_NOMEM;
    s->public.ops = &openssl_ops;
    s->conf = *conf;
    s->events = events;
    s->user = user;
    TAILQ_INIT(&s->waiting);
    TAILQ_INIT(&s->orphans);
    s->places = calloc(conf->max_legs ? conf->max_legs : 1, sizeof(*s->places));
    int err = s->places ? tls_session_cache_new(conf->max_sessions, &s->sessions) : ERR_NOMEM;
    if (err)
        openssl_free(&s->public);
    else
        *ret = &s->public;
    return err;
}

int tls_service_openssl_thread(struct tls_service *public, int *ret_fd)
{
    struct service *s = service_of(public);

    ASSERT(!s->thread);
    int err = tls_thread_new(ROLE_COUNT * s->conf.max_handshakes, &s->thread);
    if (!err)
        *ret_fd = tls_thread_fd(s->thread);
    return err;
}
