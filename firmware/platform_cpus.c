/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_cpus.h"

#include "ascii.h"

#include <stdio.h>

unsigned platform_cpus_count(const struct platform_cpus *set)
{
    unsigned count = 0;

    for (size_t i = 0; i < PLATFORM_CPUS_WORDS; i++)
        count += (unsigned)__builtin_popcountll(set->words[i]);
    return count;
}

static int range_add(struct span part, struct platform_cpus *ret)
{
    struct span first = span_cut(&part, '-');
    uint64_t from, to;
    int result = span_to_u64(first, PLATFORM_CPUS_MAX - 1, &from);

    to = from;
    if (result == ERR_OK && part.ptr != first.ptr + first.len)
        result = span_to_u64(part, PLATFORM_CPUS_MAX - 1, &to);
    if (result != ERR_OK)
        return result;
    if (to < from)
        return ERR_SYNTAX;
    for (uint64_t cpu = from; cpu <= to; cpu++)
        platform_cpus_add(ret, (unsigned)cpu);
    return ERR_OK;
}

static struct span line_of(struct span text)
{
    return span_trim(span_cut(&text, '\n'));
}

int platform_cpus_list_decode(struct span text, struct platform_cpus *ret)
{
    struct span rest = line_of(text);
    int result = ERR_OK;

    *ret = (struct platform_cpus){0};
    while (rest.len > 0 && result == ERR_OK) {
        bool more = rest.ptr[rest.len - 1] == ',';
        result = more ? ERR_SYNTAX : range_add(span_cut(&rest, ','), ret);
    }
    return result;
}

/* The kernel writes groups of eight digits, the highest first and perhaps shorter. */
int platform_cpus_mask_decode(struct span text, struct platform_cpus *ret)
{
    struct span line = line_of(text);
    unsigned place = 0, group = 0;

    *ret = (struct platform_cpus){0};
    if (line.len == 0)
        return ERR_SYNTAX;
    for (size_t i = line.len; i > 0; i--) {
        if (line.ptr[i - 1] == ',') {
            if (group != 8 || i == 1)
                return ERR_SYNTAX;
            group = 0;
            continue;
        }
        int digit = ascii_hex_value(line.ptr[i - 1]);
        if (digit < 0 || group == 8)
            return ERR_SYNTAX;
        if (digit > 0 && place >= PLATFORM_CPUS_MAX)
            return ERR_RANGE;
        if (digit > 0)
            ret->words[place / 64] |= (uint64_t)digit << place % 64;
        place += 4;
        group++;
    }
    return ERR_OK;
}

void platform_cpus_list(const struct platform_cpus *set, char *out, size_t room)
{
    size_t used = 0;

    out[0] = '\0';
    for (unsigned cpu = 0; cpu < PLATFORM_CPUS_MAX; cpu++) {
        char part[32];
        unsigned from = cpu;
        if (!platform_cpus_has(set, cpu))
            continue;
        while (platform_cpus_has(set, cpu + 1))
            cpu++;
        int n = snprintf(part, sizeof(part), cpu > from ? "%s%u-%u" : "%s%u", used ? "," : "", from,
                         cpu);
        if (used + (size_t)n + sizeof("...") > room) {
            snprintf(out + used, room - used, "...");
            return;
        }
        memcpy(out + used, part, (size_t)n + 1);
        used += (size_t)n;
    }
}

int platform_cpus_mask(const struct platform_cpus *set, char *out, size_t room)
{
    size_t used = 0;
    bool begun = false;

    for (unsigned group = PLATFORM_CPUS_MAX / 32; group > 0; group--) {
        uint32_t bits = (uint32_t)(set->words[(group - 1) / 2] >> ((group - 1) % 2 * 32));
        if (!begun && bits == 0 && group > 1)
            continue;
        int n = snprintf(out + used, room - used, begun ? ",%08x" : "%x", bits);
        if (n < 0 || (size_t)n >= room - used)
            return ERR_FULL;
        used += (size_t)n;
        begun = true;
    }
    return ERR_OK;
}
