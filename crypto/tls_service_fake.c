/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_service.h"

#include "assertion.h"
#include "buf.h"
#include "tls_fake.h"

#include <stdio.h>
#include <stdlib.h>

struct place {
    struct leg_id leg;
    struct tls_fake *fake; /* NULL: no handshake */
    enum tls_check check;  /* a client's */
    bool due;              /* a step was put off */
    bool begins;           /* a client's first flight is not told yet */
    bool ended;            /* the far end is gone */
    struct buf in;         /* of steps that were put off */
};

struct service {
    struct tls_service public;
    const struct tls_service_events *events;
    void *user;
    uint64_t seed, order;
    void (*late)(void *user);
    void *late_user;
    struct place *places;
    uint32_t max_legs, max_handshakes, handshakes;
    uint32_t due;
};

static struct service *service_of(struct tls_service *s)
{
    return (struct service *)s;
}

static struct place *place_of(struct service *s, struct leg_id leg)
{
    struct place *p = leg.slot < s->max_legs ? &s->places[leg.slot] : NULL;

    return p && p->fake && leg_same(p->leg, leg) ? p : NULL;
}

static void place_empty(struct service *s, struct place *p)
{
    if (p->fake) {
        free(p->fake);
        s->handshakes--;
    }
    s->due -= p->due;
    buf_release(&p->in);
    *p = (struct place){0};
}

/* ---- steps ---- */

/* Nothing is judged, so that what a client's facts say is only what it was to check. */
static void facts_make(const struct tls_fake *f, enum tls_check check, struct tls_facts *ret)
{
    static const char *const texts[] = {[TLS_CHECK_NOTHING] = "",
                                        [TLS_CHECK_NAME] = "fake name",
                                        [TLS_CHECK_PIN] = "fake pin",
                                        [TLS_CHECK_DANE] = "fake dane"};
    bool checked = f->is_server || check != TLS_CHECK_NOTHING;

    *ret = (struct tls_facts){.version = TLS_VERSION_1_3,
                              .suite = "TLS_AES_128_GCM_SHA256",
                              .group = "X25519",
                              .bits = 128,
                              .verify = checked ? TLS_VERIFY_OK : TLS_VERIFY_UNCHECKED};
    snprintf(ret->verify_text, sizeof(ret->verify_text), "%s",
             f->is_server ? "fake" : texts[check]);
    snprintf(ret->sni, sizeof(ret->sni), "%s", f->sni);
}

/* A client's first flight is there since it was made. */
static void step_begin(struct service *s, struct place *p)
{
    uint8_t out[TLS_FAKE_FLIGHT_MAX]; /* the event may release the leg */
    size_t len = p->fake->out_len;

    p->begins = false;
    memcpy(out, p->fake->out, len);
    s->events->output(s->user, p->leg, span_make(out, len));
}

static void step_feed(struct service *s, struct place *p, struct span bytes)
{
    static const struct tls_failure broken = {
        .kind = TLS_FAIL_PROTOCOL, .text = "the peer does not keep to the fake handshake"};
    static const struct tls_failure ended = {.kind = TLS_FAIL_ENDED,
                                             .text = "the far end went away"};
    struct leg_id leg = p->leg;
    int err = tls_fake_feed(p->fake, &bytes);
    struct tls_fake now = *p->fake; /* the events may release the leg */

    if (now.out_len > 0)
        s->events->output(s->user, leg, span_make(now.out, now.out_len));
    p = place_of(s, leg);
    if (p && err == ERR_OK) {
        struct tls_facts facts;

        facts_make(&now, p->check, &facts);
        place_empty(s, p);
        s->events->done(s->user, leg, &now.keys, &facts, bytes);
    } else if (p && (err != ERR_AGAIN || p->ended)) {
        place_empty(s, p);
        s->events->failed(s->user, leg, err != ERR_AGAIN ? &broken : &ended);
    }
    tls_keys_wipe(&now.keys);
}

static void put_off(struct service *s, struct place *p)
{
    if (p->due)
        return;
    p->due = true;
    s->due++;
    s->late(s->late_user);
}

/* ---- operations ---- */

static int fake_start(struct service *s, struct leg_id leg, bool is_server, const char *sni)
{
    ASSERT(!leg_is_none(leg));
    if (leg.slot >= s->max_legs)
        return ERR_RANGE;
    struct place *p = &s->places[leg.slot];
    if (place_of(s, leg))
        return ERR_STATE;
    place_empty(s, p);
    if (s->handshakes >= s->max_handshakes)
        return ERR_LIMIT;
    p->fake = malloc(sizeof(*p->fake));
    if (!p->fake)
        return ERR_NOMEM;
    p->leg = leg;
    s->handshakes++;
    /* Each leg has a random of its own, the same in each run. */
    tls_fake_init(p->fake, is_server, s->seed ^ ((uint64_t)leg.generation << 32 | leg.slot), sni);
    return ERR_OK;
}

static int fake_start_server(struct tls_service *public, struct leg_id leg,
                             const struct tls_server_ctx *ctx)
{
    return fake_start(service_of(public), leg, true, NULL);
}

static int fake_start_client(struct tls_service *public, struct leg_id leg,
                             const struct tls_client_request *request)
{
    struct service *s = service_of(public);

    int err = fake_start(s, leg, false, request->sni);
    if (err)
        return err;
    struct place *p = place_of(s, leg);
    p->begins = true;
    p->check = request->check;
    if (s->late)
        put_off(s, p);
    else
        step_begin(s, p);
    return ERR_OK;
}

static void fake_feed(struct tls_service *public, struct leg_id leg, struct span bytes)
{
    struct service *s = service_of(public);
    struct place *p = place_of(s, leg);

    if (!p)
        return;
    if (!s->late) {
        step_feed(s, p, bytes);
        return;
    }
    ASSERT(buf_append_span(&p->in, bytes) == ERR_OK);
    put_off(s, p);
}

static bool fake_end(struct tls_service *public, struct leg_id leg)
{
    struct place *p = place_of(service_of(public), leg);

    if (!p || !p->due)
        return false;
    p->ended = true;
    return true;
}

static bool fake_quiet(struct tls_service *public, struct leg_id leg)
{
    const struct place *p = place_of(service_of(public), leg);

    return p && !p->due;
}

/* The fake has no tickets. */
static void fake_ticket_record(struct tls_service *public, struct leg_id leg, struct span record)
{
}

static void fake_release(struct tls_service *public, struct leg_id leg)
{
    struct service *s = service_of(public);
    struct place *p = place_of(s, leg);

    if (p)
        place_empty(s, p);
}

/* One that is due, whichever. */
static struct place *due_choose(struct service *s)
{
    struct place *p = s->places;

    s->order = s->order * 0x5851f42d4c957f2du + 1;
    uint64_t skip = (s->order >> 33) % s->due;
    while (!p->due || skip-- > 0)
        p++;
    return p;
}

static void fake_answer(struct tls_service *public)
{
    struct service *s = service_of(public);

    if (s->due == 0) /* the leg is gone */
        return;
    struct place *p = due_choose(s);
    struct buf in = p->in;
    struct leg_id leg = p->leg;
    buf_init(&p->in, 0);
    p->due = false;
    s->due--;
    if (p->begins)
        step_begin(s, p);
    p = place_of(s, leg);
    if (p && (buf_len(&in) > 0 || p->ended))
        step_feed(s, p, buf_span(&in));
    buf_release(&in);
}

static void fake_halt(struct tls_service *public)
{
    service_of(public)->late = NULL;
}

static void fake_free(struct tls_service *public)
{
    struct service *s = public ? service_of(public) : NULL;

    if (!s)
        return;
    for (uint32_t i = 0; i < s->max_legs; i++)
        place_empty(s, &s->places[i]);
    free(s->places);
    free(s);
}

static const struct tls_service_ops fake_ops = {
    .start_server = fake_start_server,
    .start_client = fake_start_client,
    .feed = fake_feed,
    .end = fake_end,
    .quiet = fake_quiet,
    .ticket_record = fake_ticket_record,
    .release = fake_release,
    .answer = fake_answer,
    .halt = fake_halt,
    .free = fake_free,
};

int tls_service_fake_new(const struct tls_service_conf *conf, uint64_t seed,
                         const struct tls_service_events *events, void *user,
                         void (*late)(void *late_user), void *late_user, struct tls_service **ret)
{
    struct service *s = calloc(1, sizeof(*s));
    struct place *places = calloc(conf->max_legs ? conf->max_legs : 1, sizeof(*places));

    *ret = NULL;
    if (!s || !places) {
        free(s);
        free(places);
        return ERR_NOMEM;
    }
    *s = (struct service){.public = {.ops = &fake_ops},
                          .events = events,
                          .user = user,
                          .seed = seed,
                          .order = seed,
                          .late = late,
                          .late_user = late_user,
                          .places = places,
                          .max_legs = conf->max_legs,
                          .max_handshakes = conf->max_handshakes};
    *ret = &s->public;
    return ERR_OK;
}
