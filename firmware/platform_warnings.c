/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include <stdarg.h>
#include <stdio.h>

enum { MEMORY_LEAST_KB = 900 * 1024 };

static void warn(struct platform_warnings *w, enum platform_grade grade, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void warn(struct platform_warnings *w, enum platform_grade grade, const char *format, ...)
{
    va_list args;

    if (w->len == PLATFORM_WARNINGS_MAX)
        return;
    w->grades[w->len] = grade;
    va_start(args, format);
    vsnprintf(w->lines[w->len++], PLATFORM_WARNING_TEXT, format, args);
    va_end(args);
}

static void warn_disks(const struct platform_host *h, enum disk_health health,
                       struct platform_warnings *w)
{
    for (size_t i = 0; i < h->disks_len; i++) {
        if (h->disks[i].health == health)
            warn(w, health == DISK_FAILS ? PLATFORM_FAULT : PLATFORM_AMISS, "disk %s %s: %s",
                 h->disks[i].name, platform_disk_health(health), h->disks[i].why);
    }
}

static bool has_card(const struct platform *p)
{
    for (size_t i = 0; i < p->nics_len; i++) {
        if (p->nics[i].device)
            return true;
    }
    return false;
}

void platform_warn(const struct platform *p, struct platform_warnings *ret)
{
    const struct platform_host *h = &p->host;

    ret->len = 0;
    if (!h->clock.plausible)
        warn(ret, PLATFORM_FAULT, "the clock says %s, %s", h->clock.now, h->clock.why);
    warn_disks(h, DISK_FAILS, ret);
    if (!has_card(p))
        warn(ret, PLATFORM_FAULT, "there is no network card that this kernel has a driver for");
    warn_disks(h, DISK_WARNS, ret);
    if (h->memory.total_kb > 0 && h->memory.total_kb < MEMORY_LEAST_KB)
        warn(ret, PLATFORM_AMISS, "%llu MB of memory are little for a gateway",
             (unsigned long long)h->memory.total_kb / 1024);
    if (h->clock.plausible && h->clock.why[0])
        warn(ret, PLATFORM_AMISS, "clock: %s", h->clock.why);
    if (!h->tpm.there)
        warn(ret, PLATFORM_LACK, "there is no TPM: what is stored can't be sealed to this machine");
    else if (h->tpm.version == 1)
        warn(ret, PLATFORM_LACK,
             "the TPM is of version 1; version 2 is needed to seal what is stored");
    if (h->watchdogs_len == 0)
        warn(ret, PLATFORM_LACK, "there is no watchdog: a machine that hangs stays so");
}

enum platform_grade platform_warn_line(const struct platform_warnings *warnings, char *out,
                                       size_t room)
{
    size_t more = 0;

    if (warnings->len == 0) {
        snprintf(out, room, "nothing is amiss with the hardware");
        return PLATFORM_LACK;
    }
    for (size_t i = 1; i < warnings->len; i++)
        more += warnings->grades[i] != PLATFORM_LACK;
    if (more > 0)
        snprintf(out, room, "%s (and %zu more: postern-platform probe)", warnings->lines[0], more);
    else
        snprintf(out, room, "%s", warnings->lines[0]);
    return warnings->grades[0];
}
