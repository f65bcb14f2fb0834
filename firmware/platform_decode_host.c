/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_host.h"

#include <stdio.h>
#include <time.h>

/* --- memory ------------------------------------------------------------------------------- */

/* "MemTotal:   16384 kB", also after "Node 0 ". */
static bool amount_read(struct span line, struct span key, uint64_t *ret)
{
    static const struct span node = SPAN_LIT("Node ");

    if (span_starts_nocase(line, node)) {
        line = span_from(line, node.len);
        (void)span_cut(&line, ' ');
    }
    struct span name = span_cut(&line, ':');
    struct span value = span_trim(line);
    return span_equal(name, key) && span_to_u64(span_cut(&value, ' '), UINT64_MAX, ret) == ERR_OK;
}

int platform_memory_decode(struct span meminfo, struct platform_memory *ret)
{
    static const struct span total = SPAN_LIT("MemTotal"), available = SPAN_LIT("MemAvailable"),
                             free = SPAN_LIT("MemFree");
    bool found = false, better = false;

    *ret = (struct platform_memory){0};
    while (meminfo.len > 0) {
        struct span line = span_cut(&meminfo, '\n');
        found = amount_read(line, total, &ret->total_kb) || found;
        if (!better)
            (void)amount_read(line, free, &ret->available_kb);
        better = amount_read(line, available, &ret->available_kb) || better;
    }
    return found ? ERR_OK : ERR_SYNTAX;
}

/* --- accelerators ------------------------------------------------------------------------- */

int platform_hex_decode(struct span text, uint64_t *ret)
{
    static const struct span prefix = SPAN_LIT("0x");
    struct span line = span_trim(span_cut(&text, '\n'));
    uint64_t value = 0;

    if (!span_starts_nocase(line, prefix) || line.len == prefix.len || line.len > prefix.len + 16)
        return ERR_SYNTAX;
    for (size_t i = prefix.len; i < line.len; i++) {
        uint8_t c = line.ptr[i] | 0x20;
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return ERR_SYNTAX;
        value = value << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret = value;
    return ERR_OK;
}

const char *platform_qat_name(uint64_t vendor, uint64_t device)
{
    static const struct {
        uint64_t device;
        const char *name;
    } rows[] = {
#define QAT_DEVICE(device, name) {device, name},
#include "qat_device.def"
#undef QAT_DEVICE
    };

    for (size_t i = 0; vendor == 0x8086 && i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].device == device)
            return rows[i].name;
    }
    return NULL;
}

/* --- settings of the kernel --------------------------------------------------------------- */

const char *platform_sysctl_path(enum platform_sysctl sysctl)
{
    static const char *const paths[PLATFORM_SYSCTL_COUNT] = {
#define TUNE_SYSCTL(name, path, rule, value, why) [PLATFORM_SYSCTL_##name] = path,
#include "tune_sysctl.def"
#undef TUNE_SYSCTL
    };

    return paths[sysctl];
}

/* --- kernel TLS --------------------------------------------------------------------------- */

static bool counter_read(struct span line, struct platform_tls_counter *ret)
{
    size_t len = 0;

    while (len < line.len && line.ptr[len] > ' ')
        len++;
    for (size_t i = 0; i < len; i++) {
        if (line.ptr[i] > '~')
            return false;
    }
    return len > 0 &&
           span_to_cstr(span_make(line.ptr, len), ret->name, sizeof(ret->name)) == ERR_OK &&
           span_to_u64(span_trim(span_from(line, len)), UINT64_MAX, &ret->value) == ERR_OK;
}

size_t platform_tls_stat_decode(struct span text, struct platform_tls_counter *ret, size_t room)
{
    size_t len = 0;

    while (text.len > 0 && len < room) {
        if (counter_read(span_cut(&text, '\n'), &ret[len]))
            len++;
    }
    return len;
}

/* --- clock -------------------------------------------------------------------------------- */

enum { RTC_APART_S = 120 };

void platform_clock_judge(const struct clock_answer *answer, struct platform_clock *ret)
{
    const uint64_t latest = 4102444800; /* 2100: no certificate of today is valid then */
    time_t now = (time_t)answer->now_s;
    struct tm tm;

    *ret = (struct platform_clock){
        .plausible = true, .synchronized = answer->synchronized, .has_rtc = answer->has_rtc};
    if (answer->now_s > (uint64_t)1 << 40 || !gmtime_r(&now, &tm) ||
        strftime(ret->now, sizeof(ret->now), "%Y-%m-%d %H:%M:%SZ", &tm) == 0)
        snprintf(ret->now, sizeof(ret->now), "beyond any calendar");
    uint64_t apart = answer->rtc_s > answer->now_s ? answer->rtc_s - answer->now_s
                                                   : answer->now_s - answer->rtc_s;
    if (answer->now_s < answer->epoch_s || answer->now_s > latest) {
        ret->plausible = false;
        snprintf(ret->why, sizeof(ret->why), "%s: certificates can't be judged; set the clock",
                 answer->now_s > latest ? "after 2100" : "earlier than this system was made");
    } else if (answer->has_rtc && apart > RTC_APART_S) {
        snprintf(ret->why, sizeof(ret->why),
                 "the clock that runs without power is %llu s %s: wrong after a power cut",
                 (unsigned long long)apart, answer->rtc_s > answer->now_s ? "ahead" : "behind");
    } else if (answer->sync_known && !answer->synchronized) {
        snprintf(ret->why, sizeof(ret->why), "no time server has set it");
    }
}
