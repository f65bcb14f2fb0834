/* SPDX-License-Identifier: Apache-2.0 */
/* Two lines of any bytes: a pattern and a host. What matches ends alike, and has the same number of
 * labels. */
#include "fuzz.h"

#include "assertion.h"
#include "sts_policy.h"

static size_t dots(const char *s)
{
    size_t n = 0;

    for (; *s; s++)
        n += *s == '.';
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
    char pattern[1024], host[1024];
    size_t first = end ? (size_t)(end - data) : size;
    bool exact;

    if (span_to_cstr(span_make(data, first), pattern, sizeof(pattern)) != 0 ||
        span_to_cstr(span_from(span_make(data, size), first + 1), host, sizeof(host)) != 0)
        return 0;
    if (!sts_mx_matches(pattern, host))
        return 0;
    if (host[0] && host[strlen(host) - 1] == '.')
        host[strlen(host) - 1] = '\0';
    exact = span_equal_nocase(span_str(pattern), span_str(host));
    ASSERT(exact || (pattern[0] == '*' && pattern[1] == '.'));
    ASSERT(dots(pattern) == dots(host));
    ASSERT(exact || span_ends_nocase(span_str(host), span_str(pattern + 1)));
    return 0;
}
