/* SPDX-License-Identifier: Apache-2.0 */
/* Any TXT record has an id of letters and digits, or none. */
#include "fuzz.h"

#include "assertion.h"
#include "sts_policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char id[STS_ID_MAX + 1];
    int err = sts_record_parse(span_make(data, size), id);
    size_t len = strlen(id);

    ASSERT(err == ERR_OK || err == ERR_SYNTAX || err == ERR_NOTFOUND);
    ASSERT((err == ERR_OK) == (len > 0));
    ASSERT(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == len);
    ASSERT(err == ERR_NOTFOUND || (size > 7 && memcmp(data, "v=STSv1", 7) == 0));
    return 0;
}
