/* SPDX-License-Identifier: Apache-2.0 */
#include "sts_policy.h"

#include "ascii.h"

#include <stdio.h>

enum {
    FIELD_NAME_MAX = 32, /* RFC 8461: sts-ext-name, sts-policy-ext-name */
    MAX_AGE_DIGITS = 10,
};

static bool field_name_valid(struct span name)
{
    if (name.len == 0 || name.len > FIELD_NAME_MAX || !ascii_is_alnum(name.ptr[0]))
        return false;
    for (size_t i = 1; i < name.len; i++)
        if (!ascii_is_alnum(name.ptr[i]) && !strchr("_-.", name.ptr[i]))
            return false;
    return true;
}

const char *sts_mode_text(enum sts_mode mode)
{
    static const char *const texts[] = {
        [STS_MODE_NONE] = "none", [STS_MODE_TESTING] = "testing", [STS_MODE_ENFORCE] = "enforce"};

    return texts[mode];
}

/* --- the record --------------------------------------------------------------------------- */

static bool record_value_valid(struct span value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] <= ' ' || value.ptr[i] > '~' || value.ptr[i] == '=')
            return false;
    return value.len > 0;
}

static int record_id(struct span value, char ret_id[STS_ID_MAX + 1])
{
    for (size_t i = 0; i < value.len; i++)
        if (!ascii_is_alnum(value.ptr[i]))
            return ERR_SYNTAX;
    if (value.len == 0 || value.len > STS_ID_MAX)
        return ERR_SYNTAX;
    return span_to_cstr(value, ret_id, STS_ID_MAX + 1);
}

static int record_field(struct span field, char ret_id[STS_ID_MAX + 1])
{
    struct span value = field;
    struct span name = span_cut(&value, '=');

    if (name.len == field.len || !field_name_valid(name) || !record_value_valid(value))
        return ERR_SYNTAX;
    if (!span_equal(name, SPAN_LIT("id")) || ret_id[0])
        return 0;
    return record_id(value, ret_id);
}

int sts_record_parse(struct span text, char ret_id[STS_ID_MAX + 1])
{
    struct span rest = text;
    struct span version = span_cut(&rest, ';');
    int err = 0;

    ret_id[0] = '\0';
    if (version.len == text.len || version.len < 7 ||
        !span_equal(span_make(version.ptr, 7), SPAN_LIT("v=STSv1")) ||
        span_trim_start(span_from(version, 7)).len > 0)
        return ERR_NOTFOUND;
    while (!err && rest.len > 0) {
        struct span field = span_trim(span_cut(&rest, ';'));
        if (field.len == 0 && rest.len == 0)
            break; /* the delimiter that may end a record */
        err = record_field(field, ret_id);
    }
    if (!err && !ret_id[0])
        err = ERR_SYNTAX;
    if (err)
        ret_id[0] = '\0';
    return err;
}

/* --- the policy --------------------------------------------------------------------------- */

struct reading {
    struct sts_policy *policy;
    bool version, mode, max_age;
    char *why;
    size_t why_room;
};

static int fault(const struct reading *r, int err, const char *what)
{
    snprintf(r->why, r->why_room, "%s", what);
    return err;
}

static bool label_valid(struct span label)
{
    for (size_t i = 0; i < label.len; i++)
        if (!ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' && label.ptr[i] != '_')
            return false;
    return label.len > 0 && label.len <= 63 && label.ptr[0] != '-' &&
           label.ptr[label.len - 1] != '-';
}

static bool pattern_valid(struct span pattern)
{
    struct span rest = pattern;

    if (pattern.len > DNS_NAME_MAX - 2 || pattern.len == 0)
        return false;
    if (pattern.ptr[pattern.len - 1] == '.')
        return false;
    if (pattern.len > 2 && pattern.ptr[0] == '*' && pattern.ptr[1] == '.')
        rest = span_from(rest, 2);
    while (rest.len > 0)
        if (!label_valid(span_cut(&rest, '.')))
            return false;
    return true;
}

static int take_version(struct reading *r, struct span value)
{
    if (r->version)
        return 0;
    r->version = true;
    return span_equal(value, SPAN_LIT("STSv1"))
               ? 0
               : fault(r, ERR_SYNTAX, "the policy's version is not STSv1");
}

static int take_mode(struct reading *r, struct span value)
{
    if (r->mode)
        return 0;
    r->mode = true;
    for (enum sts_mode mode = STS_MODE_NONE; mode <= STS_MODE_ENFORCE; mode++) {
        if (!span_equal(value, span_str(sts_mode_text(mode))))
            continue;
        r->policy->mode = mode;
        return 0;
    }
    return fault(r, ERR_SYNTAX, "the policy's mode is none of enforce, testing, none");
}

static int take_max_age(struct reading *r, struct span value)
{
    uint64_t seconds;

    if (r->max_age)
        return 0;
    r->max_age = true;
    if (value.len > MAX_AGE_DIGITS || span_to_u64(value, UINT64_MAX, &seconds) != 0)
        return fault(r, ERR_SYNTAX, "the policy's max_age is no number of seconds");
    r->policy->max_age_s =
        seconds < STS_MAX_AGE_MAX_S ? (uint32_t)seconds : (uint32_t)STS_MAX_AGE_MAX_S;
    return 0;
}

static int take_mx(struct reading *r, struct span value)
{
    struct sts_policy *p = r->policy;
    char *out;

    if (!pattern_valid(value))
        return fault(r, ERR_SYNTAX, "a mx of the policy is no host name or pattern");
    if (p->mx_len == STS_MX_MAX)
        return fault(r, ERR_LIMIT, "the policy has too many mx");
    out = p->mx[p->mx_len++];
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        out[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    out[value.len] = '\0';
    return 0;
}

/* Text of a field that we don't know: any but control characters. */
static bool text_valid(struct span value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((value.ptr[i] < ' ' && value.ptr[i] != '\t') || value.ptr[i] == 0x7f)
            return false;
    return value.len > 0;
}

static int take_line(struct reading *r, struct span line)
{
    static const struct {
        const char *name;
        int (*take)(struct reading *r, struct span value);
    } fields[] = {
        {"version", take_version},
        {"mode", take_mode},
        {"max_age", take_max_age},
        {"mx", take_mx},
    };
    struct span value = line;
    struct span name = span_cut(&value, ':');

    value = span_trim(value);
    if (name.len == line.len || !field_name_valid(name) || !text_valid(value))
        return fault(r, ERR_SYNTAX, "the policy has a line that is no field");
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (span_equal(name, span_str(fields[i].name)))
            return fields[i].take(r, value);
    return 0; /* RFC 8461 section 3.2: unknown fields are ignored */
}

static int policy_whole(const struct reading *r)
{
    if (!r->version)
        return fault(r, ERR_SYNTAX, "the policy has no version");
    if (!r->mode)
        return fault(r, ERR_SYNTAX, "the policy has no mode");
    if (!r->max_age)
        return fault(r, ERR_SYNTAX, "the policy has no max_age");
    if (r->policy->mx_len == 0 && r->policy->mode != STS_MODE_NONE)
        return fault(r, ERR_SYNTAX, "the policy has no mx");
    return 0;
}

int sts_policy_parse(struct span body, struct sts_policy *ret, char *why, size_t why_room)
{
    struct reading r = {.policy = ret, .why = why, .why_room = why_room};
    struct span rest = body;
    int err = 0;

    ret->mode = STS_MODE_NONE;
    ret->max_age_s = 0;
    ret->mx_len = 0;
    if (body.len > STS_POLICY_MAX)
        return fault(&r, ERR_RANGE, "the policy is larger than 64 KiB");
    while (!err && rest.len > 0) {
        struct span line = span_cut(&rest, '\n');
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        /* The grammar has no empty lines; files have them, and mean no less. */
        if (span_trim(line).len > 0)
            err = take_line(&r, line);
    }
    return err ? err : policy_whole(&r);
}

bool sts_mx_matches(const char *pattern, const char *host)
{
    struct span name = span_str(host), wanted = span_str(pattern);

    if (name.len > 0 && name.ptr[name.len - 1] == '.')
        name.len--;
    if (wanted.len > 2 && wanted.ptr[0] == '*' && wanted.ptr[1] == '.') {
        struct span label = span_cut(&name, '.');
        if (label.len == 0)
            return false;
        wanted = span_from(wanted, 2);
    }
    return wanted.len > 0 && span_equal_nocase(wanted, name);
}
