/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_event.h"

#include "ascii.h"

#include <stdarg.h>
#include <stdio.h>

const char *tlsrpt_policy_type_text(enum tlsrpt_policy_type type)
{
    switch (type) {
    case TLSRPT_NO_POLICY:
        return "no-policy-found";
    case TLSRPT_STS:
        return "sts";
    case TLSRPT_TLSA:
        return "tlsa";
    case TLSRPT_POLICY_TYPES:
        break;
    }
    return "?";
}

void tlsrpt_event_policy_add(struct tlsrpt_event *e, const char *format, ...)
{
    size_t room = sizeof(e->policy) - e->policy_len;
    char *at = e->policy + e->policy_len;
    va_list args;

    va_start(args, format);
    int len = vsnprintf(at, room, format, args);
    va_end(args);
    if (len < 0 || (size_t)len + 1 >= room)
        return;
    ascii_mask(at);
    at[len] = '\n';
    e->policy_len = (uint16_t)(e->policy_len + len + 1);
}

void tlsrpt_event_reason(struct tlsrpt_event *e, const char *text)
{
    snprintf(e->reason, sizeof(e->reason), "%s", text);
    ascii_mask(e->reason);
}

/* Of room bytes; names have no blanks. */
static bool text_valid(const char *text, size_t room, bool name)
{
    const char *end = memchr(text, '\0', room);

    for (const char *c = text; end && c < end; c++)
        if (*c < 0x20 + name || *c > 0x7e)
            return false;
    return end != NULL;
}

static bool addr_valid(const union net_addr *addr)
{
    return addr->any.sa_family == 0 || addr->any.sa_family == AF_INET ||
           addr->any.sa_family == AF_INET6;
}

bool tlsrpt_event_valid(const struct tlsrpt_event *e, size_t len)
{
    if (len < offsetof(struct tlsrpt_event, policy) || e->policy_len > sizeof(e->policy) ||
        len != tlsrpt_event_len(e))
        return false;
    for (size_t i = 0; i < e->policy_len; i++)
        if (e->policy[i] != '\n' && (e->policy[i] < 0x20 || e->policy[i] > 0x7e))
            return false;
    return (e->policy_len == 0 || e->policy[e->policy_len - 1] == '\n') &&
           e->type < TLSRPT_POLICY_TYPES && e->failed <= 1 && e->result < TLSRPT_RESULTS &&
           addr_valid(&e->sending) && addr_valid(&e->receiving) &&
           text_valid(e->domain, sizeof(e->domain), true) && e->domain[0] &&
           text_valid(e->policy_domain, sizeof(e->policy_domain), true) && e->policy_domain[0] &&
           text_valid(e->mx, sizeof(e->mx), true) &&
           text_valid(e->reason, sizeof(e->reason), false);
}
