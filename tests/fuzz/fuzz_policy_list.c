/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are a list, or none and why. What a list has of a domain is in bounds, and gone once it
 * is expired. */
#include "fuzz.h"

#include "assertion.h"
#include "policy_list.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const domains[] = {"example.org", "a.b", "gmail.com", ""};
    static struct sts_answer answer;
    struct policy_list *list;
    char why[256] = "";
    int err = policy_list_parse(span_make(data, size), &list, why, sizeof(why));

    ASSERT((err == ERR_OK) == (why[0] == '\0') && (err == ERR_OK) == (list != NULL));
    for (const char *c = why; *c; c++)
        ASSERT(*c >= 0x20 && *c <= 0x7e);
    for (size_t i = 0; list && i < sizeof(domains) / sizeof(domains[0]); i++) {
        int64_t expires = policy_list_expires(list);
        ASSERT(!policy_list_find(list, domains[i], expires, &answer));
        if (!policy_list_find(list, domains[i], INT64_MIN, &answer))
            continue;
        ASSERT(answer.listed && answer.mode != STS_MODE_NONE);
        ASSERT(answer.mx_len > 0 && answer.mx_len <= STS_MX_MAX);
        for (unsigned m = 0; m < answer.mx_len; m++)
            ASSERT(strlen(answer.mx[m]) <= DNS_NAME_MAX);
    }
    policy_list_free(list);
    return 0;
}
