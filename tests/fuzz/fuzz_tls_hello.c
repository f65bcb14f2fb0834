/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever a server answers to an old ClientHello: more bytes never take back what was said, and no
 * version is accepted but the one that was asked for. */
#include "fuzz.h"

#include "assertion.h"
#include "tls_hello.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[TLS_HELLO_TEXT], whole[TLS_HELLO_TEXT];
    unsigned accepted = 0;

    for (unsigned v = TLS_HELLO_SSL_3_0; v <= TLS_HELLO_TLS_1_1; v++) {
        enum tls_hello_said last = tls_hello_read(v, span_make(data, size), whole);
        accepted += last == TLS_HELLO_ACCEPTED;
        for (size_t len = 0; len <= size && len < 64; len++) {
            enum tls_hello_said said = tls_hello_read(v, span_make(data, len), text);
            ASSERT(strlen(text) < sizeof(text));
            if (said == TLS_HELLO_MORE)
                continue;
            ASSERT(said == last && strcmp(text, whole) == 0);
        }
    }
    ASSERT(accepted <= 1);
    return 0;
}
