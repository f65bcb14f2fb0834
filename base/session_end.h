/* SPDX-License-Identifier: Apache-2.0 */
/* How a client's session ended: enum, word and text are one row in session_end.def. */
#pragma once

enum session_end {
#define SESSION_END(name, word, text) SESSION_END_##name,
#include "session_end.def"
#undef SESSION_END
    SESSION_END_COUNT
};

const char *session_end_word(enum session_end end);
const char *session_end_text(enum session_end end);
