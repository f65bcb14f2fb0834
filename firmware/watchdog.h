/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the hardware's watchdog is fed: only while the gateway is healthy, as a check says that is run
 * again and again. The machine is pure: time and results go in, acts come out.
 *
 * It is armed by the first good check. So a gateway that never comes up, as with a configuration that
 * is refused, never resets the machine, and no reset leads to another; while one that was well and is
 * lost brings the machine up anew.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct watchdog_settings {
    uint32_t interval_ms;      /* from the end of a check to the next */
    uint32_t check_timeout_ms; /* then a check is killed, and counts as bad */
    uint32_t patience_ms;      /* so long without a good check it is fed */
    uint32_t feed_ms;          /* how often it is fed */
};

enum watchdog_state {
    WATCHDOG_WAITING, /* no check was good yet: not armed */
    WATCHDOG_HEALTHY,
    WATCHDOG_SICK, /* the last check was bad; fed until patience ends */
    WATCHDOG_LOST, /* not fed any more: the machine resets, unless a check is good in time */
};

enum watchdog_event { WATCHDOG_TICK, WATCHDOG_GOOD, WATCHDOG_BAD };

enum watchdog_act {
    WATCHDOG_ARM = 1,   /* open the device; a feeding goes with it */
    WATCHDOG_FEED = 2,
    WATCHDOG_CHECK = 4, /* start a check */
    WATCHDOG_KILL = 8,  /* the check that runs took too long; its end is the event BAD */
    WATCHDOG_TELL = 16, /* the state is another one */
};

struct watchdog {
    struct watchdog_settings settings;
    enum watchdog_state state;
    bool checking, killed;
    uint64_t check_at, kill_at, feed_at, healthy_at; /* milliseconds of a clock that never jumps */
};

void watchdog_init(struct watchdog *w, const struct watchdog_settings *settings, uint64_t now);
/* Returns acts, or-ed. GOOD and BAD: how the check ended. */
unsigned watchdog_step(struct watchdog *w, enum watchdog_event event, uint64_t now);
/* When it wants its next TICK at the latest. */
uint64_t watchdog_next(const struct watchdog *w);

/* "waiting for the gateway to be well" */
const char *watchdog_state_text(enum watchdog_state state);
