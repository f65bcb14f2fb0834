/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY header: bounded, and the same however it arrives. */
#include "fuzz.h"

#include "assertion.h"
#include "proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct proxy_header whole, part;
    size_t used, part_used;
    int err = proxy_header_parse(data, len, &whole, &used);

    if (err == ERR_OK)
        ASSERT(used > 0 && used <= len && used <= 16 + 1024);
    if (err == ERR_AGAIN)
        ASSERT(len < 16 + 1024);
    /* A part of it is no other header: it waits, or fails as the whole does. */
    for (size_t cut = 0; cut < len && cut < 1100; cut++) {
        int part_err = proxy_header_parse(data, cut, &part, &part_used);
        if (err == ERR_OK && cut < used)
            ASSERT(part_err == ERR_AGAIN);
        if (part_err == ERR_OK)
            ASSERT(err == ERR_OK && used == part_used);
        if (part_err == ERR_SYNTAX)
            ASSERT(err == ERR_SYNTAX);
    }
    return 0;
}
