/* SPDX-License-Identifier: Apache-2.0 */
#include "watchdog.h"

void watchdog_init(struct watchdog *w, const struct watchdog_settings *settings, uint64_t now)
{
    *w = (struct watchdog){.settings = *settings, .state = WATCHDOG_WAITING, .check_at = now};
}

static unsigned enter(struct watchdog *w, enum watchdog_state state)
{
    if (w->state == state)
        return 0;
    w->state = state;
    return WATCHDOG_TELL;
}

static unsigned good(struct watchdog *w, uint64_t now)
{
    unsigned acts = w->state == WATCHDOG_WAITING ? WATCHDOG_ARM : 0;

    w->healthy_at = now;
    if (w->state != WATCHDOG_HEALTHY && w->state != WATCHDOG_SICK)
        w->feed_at = now; /* at once: the device may be about to fire */
    return acts | enter(w, WATCHDOG_HEALTHY);
}

static unsigned check_end(struct watchdog *w, enum watchdog_event event, uint64_t now)
{
    if (event == WATCHDOG_TICK || !w->checking)
        return 0;
    bool well = event == WATCHDOG_GOOD && !w->killed;
    w->checking = w->killed = false;
    w->check_at = now + w->settings.interval_ms;
    if (well)
        return good(w, now);
    return w->state == WATCHDOG_HEALTHY ? enter(w, WATCHDOG_SICK) : 0;
}

static unsigned check_go_on(struct watchdog *w, uint64_t now)
{
    if (w->checking && !w->killed && now >= w->kill_at) {
        w->killed = true;
        return WATCHDOG_KILL;
    }
    if (w->checking || now < w->check_at)
        return 0;
    w->checking = true;
    w->kill_at = now + w->settings.check_timeout_ms;
    return WATCHDOG_CHECK;
}

static unsigned feed(struct watchdog *w, uint64_t now)
{
    switch (w->state) {
    case WATCHDOG_WAITING:
    case WATCHDOG_LOST:
        return 0;
    case WATCHDOG_HEALTHY:
    case WATCHDOG_SICK:
        break;
    }
    if (now - w->healthy_at >= w->settings.patience_ms)
        return enter(w, WATCHDOG_LOST);
    if (now < w->feed_at)
        return 0;
    w->feed_at = now + w->settings.feed_ms;
    return WATCHDOG_FEED;
}

unsigned watchdog_step(struct watchdog *w, enum watchdog_event event, uint64_t now)
{
    unsigned acts = check_end(w, event, now);

    acts |= check_go_on(w, now);
    return acts | feed(w, now);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t watchdog_next(const struct watchdog *w)
{
    /* A killed check ends when the kernel lets it: nothing to do about that by time. */
    uint64_t next = !w->checking ? w->check_at : w->killed ? UINT64_MAX : w->kill_at;

    if (w->state == WATCHDOG_HEALTHY || w->state == WATCHDOG_SICK)
        next = earlier(next, earlier(w->feed_at, w->healthy_at + w->settings.patience_ms));
    return next;
}

const char *watchdog_state_text(enum watchdog_state state)
{
    switch (state) {
    case WATCHDOG_WAITING:
        return "waiting for the gateway to be well; the watchdog is not started";
    case WATCHDOG_HEALTHY:
        return "the gateway is well, the watchdog is fed";
    case WATCHDOG_SICK:
        return "the gateway does not pass its check; the watchdog is still fed";
    case WATCHDOG_LOST:
        return "the gateway did not come back: the watchdog is fed no more, and resets the machine";
    }
    return "";
}
