/* SPDX-License-Identifier: Apache-2.0 */
#include "redact.h"

#include "ascii.h"

#define MARK "[removed]"

enum { MODHEX_GROUPS = 8, MODHEX_GROUP = 8, CRYPT_MIN = 20 };

/* The next bytes are that, ASCII case folded. */
static bool at(struct span rest, const char *what)
{
    return span_starts_nocase(rest, span_str(what));
}

static bool is_word(uint8_t c)
{
    return ascii_is_alnum(c) || c == '_';
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* --- private keys --- */

/* How many bytes from here are one, also one whose end is missing; 0: none. */
static size_t pem_len(struct span rest)
{
    static const char begin[] = "-----BEGIN ", end[] = "-----END ";

    if (!at(rest, begin))
        return 0;
    struct span line = rest, after = rest;
    line = span_cut(&after, '\n');
    bool is_private = false;
    for (size_t i = 0; i < line.len; i++)
        is_private = is_private || at(span_from(line, i), "PRIVATE KEY");
    if (!is_private)
        return 0;
    for (size_t i = sizeof(begin); i < rest.len; i++)
        if (at(span_from(rest, i), end)) {
            struct span last = span_from(rest, i), behind = last;
            last = span_cut(&behind, '\n');
            return i + last.len;
        }
    return rest.len;
}

/* --- values of settings --- */

static const char *const secret_words[] = {"password", "passwd",  "passphrase", "secret",
                                           "private",  "api_key", "apikey",     "recovery"};

static bool names_secret(struct span name)
{
    static const char file[] = "_file"; /* where it is, not what it is */

    if (span_ends_nocase(name, span_str(file)))
        return false;
    for (size_t i = 0; i < name.len; i++)
        for (size_t w = 0; w < sizeof(secret_words) / sizeof(secret_words[0]); w++)
            if (at(span_from(name, i), secret_words[w]))
                return true;
    return false;
}

static size_t quoted_len(struct span rest)
{
    size_t i = 1;

    while (i < rest.len && rest.ptr[i] != rest.ptr[0])
        i += rest.ptr[i] == '\\' ? 2 : 1;
    return i < rest.len ? i + 1 : rest.len;
}

/* A value and what belongs to it: strings one behind the other, as libconfig joins them; else up to
 * the end of the word. */
static size_t value_len(struct span rest)
{
    size_t len = 0, i = 0;

    for (;;) {
        while (i < rest.len && is_space(rest.ptr[i]))
            i++;
        if (i == rest.len || (rest.ptr[i] != '"' && rest.ptr[i] != '\''))
            break;
        i += quoted_len(span_from(rest, i));
        len = i;
    }
    if (len > 0)
        return len;
    while (len < rest.len && (rest.ptr[len] == ' ' || rest.ptr[len] == '\t'))
        len++;
    while (len < rest.len && !is_space(rest.ptr[len]) && !strchr(",;)}", rest.ptr[len]))
        len++;
    return len;
}

/* Where in a setting "NAME = VALUE", "NAME: VALUE", "\"NAME\": VALUE" its value begins; 0: it is
 * none.
 */
static size_t value_place(struct span rest, size_t name_len)
{
    size_t i = name_len;

    if (i < rest.len && (rest.ptr[i] == '"' || rest.ptr[i] == '\''))
        i++;
    while (i < rest.len && (rest.ptr[i] == ' ' || rest.ptr[i] == '\t'))
        i++;
    return i < rest.len && (rest.ptr[i] == '=' || rest.ptr[i] == ':') ? i + 1 : 0;
}

/* --- hashes and recovery keys --- */

/* "$6$salt$hash", "$y$...", "{SCRAM-SHA-256}...", "SCRAM-SHA-256$...". */
static size_t hash_len(struct span rest)
{
    size_t len = 0, dollars = 0;

    if (rest.ptr[0] != '$' && !at(rest, "SCRAM-SHA-"))
        return 0;
    while (len < rest.len && !is_space(rest.ptr[len]) && !strchr("\"';,", rest.ptr[len])) {
        dollars += rest.ptr[len] == '$';
        len++;
    }
    return dollars >= (rest.ptr[0] == '$' ? 3 : 1) && len >= CRYPT_MIN ? len : 0;
}

/* As systemd writes them: eight groups of eight letters, with a dash between. */
static size_t recovery_len(struct span rest)
{
    enum { LEN = MODHEX_GROUPS * (MODHEX_GROUP + 1) - 1 };

    if (rest.len < LEN)
        return 0;
    for (size_t i = 0; i < LEN; i++) {
        bool dash = i % (MODHEX_GROUP + 1) == MODHEX_GROUP;
        uint8_t c = ascii_lower(rest.ptr[i]);
        if (dash ? c != '-' : c == '\0' || !strchr("cbdefghijklnrtuv", c))
            return 0;
    }
    return LEN;
}

/* --- all of it --- */

/* At the start of a word: how many bytes are kept, and how many taken out behind them. */
static void word_judge(struct span rest, size_t *ret_keep, size_t *ret_out)
{
    size_t len = 0;

    *ret_keep = 0;
    *ret_out = recovery_len(rest);
    if (*ret_out == 0)
        *ret_out = hash_len(rest);
    if (*ret_out > 0)
        return;
    while (len < rest.len &&
           (is_word(rest.ptr[len]) || rest.ptr[len] == '-' || rest.ptr[len] == '.'))
        len++;
    *ret_keep = len > 0 ? len : 1;
    size_t value = len > 0 && names_secret(span_make(rest.ptr, len)) ? value_place(rest, len) : 0;
    if (value > 0) {
        *ret_keep = value;
        *ret_out = value_len(span_from(rest, value));
    }
}

int redact(struct span text, struct buf *out)
{
    int err = ERR_OK;

    while (text.len > 0 && !err) {
        size_t keep = 0, taken = pem_len(text);
        if (taken == 0)
            word_judge(text, &keep, &taken);
        err = buf_append(out, text.ptr, keep);
        if (!err && taken > 0)
            err = buf_append(out, MARK, sizeof(MARK) - 1);
        text = span_from(text, keep + taken);
    }
    return err;
}
