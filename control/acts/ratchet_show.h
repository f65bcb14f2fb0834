/* SPDX-License-Identifier: Apache-2.0 */
/* What posternctl asks of the ratchet's process, and its answers as JSON. */
#pragma once

#include "ratchet_book.h"

#include <jansson.h>

enum ratchet_verb { RATCHET_LIST, RATCHET_ACCEPT, RATCHET_CLEAR };
struct ratchet_request {
    enum ratchet_verb verb;
    const char *destination, *host; /* NULL: any */
};

/* "VERB\nDESTINATION\nHOST" into room bytes; false where it is too long. Empty names are NULL's. */
bool ratchet_request_write(const char *verb, const char *destination, const char *host, char *out,
                           size_t room);
/* text is cut into what ret points to. False: it is none. */
bool ratchet_request_read(char *text, struct ratchet_request *ret);

enum { RATCHET_SHOWN_MAX = 1000 };
/* Those whose level has dropped first, then the ones used most recently; so many at most. filter: a
 * destination, a host, or a domain above either; NULL for all. */
json_t *ratchet_show_list(const struct ratchet_book *book, const char *filter, int64_t now,
                          int64_t expiry_s);
/* Of accept and clear: how many, or that there was nothing. */
json_t *ratchet_show_done(const struct ratchet_request *request, unsigned count);
json_t *ratchet_show_senseless(void);
