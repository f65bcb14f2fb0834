/* SPDX-License-Identifier: Apache-2.0 */
/* Answers of the handshake service that come later than the call. */
#include "world.h"

#include <stdlib.h>

struct tls_late {
    struct dp_timer timer;
    struct world *world;
    struct tls_late *next;
};

static void tls_late_drop(struct world *w, struct tls_late *late)
{
    struct tls_late **at = &w->tls_late;

    while (*at != late)
        at = &(*at)->next;
    *at = late->next;
    dp_timer_stop(w->dp, &late->timer);
    free(late);
}

static void tls_late_due(void *user, struct dp_timer *timer)
{
    struct tls_late *late = user;
    struct world *w = late->world;

    tls_late_drop(w, late);
    w->tls->ops->answer(w->tls);
}

void world_tls_late(void *user)
{
    struct world *w = user;

    if (w->tls_late_max_ms == 0) {
        w->tls->ops->answer(w->tls);
        return;
    }
    struct tls_late *late = calloc(1, sizeof(*late));
    assert_non_null(late);
    late->timer = (struct dp_timer){.fire = tls_late_due, .user = late};
    late->world = w;
    late->next = w->tls_late;
    w->tls_late = late;
    w->tls_late_state = w->tls_late_state * 0x5851f42d4c957f2du + 1;
    uint64_t after_ms = (w->tls_late_state >> 33) % (w->tls_late_max_ms + 1);
    assert_int_equal(dp_timer_start(w->dp, &late->timer, after_ms), ERR_OK);
}

void world_tls_late_free(struct world *w)
{
    while (w->tls_late)
        tls_late_drop(w, w->tls_late);
}
