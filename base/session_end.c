/* SPDX-License-Identifier: Apache-2.0 */
#include "session_end.h"

#include "assertion.h"

static const struct {
    const char *word;
    const char *text;
} session_ends[SESSION_END_COUNT] = {
#define SESSION_END(name, word, text) [SESSION_END_##name] = {word, text},
#include "session_end.def"
#undef SESSION_END
};

const char *session_end_word(enum session_end end)
{
    ASSERT(end < SESSION_END_COUNT);
    return session_ends[end].word;
}

const char *session_end_text(enum session_end end)
{
    ASSERT(end < SESSION_END_COUNT);
    return session_ends[end].text;
}
