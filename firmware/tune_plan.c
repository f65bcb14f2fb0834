/* SPDX-License-Identifier: Apache-2.0 */
#include "tune_plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const groups[TUNE_GROUP_COUNT] = {
#define TUNE_GROUP(name, text, what) [TUNE_##name] = text,
#include "tune_group.def"
#undef TUNE_GROUP
};

static const char *const kinds[TUNE_KIND_COUNT] = {
#define TUNE_KIND(name, text) [TUNE_KIND_##name] = text,
#include "tune_kind.def"
#undef TUNE_KIND
};

const char *tune_group_name(enum tune_group group)
{
    return groups[group];
}

const char *tune_kind_name(enum tune_kind kind)
{
    return kinds[kind];
}

int tune_skip_decode(const char *list, struct tune_settings *ret, struct span *ret_bad)
{
    struct span rest = span_str(list);

    do {
        struct span word = span_cut(&rest, ',');
        int group = 0;
        while (group < TUNE_GROUP_COUNT && !span_equal(word, span_str(groups[group])))
            group++;
        if (group == TUNE_GROUP_COUNT) {
            *ret_bad = word;
            return ERR_NOTFOUND;
        }
        ret->skip[group] = true;
    } while (rest.len > 0);
    return ERR_OK;
}

/* --- the plan as it grows ----------------------------------------------------------------- */

void tune_planning_add(struct tune_planning *g, enum tune_group group, enum tune_kind kind,
                       const char *target, const char *from, const char *to, const char *why)
{
    struct tune_plan *plan = g->plan;

    if (g->settings->skip[group] || strcmp(from, to) == 0 || g->result != ERR_OK)
        return;
    if (plan->len == plan->cap) {
        size_t cap = plan->cap ? 2 * plan->cap : 64;
        struct tune_change *changes = reallocarray(plan->changes, cap, sizeof(*changes));
        if (!changes) {
            g->result = ERR_NOMEM;
            return;
        }
        plan->changes = changes;
        plan->cap = cap;
    }
    struct tune_change *c = &plan->changes[plan->len++];
    *c = (struct tune_change){.group = group, .kind = kind, .why = why};
    snprintf(c->target, sizeof(c->target), "%s", target);
    snprintf(c->from, sizeof(c->from), "%s", from);
    snprintf(c->to, sizeof(c->to), "%s", to);
}

void tune_planning_note(struct tune_planning *g, bool warns, const char *format, ...)
{
    struct tune_plan *plan = g->plan;
    va_list args;

    if (plan->notes_len == TUNE_NOTES_MAX)
        return;
    plan->notes[plan->notes_len].warns = warns;
    va_start(args, format);
    vsnprintf(plan->notes[plan->notes_len++].text, TUNE_WHY_TEXT, format, args);
    va_end(args);
}

/* --- settings of the kernel --------------------------------------------------------------- */

enum rule { RULE_AT_LEAST, RULE_LAST_AT_LEAST, RULE_FIRST_AT_MOST, RULE_EXACTLY, RULE_BUSY };

static const struct {
    enum rule rule;
    const char *value, *why;
} sysctls[PLATFORM_SYSCTL_COUNT] = {
#define TUNE_SYSCTL(name, path, rule, value, why)                                                  \
    [PLATFORM_SYSCTL_##name] = {RULE_##rule, value, why},
#include "tune_sysctl.def"
#undef TUNE_SYSCTL
};

/* The first or last of some numbers, and the text before and behind it. */
static bool number_find(const char *text, bool last, uint64_t *ret, struct span *ret_before,
                        struct span *ret_behind)
{
    struct span all = span_str(text);
    size_t from = 0, to = all.len;

    for (size_t i = 0; i < all.len; i++) {
        if (all.ptr[i] != ' ')
            continue;
        if (last)
            from = i + 1;
        else if (to == all.len)
            to = i;
    }
    *ret_before = span_make(all.ptr, from);
    *ret_behind = span_from(all, to);
    return span_to_u64(span_make(all.ptr + from, to - from), UINT64_MAX, ret) == ERR_OK;
}

/* The value that it should have, from what it has; false to leave it alone. */
static bool value_wanted(int row, const char *now, const struct tune_settings *settings,
                         char out[TUNE_VALUE_TEXT])
{
    struct span before, behind;
    uint64_t has, wanted = 0;
    enum rule rule = sysctls[row].rule;

    if (rule == RULE_EXACTLY || rule == RULE_BUSY) {
        if (rule == RULE_EXACTLY)
            snprintf(out, TUNE_VALUE_TEXT, "%s", sysctls[row].value);
        else
            snprintf(out, TUNE_VALUE_TEXT, "%u", settings->busy_poll_us);
        return rule == RULE_EXACTLY || settings->busy_poll_us > 0;
    }
    if (!number_find(now, rule == RULE_LAST_AT_LEAST, &has, &before, &behind) ||
        span_to_u64(span_str(sysctls[row].value), UINT64_MAX, &wanted) != ERR_OK)
        return false;
    if (rule == RULE_FIRST_AT_MOST ? has <= wanted : has >= wanted)
        return false;
    snprintf(out, TUNE_VALUE_TEXT, "%.*s%s%.*s", (int)before.len, before.ptr, sysctls[row].value,
             (int)behind.len, behind.ptr);
    return true;
}

enum { MEMORY_LARGE_KB = 3 << 20 };

static void sysctls_plan(struct tune_planning *g)
{
    const struct platform_host *h = &g->platform->host;

    for (int i = 0; i < PLATFORM_SYSCTL_COUNT; i++) {
        char value[TUNE_VALUE_TEXT];
        bool window = sysctls[i].rule == RULE_LAST_AT_LEAST;
        if (h->sysctls[i][0] == '\0' || !value_wanted(i, h->sysctls[i], g->settings, value))
            continue;
        if (window && h->memory.total_kb < MEMORY_LARGE_KB) {
            tune_planning_note(g, false, "%s stays: less than 3 GB of memory",
                               platform_sysctl_path((enum platform_sysctl)i));
            continue;
        }
        tune_planning_add(g, sysctls[i].rule == RULE_BUSY ? TUNE_BUSY_POLL : TUNE_TCP,
                          TUNE_KIND_FILE, platform_sysctl_path((enum platform_sysctl)i),
                          h->sysctls[i], value, sysctls[i].why);
    }
}

/* --- clock -------------------------------------------------------------------------------- */

static bool word_in(struct span list, struct span word)
{
    while (list.len > 0) {
        if (span_equal(span_cut(&list, ' '), word))
            return true;
    }
    return false;
}

static void governors_plan(struct tune_planning *g)
{
    static const struct span wanted = SPAN_LIT("performance");
    const struct platform_host *h = &g->platform->host;

    if (h->governors_len == 0 || !word_in(span_str(h->governors), wanted))
        return;
    for (size_t i = 0; i < h->governors_len; i++) {
        char path[TUNE_TARGET_TEXT];
        snprintf(path, sizeof(path), "sys/devices/system/cpu/cpufreq/policy%u/scaling_governor",
                 h->governor[i].policy);
        tune_planning_add(g, TUNE_GOVERNOR, TUNE_KIND_FILE, path, h->governor[i].name,
                          "performance",
                          "handshakes come in bursts, over before a sleeping clock is up");
    }
}

/* --- the whole ---------------------------------------------------------------------------- */

int tune_plan(const struct platform *p, const struct tune_settings *settings, struct tune_plan *ret)
{
    struct tune_planning g = {.platform = p, .settings = settings, .plan = ret};

    *ret = (struct tune_plan){0};
    g.workers = settings->workers ? settings->workers : p->host.cpus_len;
    if (g.workers == 0)
        g.workers = 1;
    for (size_t i = 0; i < p->nics_len; i++)
        tune_plan_nic(&g, &p->nics[i]);
    sysctls_plan(&g);
    governors_plan(&g);
    return g.result;
}

void tune_plan_free(struct tune_plan *plan)
{
    free(plan->changes);
    *plan = (struct tune_plan){0};
}
