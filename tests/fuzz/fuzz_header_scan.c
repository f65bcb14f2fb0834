/* SPDX-License-Identifier: Apache-2.0 */
/* The header's reader: the same however the bytes are cut; the first byte says how. */
#include "fuzz.h"

#include "assertion.h"
#include "received.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct header_scan whole, parts;
    enum header_result whole_result, result = HEADER_MORE;

    if (len == 0)
        return 0;
    size_t step = 1 + data[0] % 7;
    struct span bytes = span_make(data + 1, len - 1);
    header_scan_init(&whole, 4096, 5);
    header_scan_init(&parts, 4096, 5);
    whole_result = header_scan_feed(&whole, bytes);
    for (size_t at = 0; at < bytes.len && result == HEADER_MORE; at += step) {
        struct span rest = span_from(bytes, at);
        rest.len = rest.len < step ? rest.len : step;
        result = header_scan_feed(&parts, rest);
    }
    ASSERT(result == whole_result && parts.received == whole.received);
    ASSERT(parts.message_id_len == whole.message_id_len);
    ASSERT(whole.message_id_len < sizeof(whole.message_id));
    ASSERT(whole.message_id_len == 0 || whole.message_id[0] == '<');
    return 0;
}
