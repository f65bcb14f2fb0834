/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is a record of TLSRPT, or none. Where it says to send, nothing is in it that could say
 * more than an address or a URL to whoever sends. */
#include "fuzz.h"

#include "assertion.h"
#include "tlsrpt_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tlsrpt_record record;
    int err = tlsrpt_record_parse(span_make(data, size), &record);

    ASSERT(record.len <= TLSRPT_URIS_MAX && (err != ERR_OK || record.len > 0));
    for (unsigned i = 0; i < record.len; i++) {
        const struct tlsrpt_uri *uri = &record.uris[i];
        ASSERT(strlen(uri->text) < sizeof(uri->text) && uri->text[0]);
        for (const char *c = uri->text; *c; c++)
            ASSERT(*c > ' ' && *c <= '~' && *c != '<' && *c != '>' && *c != '"');
        if (uri->kind == TLSRPT_HTTPS)
            ASSERT(uri->host[0] && uri->port > 0);
        else
            ASSERT(tlsrpt_address_valid(uri->text));
    }
    return 0;
}
