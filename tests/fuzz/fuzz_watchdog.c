/* SPDX-License-Identifier: Apache-2.0 */
/* Any order of checks' ends and any lapse of time: the watchdog is never fed without a good check
 * within its patience, never before it is armed, and armed once. */
#include "fuzz.h"

#include "assertion.h"
#include "watchdog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct watchdog_settings settings = {
        .interval_ms = 1000, .check_timeout_ms = 700, .patience_ms = 6000, .feed_ms = 1500};
    struct watchdog w;
    uint64_t now = 5, well_at = 0;
    bool armed = false, checking = false, killed = false;

    watchdog_init(&w, &settings, now);
    for (size_t i = 0; i < len; i++) {
        enum watchdog_event event = (enum watchdog_event)(data[i] % 3);
        bool well = event == WATCHDOG_GOOD && checking && !killed;
        now += (data[i] / 3) * 37u;
        unsigned acts = watchdog_step(&w, event, now);
        if (well)
            well_at = now;
        if (event != WATCHDOG_TICK)
            checking = killed = false;
        ASSERT(!(acts & WATCHDOG_ARM) || (well && !armed));
        armed = armed || acts & WATCHDOG_ARM;
        ASSERT(!(acts & WATCHDOG_FEED) || (armed && now - well_at < settings.patience_ms));
        ASSERT(!(acts & WATCHDOG_CHECK) || !checking);
        ASSERT(!(acts & WATCHDOG_KILL) || (checking && !killed));
        checking = checking || acts & WATCHDOG_CHECK;
        killed = killed || acts & WATCHDOG_KILL;
        ASSERT((w.state == WATCHDOG_WAITING) == !armed);
        ASSERT(!armed || (w.state == WATCHDOG_LOST) == (now - well_at >= settings.patience_ms));
        ASSERT(watchdog_next(&w) > now);
    }
    return 0;
}
