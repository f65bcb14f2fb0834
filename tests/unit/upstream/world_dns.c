/* SPDX-License-Identifier: Apache-2.0 */
/* The world's resolver: a question is answered in a turn of its own. */
#include "world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct dns_question {
    struct dp_timer timer;
    struct world *world;
    char name[DNS_NAME_MAX + 1];
    void (*mx)(void *user, const struct dns_mx_answer *answer);
    void (*addr)(void *user, const struct dns_addr_answer *answer);
    void (*tlsa)(void *user, const struct dns_tlsa_answer *answer);
    void (*sts)(void *user, const struct sts_answer *answer);
    void *user;
};

static void question_answer(void *user, struct dp_timer *timer)
{
    struct dns_question q = *(struct dns_question *)user;
    struct dns_addr_answer answer = {.status = q.world->addr_status};
    unsigned number;

    free(user);
    if (q.mx) {
        q.mx(q.user, &q.world->mx);
        return;
    }
    if (q.sts) {
        q.sts(q.user, &q.world->sts);
        return;
    }
    if (q.tlsa) {
        assert_int_equal(sscanf(q.name, "mx%u.test", &number), 1);
        q.tlsa(q.user, &q.world->tlsa[number - 1]);
        return;
    }
    if (answer.status == DNS_OK && sscanf(q.name, "mx%u.test", &number) == 1) {
        answer.len = number == 1 && q.world->addrs ? q.world->addrs : 1;
        for (unsigned i = 0; i < answer.len; i++) {
            answer.addr[i] = q.world->mtas[number - 1 + i].addr;
            net_addr_set_port(&answer.addr[i], 0);
        }
    } else if (answer.status == DNS_OK) {
        answer.status = DNS_NXDOMAIN;
    }
    q.addr(q.user, &answer);
}

static struct world *world_of(struct resolver *r)
{
    return (struct world *)((char *)r - offsetof(struct world, resolver));
}

static int ask(struct world *w, const char *name, struct dns_question **ret)
{
    struct dns_question *q = calloc(1, sizeof(*q));

    q->world = w;
    q->timer = (struct dp_timer){.fire = question_answer, .user = q};
    snprintf(q->name, sizeof(q->name), "%s", name);
    w->lookups++;
    *ret = q;
    return dp_timer_start(w->dp, &q->timer, 3);
}

static int ask_mx(struct resolver *r, const char *domain,
                  void (*done)(void *user, const struct dns_mx_answer *answer), void *user,
                  struct dns_question **ret)
{
    int err = ask(world_of(r), domain, ret);

    (*ret)->mx = done;
    (*ret)->user = user;
    return err;
}

static int ask_addr(struct resolver *r, const char *host,
                    void (*done)(void *user, const struct dns_addr_answer *answer), void *user,
                    struct dns_question **ret)
{
    int err = ask(world_of(r), host, ret);

    (*ret)->addr = done;
    (*ret)->user = user;
    return err;
}

static int ask_tlsa(struct resolver *r, const char *host, uint16_t port,
                    void (*done)(void *user, const struct dns_tlsa_answer *answer), void *user,
                    struct dns_question **ret)
{
    struct world *w = world_of(r);

    assert_int_equal(port, 25);
    w->tlsa_lookups++;
    if (w->deaf)
        return ERR_LIMIT;
    int err = ask(w, host, ret);
    (*ret)->tlsa = done;
    (*ret)->user = user;
    return err;
}

static int ask_sts(struct resolver *r, const char *domain,
                   void (*done)(void *user, const struct sts_answer *answer), void *user,
                   struct dns_question **ret)
{
    struct world *w = world_of(r);

    assert_string_equal(domain, w->domain);
    w->sts_lookups++;
    if (w->deaf)
        return ERR_LIMIT;
    int err = ask(w, domain, ret);
    (*ret)->sts = done;
    (*ret)->user = user;
    return err;
}

static void ask_cancel(struct resolver *r, struct dns_question *question)
{
    dp_timer_stop(world_of(r)->dp, &question->timer);
    free(question);
}

static void report(struct resolver *r, const struct tlsrpt_event *event)
{
    struct world *w = world_of(r);

    assert_true(tlsrpt_event_valid(event, tlsrpt_event_len(event)));
    assert_true(w->reports_len < WORLD_REPORTS);
    memcpy(&w->reports[w->reports_len++], event, tlsrpt_event_len(event));
}

const struct resolver_ops world_resolver_ops = {.report = report,
                                                .mx = ask_mx,
                                                .addr = ask_addr,
                                                .tlsa = ask_tlsa,
                                                .sts = ask_sts,
                                                .cancel = ask_cancel};

void world_tlsa(struct world *w, unsigned number, uint8_t usage, uint8_t fill)
{
    struct dns_tlsa_answer *a = &w->tlsa[number - 1];
    uint16_t at = (uint16_t)(a->len * 32);

    assert_true(a->len < DNS_TLSA_MAX);
    a->status = DNS_OK;
    a->records[a->len++] =
        (struct dns_tlsa){.usage = usage, .selector = 1, .matching = 1, .at = at, .len = 32};
    memset(a->data + at, fill, 32);
}

void world_sts(struct world *w, enum sts_mode mode, const char *id, const char *const *patterns)
{
    w->sts = (struct sts_answer){.status = DNS_OK, .mode = mode};
    snprintf(w->sts.id, sizeof(w->sts.id), "%s", id);
    for (; *patterns; patterns++)
        snprintf(w->sts.mx[w->sts.mx_len++], DNS_NAME_MAX + 1, "%s", *patterns);
}
