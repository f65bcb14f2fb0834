/* SPDX-License-Identifier: Apache-2.0 */
/* Any file is a policy within its bounds, or none and why. Each of its patterns is a name in lower
 * case that matches itself, and a host below it only where it has the "*". */
#include "fuzz.h"

#include "assertion.h"
#include "sts_policy.h"

#include <stdio.h>

static void check_pattern(const char *pattern)
{
    char host[DNS_NAME_MAX + 3];
    size_t len = strlen(pattern);

    ASSERT(len > 0 && len <= 253 && pattern[0] != '.' && pattern[len - 1] != '.');
    ASSERT(strspn(pattern, "*abcdefghijklmnopqrstuvwxyz0123456789-_.") == len);
    snprintf(host, sizeof(host), "a.%s", pattern[0] == '*' ? pattern + 2 : pattern);
    ASSERT(sts_mx_matches(pattern, host) == (pattern[0] == '*'));
    ASSERT(!sts_mx_matches(pattern, host + 2) == (pattern[0] == '*'));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sts_policy policy;
    char why[160] = "";
    int err = sts_policy_parse(span_make(data, size), &policy, why, sizeof(why));

    ASSERT((err == ERR_OK) == (why[0] == '\0'));
    if (err)
        return 0;
    ASSERT(policy.mode <= STS_MODE_ENFORCE && policy.max_age_s <= STS_MAX_AGE_MAX_S);
    ASSERT(policy.mx_len <= STS_MX_MAX && (policy.mx_len > 0 || policy.mode == STS_MODE_NONE));
    for (unsigned i = 0; i < policy.mx_len; i++)
        check_pattern(policy.mx[i]);
    return 0;
}
