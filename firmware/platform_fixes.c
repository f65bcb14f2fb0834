/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>

enum { SERIES_MAX = 8 };

struct series {
    unsigned major, minor;
};

struct stable {
    struct series series;
    unsigned from;      /* the first release with the fault */
    unsigned fixed;     /* 0: never */
    const char *debian; /* the first package, "" for none */
};

#define SERIES(major, minor)                                                                       \
    {                                                                                              \
        major, minor                                                                               \
    }
#define IN(major, minor, from, fixed, debian)                                                      \
    {                                                                                              \
        {major, minor}, from, fixed, debian                                                        \
    }
#define KERNEL_FIX(id, since, mainline, text, ...) {id, text, since, mainline, {__VA_ARGS__}},
static const struct {
    const char *id, *text;
    struct series since, mainline;
    struct stable stable[SERIES_MAX];
} rows[] = {
#include "kernel_fix.def"
};
#undef SERIES
#undef IN
#undef KERNEL_FIX

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };
_Static_assert((int)ROWS <= (int)KERNEL_FIXES_MAX, "all rows have room");

/* "6.12.43" with a package's revision, "-1", or what stands for a candidate of a release. */
struct version {
    bool known, candidate;
    struct series series;
    unsigned patch, revision;
};

/* A number, and what must come before it; false leaves *text where it was. */
static bool number_take(const char **text, const char *before, unsigned *ret)
{
    size_t len = strlen(before);
    const char *at = *text + len;
    unsigned long value;
    char *end;

    if (strncmp(*text, before, len) != 0 || *at < '0' || *at > '9')
        return false;
    value = strtoul(at, &end, 10);
    if (value > 65535)
        return false;
    *ret = (unsigned)value;
    *text = end;
    return true;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* Behind the numbers: "-rc1" of kernel.org, "~rc1-1~exp1" of Debian, "-0.rc1.36.fc44" of Fedora;
 * not the "rc" of "aarch64" or "-arch1". */
static bool is_candidate(const char *text)
{
    for (const char *at = text; (at = strstr(at, "rc")); at += 2)
        if (at > text && !is_letter(at[-1]) && at[2] >= '0' && at[2] <= '9')
            return true;
    return false;
}

static struct version version_parse(const char *text)
{
    struct version v = {0};

    v.known = number_take(&text, "", &v.series.major) && number_take(&text, ".", &v.series.minor);
    if (!v.known)
        return v;
    /* "7.0.0-rc1" is a kernel's, "7.0~rc1-1~exp1" a package's name for what comes before 7.0. */
    (void)number_take(&text, ".", &v.patch);
    v.candidate = is_candidate(text);
    (void)number_take(&text, "-", &v.revision);
    return v;
}

static int series_order(struct series a, struct series b)
{
    if (a.major != b.major)
        return a.major < b.major ? -1 : 1;
    return a.minor == b.minor ? 0 : a.minor < b.minor ? -1 : 1;
}

bool platform_kernel_since(const char *release, unsigned major, unsigned minor)
{
    struct version v = version_parse(release);
    int order = series_order(v.series, (struct series){major, minor});

    return v.known && (order > 0 || (order == 0 && !v.candidate));
}

static bool stable_has(const struct stable *s, const struct version *v, bool debian)
{
    struct version first;

    if (v->patch < s->from)
        return true;
    if (!debian)
        return s->fixed > 0 && v->patch >= s->fixed;
    first = version_parse(s->debian);
    if (!first.known)
        return s->fixed > 0 && v->patch >= s->fixed;
    return v->patch != first.patch ? v->patch > first.patch : v->revision >= first.revision;
}

static const struct stable *stable_find(size_t row, struct series series)
{
    for (size_t i = 0; i < SERIES_MAX; i++)
        if (rows[row].stable[i].series.major > 0 &&
            series_order(rows[row].stable[i].series, series) == 0)
            return &rows[row].stable[i];
    return NULL;
}

static void fixed_text(size_t row, const struct stable *stable, bool debian, char *out, size_t room)
{
    if (stable && debian && stable->debian[0])
        snprintf(out, room, "fixed in Debian %s", stable->debian);
    else if (stable && stable->fixed > 0)
        snprintf(out, room, "fixed in %u.%u.%u", stable->series.major, stable->series.minor,
                 stable->fixed);
    else
        snprintf(out, room, "fixed in %u.%u, not known for this series", rows[row].mainline.major,
                 rows[row].mainline.minor);
}

static struct platform_fix row_judge(size_t row, const struct version *v, bool debian)
{
    struct platform_fix fix = {.id = rows[row].id, .text = rows[row].text};
    const struct stable *stable = v->known ? stable_find(row, v->series) : NULL;
    int mainline = series_order(v->series, rows[row].mainline);

    if (!v->known) {
        snprintf(fix.why, sizeof(fix.why), "this kernel's release can't be read");
    } else if (mainline > 0 || (mainline == 0 && !v->candidate)) {
        fix.has = true;
        snprintf(fix.why, sizeof(fix.why), "in every release since %u.%u", rows[row].mainline.major,
                 rows[row].mainline.minor);
    } else if (stable ? v->patch < stable->from && !v->candidate
                      : series_order(v->series, rows[row].since) < 0) {
        fix.has = true;
        snprintf(fix.why, sizeof(fix.why), "the fault came later");
    } else {
        fix.has = stable && !v->candidate && stable_has(stable, v, debian);
        fixed_text(row, stable, debian, fix.why, sizeof(fix.why));
    }
    return fix;
}

void platform_fixes_decode(const char *release, const char *version, struct platform_fixes *ret)
{
    static const char mark[] = "Debian ";
    const char *debian = strstr(version, mark);
    struct version v;

    *ret = (struct platform_fixes){0};
    if (debian) {
        v = version_parse(debian + sizeof(mark) - 1);
        snprintf(ret->package, sizeof(ret->package), "%.*s",
                 (int)(sizeof(mark) - 1 + strcspn(debian + sizeof(mark) - 1, " ")), debian);
    } else {
        v = version_parse(release);
        snprintf(ret->package, sizeof(ret->package), "Linux %.64s", release);
    }
    for (size_t i = 0; i < ROWS; i++) {
        ret->fixes[ret->len++] = row_judge(i, &v, debian != NULL);
        ret->lacking += !ret->fixes[i].has;
    }
}
