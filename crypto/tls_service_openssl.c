/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_service.h"

#include "assertion.h"
#include "tls_handshake.h"
#include "tls_record.h"

#include <stdlib.h>

/* What a leg's slot holds. A server's handshake is gone at done; a client's stays for tickets. */
struct place {
    struct leg_id leg;
    struct tls_handshake *handshake;
    bool in_flight; /* counted as a handshake */
};

struct service {
    struct tls_service public;
    const struct tls_service_events *events;
    void *user;
    struct tls_session_cache *sessions;
    struct place *places;
    uint32_t max_legs, max_handshakes;
    uint32_t handshakes; /* in flight: not those that wait for tickets */
};

static struct service *service_of(struct tls_service *s)
{
    return (struct service *)s;
}

static struct place *place_of(struct service *s, struct leg_id leg)
{
    struct place *p = leg.slot < s->max_legs ? &s->places[leg.slot] : NULL;

    return p && p->handshake && leg_same(p->leg, leg) ? p : NULL;
}

static void place_land(struct service *s, struct place *p)
{
    if (p->in_flight)
        s->handshakes--;
    p->in_flight = false;
}

/* An event may release the very leg that it is about: its handshake is freed when that returns. */
static void place_empty(struct service *s, struct place *p)
{
    struct tls_handshake *h = p->handshake;

    place_land(s, p);
    *p = (struct place){0};
    if (h->in_use)
        h->released = true;
    else
        tls_handshake_free(h);
}

/* ---- telling ---- */

static void output_tell(struct service *s, struct leg_id leg, struct tls_handshake *h)
{
    struct span out = tls_handshake_output(h);

    if (out.len > 0)
        s->events->output(s->user, leg, out);
}

static void failed_tell(struct service *s, struct place *p, const struct tls_failure *failure)
{
    struct leg_id leg = p->leg;

    place_empty(s, p);
    s->events->failed(s->user, leg, failure);
}

/* To a peer that has not seen a byte of ours, OpenSSL's silence is explained by an alert. */
static void stranger_tell(struct service *s, struct leg_id leg, const struct tls_handshake *h)
{
    static const uint8_t alert[] = {TLS_CONTENT_ALERT, 3, 3, 0, 2, 2, TLS_ALERT_UNEXPECTED_MESSAGE};

    if (h->not_tls && h->server && h->taken == 0)
        s->events->output(s->user, leg, span_make(alert, sizeof(alert)));
}

static void done_tell(struct service *s, struct place *p, struct span rest)
{
    struct tls_handshake *h = p->handshake;
    struct leg_id leg = p->leg;
    struct tls_keys keys;
    struct tls_facts facts;

    place_land(s, p);
    if (tls_export_keys(h, &keys)) {
        static const struct tls_failure failure = {
            .kind = TLS_FAIL_INTERNAL, .text = "the keys can't be exported from OpenSSL"};
        place_empty(s, p);
        tls_keys_wipe(&keys);
        s->events->failed(s->user, leg, &failure);
        return;
    }
    tls_export_facts(h, &facts);
    if (h->server || keys.version != TLS_VERSION_1_3)
        place_empty(s, p);
    s->events->done(s->user, leg, &keys, &facts, rest);
    tls_keys_wipe(&keys);
}

/* Tells what came of a step; true where the handshake goes on. */
static bool step_tell(struct service *s, struct leg_id leg, struct tls_handshake *h,
                      enum tls_step step, struct span rest)
{
    struct tls_failure failure;

    if (step == TLS_STEP_FAILED)
        tls_failure_explain(h, &failure);
    output_tell(s, leg, h);
    struct place *p = place_of(s, leg);
    if (!p || p->handshake != h)
        return false; /* released by who was told */
    switch (step) {
    case TLS_STEP_MORE:
        return true;
    case TLS_STEP_DONE:
        done_tell(s, p, rest);
        return false;
    case TLS_STEP_FAILED:
        stranger_tell(s, leg, h);
        p = place_of(s, leg);
        if (p && p->handshake == h)
            failed_tell(s, p, &failure);
        return false;
    }
    return false;
}

static void use_begin(struct tls_handshake *h)
{
    ASSERT(!h->in_use);
    h->in_use = true;
}

static void use_end(struct tls_handshake *h)
{
    h->in_use = false;
    if (h->released)
        tls_handshake_free(h);
}

/* ---- operations ---- */

static int place_prepare(struct service *s, struct leg_id leg, struct place **ret)
{
    ASSERT(!leg_is_none(leg));
    if (leg.slot >= s->max_legs)
        return ERR_RANGE;
    struct place *p = &s->places[leg.slot];
    if (p->handshake && leg_same(p->leg, leg))
        return ERR_STATE;
    if (p->handshake) /* of a leg that is gone */
        place_empty(s, p);
    if (s->handshakes >= s->max_handshakes)
        return ERR_LIMIT;
    *ret = p;
    return ERR_OK;
}

static void place_fill(struct service *s, struct place *p, struct leg_id leg,
                       struct tls_handshake *h)
{
    *p = (struct place){.leg = leg, .handshake = h, .in_flight = true};
    s->handshakes++;
}

static int openssl_start_server(struct tls_service *public, struct leg_id leg,
                                const struct tls_server_ctx *ctx)
{
    struct service *s = service_of(public);
    struct tls_handshake *h;
    struct place *p;

    int err = place_prepare(s, leg, &p);
    if (!err)
        err = tls_handshake_new_server(ctx, &h);
    if (!err)
        place_fill(s, p, leg, h);
    return err;
}

static int openssl_start_client(struct tls_service *public, struct leg_id leg,
                                const struct tls_client_request *request)
{
    struct service *s = service_of(public);
    struct tls_handshake *h;
    struct place *p;

    int err = place_prepare(s, leg, &p);
    if (!err)
        err = tls_handshake_new_client(request, s->sessions, &h);
    if (err)
        return err;
    place_fill(s, p, leg, h);
    use_begin(h);
    step_tell(s, leg, h, tls_handshake_start(h), (struct span){0});
    use_end(h);
    return ERR_OK;
}

static void openssl_feed(struct tls_service *public, struct leg_id leg, struct span bytes)
{
    struct service *s = service_of(public);
    struct place *p = place_of(s, leg);
    bool go_on = true;

    if (!p || p->handshake->done)
        return;
    struct tls_handshake *h = p->handshake;
    use_begin(h);
    while (go_on && bytes.len > 0) {
        enum tls_step step = tls_handshake_feed(h, &bytes);

        go_on = step_tell(s, leg, h, step, bytes);
    }
    use_end(h);
}

static void openssl_ticket_record(struct tls_service *public, struct leg_id leg, struct span record)
{
    struct service *s = service_of(public);
    struct place *p = place_of(s, leg);

    if (p && p->handshake->done && !tls_handshake_ticket(p->handshake, record))
        place_empty(s, p);
}

static void openssl_release(struct tls_service *public, struct leg_id leg)
{
    struct service *s = service_of(public);
    struct place *p = place_of(s, leg);

    if (p)
        place_empty(s, p);
}

static void openssl_free(struct tls_service *public)
{
    struct service *s = public ? service_of(public) : NULL;

    if (!s)
        return;
    for (uint32_t i = 0; s->places && i < s->max_legs; i++)
        tls_handshake_free(s->places[i].handshake);
    tls_session_cache_free(s->sessions);
    free(s->places);
    free(s);
}

static const struct tls_service_ops openssl_ops = {
    .start_server = openssl_start_server,
    .start_client = openssl_start_client,
    .feed = openssl_feed,
    .ticket_record = openssl_ticket_record,
    .release = openssl_release,
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
    s->events = events;
    s->user = user;
    s->max_legs = conf->max_legs;
    s->max_handshakes = conf->max_handshakes;
    s->places = calloc(conf->max_legs ? conf->max_legs : 1, sizeof(*s->places));
    int err = s->places ? tls_session_cache_new(conf->max_sessions, &s->sessions) : ERR_NOMEM;
    if (err)
        openssl_free(&s->public);
    else
        *ret = &s->public;
    return err;
}
