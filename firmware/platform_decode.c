/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include "assertion.h"

#include <liburing.h>
#include <stdio.h>

static const struct {
    enum cpu_arch arch;
    const char *name;
    enum cpu_reg reg;
    unsigned bit;
    uint64_t state;
    const char *text;
} cpu_features[] = {
#define CPU_FEATURE(arch, name, reg, bit, state, text)                                             \
    {CPU_ARCH_##arch, name, reg, bit, state, text},
#include "cpu_feature.def"
#undef CPU_FEATURE
};

void platform_cpu_decode(const struct cpu_answer *answer, struct platform_cpu *ret)
{
    ret->len = 0;
    for (size_t i = 0; i < sizeof(cpu_features) / sizeof(cpu_features[0]); i++) {
        if (cpu_features[i].arch != answer->arch)
            continue;
        ASSERT(ret->len < CPU_FEATURES_MAX);
        bool has = answer->reg[cpu_features[i].reg] >> cpu_features[i].bit & 1;
        bool saved = (answer->xcr0 & cpu_features[i].state) == cpu_features[i].state;
        ret->features[ret->len++] = (struct platform_feature){
            .name = cpu_features[i].name,
            .text = cpu_features[i].text,
            .has = has && saved,
        };
    }
}

void platform_cpu_model(struct span cpuinfo, char *out, size_t room)
{
    static const struct span key = SPAN_LIT("model name");
    struct span line = cpuinfo;

    snprintf(out, room, "unknown");
    while (line.len > 0) {
        const uint8_t *end = memchr(line.ptr, '\n', line.len);
        size_t len = end ? (size_t)(end - line.ptr) : line.len;
        const uint8_t *colon = memchr(line.ptr, ':', len);
        if (colon && span_starts_nocase(line, key)) {
            struct span value = span_make(colon + 1, len - (size_t)(colon + 1 - line.ptr));
            while (value.len > 0 && value.ptr[0] == ' ')
                value = span_from(value, 1);
            snprintf(out, room, "%.*s", (int)(value.len < room ? value.len : room), value.ptr);
            return;
        }
        line = span_from(line, len + 1);
    }
}

enum ring_kind { RING_KIND_FEATURE, RING_KIND_OP, RING_KIND_TRY };

static const struct {
    enum ring_kind kind;
    const char *name;
    uint32_t value; /* a feature's bit, an opcode, the offset of what was tried */
    bool needed;
} ring_features[] = {
#define RING_FEATURE(name, bit, needed) {RING_KIND_FEATURE, name, bit, needed},
#define RING_OP(name, opcode, needed) {RING_KIND_OP, name, opcode, needed},
#define RING_TRY(field, name, needed)                                                              \
    {RING_KIND_TRY, name, offsetof(struct ring_answer, field), needed},
#include "ring_feature.def"
#undef RING_FEATURE
#undef RING_OP
#undef RING_TRY
};

_Static_assert(sizeof(ring_features) / sizeof(ring_features[0]) <= RING_FEATURES_MAX,
               "all rows have room");

static const char *const ring_kind_texts[] = {
    [RING_KIND_FEATURE] = "feature",
    [RING_KIND_OP] = "operation",
    [RING_KIND_TRY] = "tried",
};

static bool ring_has(const struct ring_answer *answer, size_t row)
{
    switch (ring_features[row].kind) {
    case RING_KIND_FEATURE:
        return answer->features & ring_features[row].value;
    case RING_KIND_OP:
        return answer->ops[ring_features[row].value];
    case RING_KIND_TRY:
        return *(const bool *)((const uint8_t *)answer + ring_features[row].value);
    }
    return false;
}

/* Why there is no ring at all. */
static void ring_error_text(int error, char *why, size_t room)
{
    switch (error) {
    case ENOSYS:
        snprintf(why, room,
                 "the kernel has no io_uring, or a container's filter hides it; Linux 6.1 or later "
                 "is needed");
        break;
    case EPERM:
    case EACCES:
        snprintf(why, room,
                 "io_uring is forbidden: by sysctl kernel.io_uring_disabled, or by a container's "
                 "filter");
        break;
    default:
        snprintf(why, room, "no ring can be made: %s", strerror(error));
    }
}

void platform_ring_decode(const struct ring_answer *answer, struct platform_ring *ret)
{
    *ret = (struct platform_ring){.available = answer->error == 0};
    if (!ret->available) {
        ring_error_text(answer->error, ret->why, sizeof(ret->why));
        return;
    }
    ret->usable = true;
    for (size_t i = 0; i < sizeof(ring_features) / sizeof(ring_features[0]); i++) {
        struct platform_feature *feature = &ret->features[ret->len++];
        *feature = (struct platform_feature){
            .name = ring_features[i].name,
            .text = ring_kind_texts[ring_features[i].kind],
            .needed = ring_features[i].needed,
            .has = ring_has(answer, i),
        };
        if (feature->has || !feature->needed)
            continue;
        if (ret->usable)
            snprintf(ret->why, sizeof(ret->why),
                     "the kernel's io_uring lacks %s; Linux 6.1 or later has it", feature->name);
        ret->usable = false;
    }
}

/* Digits up to the first other character. */
static int number_decode(struct span text, uint64_t *ret)
{
    size_t digits = 0;

    while (digits < text.len && text.ptr[digits] >= '0' && text.ptr[digits] <= '9')
        digits++;
    return span_to_u64(span_make(text.ptr, digits), UINT64_MAX, ret);
}

int platform_huge_decode(struct span directory, struct span total, struct span free,
                         struct platform_huge *ret)
{
    static const struct span prefix = SPAN_LIT("hugepages-");

    if (!span_starts_nocase(directory, prefix) ||
        number_decode(span_from(directory, prefix.len), &ret->size_kb) != ERR_OK ||
        number_decode(total, &ret->total) != ERR_OK || number_decode(free, &ret->free) != ERR_OK)
        return ERR_SYNTAX;
    return ERR_OK;
}
