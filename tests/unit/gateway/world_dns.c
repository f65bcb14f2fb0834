/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted resolver: answers at the next turn. */
#include "world.h"

#include "../cmocka_all.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dns_question {
    struct dp_timer timer;
    struct world *world;
    enum { QUESTION_MX, QUESTION_ADDR, QUESTION_PTR, QUESTION_TLSA, QUESTION_STS } kind;
    char name[DNS_NAME_MAX + 1];
    void (*mx)(void *user, const struct dns_mx_answer *answer);
    void (*addr)(void *user, const struct dns_addr_answer *answer);
    void (*ptr)(void *user, const struct dns_ptr_answer *answer);
    void (*tlsa)(void *user, const struct dns_tlsa_answer *answer);
    void (*sts)(void *user, const struct sts_answer *answer);
    void *user;
};

static struct world *world_of(struct resolver *r)
{
    return (struct world *)((char *)r - offsetof(struct world, resolver));
}

/* "hop1.example" to "hop3.example" are the doubles; other names are not there. */
static void answer_addr(struct dns_question *q)
{
    struct dns_addr_answer a = {.status = DNS_NXDOMAIN, .ttl_s = 60};

    for (unsigned i = 0; i < WORLD_HOPS; i++) {
        char name[32];
        snprintf(name, sizeof(name), "hop%u.example", i + 1);
        if (strcmp(name, q->name) != 0)
            continue;
        a.status = DNS_OK;
        a.len = 1;
        a.addr[0] = q->world->hops[i].addr;
    }
    q->addr(q->user, &a);
}

/* Each host has one good record, another one after every fifth look-up of any. */
static void answer_tlsa(struct dns_question *q)
{
    struct dns_tlsa_answer a = {.status = DNS_OK, .ttl_s = 60, .len = 1};

    snprintf(a.base, sizeof(a.base), "%s", q->name);
    a.records[0] = (struct dns_tlsa){.usage = 3, .selector = 1, .matching = 1, .len = 32};
    memset(a.data, (int)(q->world->tlsa_lookups++ / 5 % 3), 32);
    q->tlsa(q->user, &a);
}

static void question_due(void *user, struct dp_timer *timer)
{
    struct dns_question *q = user;
    const struct sts_answer no_policy = {.status = DNS_NODATA};

    (void)timer;
    switch (q->kind) {
    case QUESTION_MX:
        q->mx(q->user, &q->world->mx);
        break;
    case QUESTION_ADDR:
        answer_addr(q);
        break;
    case QUESTION_PTR:
        q->ptr(q->user, &q->world->ptr);
        break;
    case QUESTION_TLSA:
        answer_tlsa(q);
        break;
    case QUESTION_STS:
        q->sts(q->user, &no_policy);
        break;
    }
    free(q);
}

static struct dns_question *ask(struct resolver *r, const char *name, void *user)
{
    struct dns_question *q = calloc(1, sizeof(*q));

    assert_non_null(q);
    q->world = world_of(r);
    q->user = user;
    snprintf(q->name, sizeof(q->name), "%s", name);
    q->timer = (struct dp_timer){.fire = question_due, .user = q};
    assert_int_equal(dp_timer_start(q->world->dp, &q->timer, 5), ERR_OK);
    return q;
}

static int ask_mx(struct resolver *r, const char *domain,
                  void (*done)(void *user, const struct dns_mx_answer *answer), void *user,
                  struct dns_question **ret)
{
    *ret = ask(r, domain, user);
    (*ret)->kind = QUESTION_MX;
    (*ret)->mx = done;
    return ERR_OK;
}

static int ask_addr(struct resolver *r, const char *host,
                    void (*done)(void *user, const struct dns_addr_answer *answer), void *user,
                    struct dns_question **ret)
{
    *ret = ask(r, host, user);
    (*ret)->kind = QUESTION_ADDR;
    (*ret)->addr = done;
    return ERR_OK;
}

static int ask_ptr(struct resolver *r, const union net_addr *addr,
                   void (*done)(void *user, const struct dns_ptr_answer *answer), void *user,
                   struct dns_question **ret)
{
    (void)addr;
    *ret = ask(r, "", user);
    (*ret)->kind = QUESTION_PTR;
    (*ret)->ptr = done;
    return ERR_OK;
}

static int ask_tlsa(struct resolver *r, const char *host, uint16_t port,
                    void (*done)(void *user, const struct dns_tlsa_answer *answer), void *user,
                    struct dns_question **ret)
{
    assert_int_equal(port, 25);
    *ret = ask(r, host, user);
    (*ret)->kind = QUESTION_TLSA;
    (*ret)->tlsa = done;
    return ERR_OK;
}

static int ask_sts(struct resolver *r, const char *domain,
                   void (*done)(void *user, const struct sts_answer *answer), void *user,
                   struct dns_question **ret)
{
    *ret = ask(r, domain, user);
    (*ret)->kind = QUESTION_STS;
    (*ret)->sts = done;
    return ERR_OK;
}

static void ask_cancel(struct resolver *r, struct dns_question *q)
{
    dp_timer_stop(world_of(r)->dp, &q->timer);
    free(q);
}

/* No route of these tests has reports. */
static void report(struct resolver *r, const struct tlsrpt_event *event)
{
    fail();
}

const struct resolver_ops world_resolver_ops = {.report = report,
                                                .mx = ask_mx,
                                                .addr = ask_addr,
                                                .ptr = ask_ptr,
                                                .tlsa = ask_tlsa,
                                                .sts = ask_sts,
                                                .cancel = ask_cancel};
