/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of policies in the format of STARTTLS Everywhere (EFF, RULES.md, version 0.1): for domains
 * by name, which MX hosts they have, whose certificates a CA must vouch for. It tells of a domain
 * what its MTA-STS policy would, before anybody has seen one. Pure: whoever reads the file has
 * checked its signature.
 *
 * What can't be honoured is refused with the whole list, never weakened: pins, an unknown member of
 * a policy, a name that is none.
 */
#pragma once

#include "sts_policy.h"

enum {
    POLICY_LIST_BYTES_MAX = 16 << 20,
    POLICY_LIST_DOMAINS_MAX = 1000000,
};

struct policy_list;

/* ERR_SYNTAX, ERR_LIMIT, ERR_NOMEM: why says what is wrong, and where. Expired ones are read. */
int policy_list_parse(struct span text, struct policy_list **ret, char *why,
                      size_t why_room) ERR_CHECK;
void policy_list_free(struct policy_list *list);
/* Seconds since 1970; from then on it must not be used. */
int64_t policy_list_expires(const struct policy_list *list);
size_t policy_list_len(const struct policy_list *list);
/* What the list has of a domain (A-labels in lower case), as an answer that says so (listed); a
 * pattern that begins with a dot stands for any name below it. False, with *ret as it was: nothing,
 * or the list is expired at that time. */
bool policy_list_find(const struct policy_list *list, const char *domain, int64_t now,
                      struct sts_answer *ret);
