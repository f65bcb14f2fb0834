/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include <stdarg.h>
#include <stdio.h>

enum { MEMORY_LEAST_KB = 1000 * 1024 };

static void warn(struct platform_warnings *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void warn(struct platform_warnings *w, const char *format, ...)
{
    va_list args;

    if (w->len == PLATFORM_WARNINGS_MAX)
        return;
    va_start(args, format);
    vsnprintf(w->lines[w->len++], PLATFORM_WARNING_TEXT, format, args);
    va_end(args);
}

static void warn_disks(const struct platform_host *h, enum disk_health health,
                       struct platform_warnings *w)
{
    for (size_t i = 0; i < h->disks_len; i++) {
        if (h->disks[i].health == health)
            warn(w, "disk %s %s: %s", h->disks[i].name, platform_disk_health(health),
                 h->disks[i].why);
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
        warn(ret, "the clock says %s, %s", h->clock.now, h->clock.why);
    warn_disks(h, DISK_FAILS, ret);
    if (!has_card(p))
        warn(ret, "there is no network card that this kernel has a driver for");
    warn_disks(h, DISK_WARNS, ret);
    if (h->memory.total_kb > 0 && h->memory.total_kb < MEMORY_LEAST_KB)
        warn(ret, "%llu MB of memory are little for a gateway",
             (unsigned long long)h->memory.total_kb / 1024);
    if (h->clock.plausible && h->clock.why[0])
        warn(ret, "clock: %s", h->clock.why);
    if (!h->tpm.there)
        warn(ret, "there is no TPM: what is stored can't be sealed to this machine");
    else if (h->tpm.version == 1)
        warn(ret, "the TPM is of version 1; version 2 is needed to seal what is stored");
    if (h->watchdogs_len == 0)
        warn(ret, "there is no watchdog: a machine that hangs stays so");
}
