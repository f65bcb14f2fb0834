/* SPDX-License-Identifier: Apache-2.0 */
#include "resolver_ask.h"

void resolver_ask(struct ub_ctx *ub, const char *name, int type, ub_callback_type done, void *user)
{
    int err = ub_resolve_async(ub, name, type, DNS_CLASS_IN, user, done, NULL);

    if (err)
        done(user, err, NULL);
}

static void part_done(struct resolver_addresses *a)
{
    struct dns_addr_answer answer;

    if (--a->pending > 0)
        return;
    resolver_addr_join(&a->v6, &a->v4, &answer);
    a->done(a->user, &answer);
}

static void v4_done(void *user, int error, struct ub_result *result)
{
    struct resolver_addresses *a = user;

    resolver_addr_part(error, result, &a->v4);
    ub_resolve_free(result);
    part_done(a);
}

static void v6_done(void *user, int error, struct ub_result *result)
{
    struct resolver_addresses *a = user;

    resolver_addr_part(error, result, &a->v6);
    ub_resolve_free(result);
    part_done(a);
}

void resolver_ask_addresses(struct ub_ctx *ub, const char *host, struct resolver_addresses *a)
{
    a->pending = 3; /* with one of our own: the first may end at once */
    resolver_ask(ub, host, DNS_TYPE_AAAA, v6_done, a);
    resolver_ask(ub, host, DNS_TYPE_A, v4_done, a);
    part_done(a);
}
