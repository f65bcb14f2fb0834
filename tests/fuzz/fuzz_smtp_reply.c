/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are a reply within its bounds, not yet one, or none; and none of them is better for the
 * sender than it was. */
#include "fuzz.h"

#include "assertion.h"
#include "smtp_answer.h"

static bool text_is_clean(const struct smtp_reply *r)
{
    for (size_t i = 0; i < r->len; i++)
        if (r->text[i] != '\n' && (r->text[i] < ' ' || r->text[i] > '~'))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_reply reply, said;
    size_t used = 0, at = 0;
    int err;

    while ((err = smtp_reply_parse(data + at, size - at, &reply, &used)) == ERR_OK) {
        ASSERT(used > 0 && used <= size - at);
        ASSERT(reply.code >= 200 && reply.code < 600 && reply.lines > 0);
        ASSERT(reply.lines <= SMTP_REPLY_LINES && reply.len <= SMTP_REPLY_TEXT);
        ASSERT(reply.enhanced.class == 0 || reply.enhanced.class == reply.code / 100);
        ASSERT(text_is_clean(&reply));
        for (unsigned phase = SMTP_PHASE_CONNECT; phase <= SMTP_PHASE_QUIT; phase++) {
            smtp_answer_translate(phase, &reply, &said);
            ASSERT(said.code >= 200 && said.code < 600 && said.code != 421);
            ASSERT(reply.code < 400 || said.code >= 400);
            ASSERT(phase >= SMTP_PHASE_MAIL || said.code == 451);
        }
        at += used;
    }
    ASSERT(err == ERR_AGAIN || err == ERR_SYNTAX);
    return 0;
}
