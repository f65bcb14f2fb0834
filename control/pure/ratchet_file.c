/* SPDX-License-Identifier: Apache-2.0 */
#include "ratchet_file.h"

#include "sip_hash.h"

#include <inttypes.h>
#include <stdio.h>

#define TITLE "postern ratchet 1\n"
#define SUM_WORD "sum "

enum { SUM_HEX = 16, SUM_LINE = sizeof(SUM_WORD) - 1 + SUM_HEX + 1 };

/* Against accidents alone: whoever can write the file can make a sum. */
static uint64_t sum_of(struct span text)
{
    static const uint64_t key[2] = {UINT64_C(0x706f737465726e20), UINT64_C(0x7261746368657420)};

    return sip_hash(key, text.ptr, text.len);
}

/* --- reading --- */

static struct span token_take(struct span *line)
{
    size_t len = 0;

    while (len < line->len && line->ptr[len] != ' ')
        len++;
    struct span token = span_make(line->ptr, len);
    *line = span_from(*line, len + (len < line->len));
    return token;
}

static bool name_take(struct span *line, char out[RATCHET_NAME_MAX + 1])
{
    return span_to_cstr(token_take(line), out, RATCHET_NAME_MAX + 1) == 0 &&
           ratchet_name_valid(out);
}

static bool level_take(struct span *line, enum conf_level *ret)
{
    static const enum conf_level levels[] = {CONF_LEVEL_NONE, CONF_LEVEL_ENCRYPT, CONF_LEVEL_VERIFY,
                                             CONF_LEVEL_PIN, CONF_LEVEL_DANE};
    struct span word = token_take(line);

    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        *ret = levels[i];
        if (span_equal(word, span_str(ratchet_level_text(levels[i]))))
            return true;
    }
    return false;
}

static bool source_take(struct span *line, enum tls_source *ret)
{
    struct span word = token_take(line);

    for (int i = TLS_SOURCE_ROUTE; i <= TLS_SOURCE_NONE; i++) {
        *ret = (enum tls_source)i;
        if (span_equal(word, span_str(tls_source_text(*ret))))
            return true;
    }
    return false;
}

static bool number_take(struct span *line, int64_t *ret)
{
    uint64_t value;

    if (span_to_u64(token_take(line), INT64_MAX, &value) != 0)
        return false;
    *ret = (int64_t)value;
    return true;
}

/* What is wrong with it, or NULL. */
static const char *line_read(struct span line, struct ratchet_book *book)
{
    char destination[RATCHET_NAME_MAX + 1], host[RATCHET_NAME_MAX + 1];
    struct ratchet_entry e = {0};
    int64_t drops = 0;

    if (line.len == 0 || line.ptr[line.len - 1] == ' ')
        return "it is empty, or ends in a space";
    if (!name_take(&line, destination) || !name_take(&line, host))
        return "a name is none";
    if (!level_take(&line, &e.best.level) || !source_take(&line, &e.best.source))
        return "a level or its source is none";
    if (!number_take(&line, &e.since) || !number_take(&line, &e.last))
        return "a time is none";
    struct span rest = line, word = token_take(&rest);
    if (span_equal(word, SPAN_LIT("lent"))) {
        e.lent = true;
        line = rest;
        word = token_take(&rest);
    }
    if (span_equal(word, SPAN_LIT("dropped"))) {
        e.dropped = true;
        line = rest;
        if (!level_take(&line, &e.offered.level) || !source_take(&line, &e.offered.source) ||
            !number_take(&line, &e.drop_since) || !number_take(&line, &e.drop_last) ||
            !number_take(&line, &drops))
            return "its drop is none";
        e.drops = (uint64_t)drops;
    }
    if (line.len > 0)
        return "more than an entry";
    return ratchet_book_load(book, destination, host, &e)
               ? NULL
               : "twice, or more entries than may be remembered";
}

int ratchet_file_lines(struct span lines, struct ratchet_book *book, char *why, size_t why_room)
{
    for (unsigned number = 2; lines.len > 0; number++) {
        const uint8_t *end = memchr(lines.ptr, '\n', lines.len);
        const char *wrong = end ? line_read(span_make(lines.ptr, (size_t)(end - lines.ptr)), book)
                                : "it has no end";
        if (wrong) {
            snprintf(why, why_room, "line %u: %s", number, wrong);
            return ERR_SYNTAX;
        }
        lines = span_from(lines, (size_t)(end - lines.ptr) + 1);
    }
    return ERR_OK;
}

int ratchet_file_parse(struct span file, struct ratchet_book *book, char *why, size_t why_room)
{
    struct span title = SPAN_LIT(TITLE);
    char sum[SUM_LINE + 1];

    if (file.len < title.len || !span_equal(span_make(file.ptr, title.len), title)) {
        snprintf(why, why_room, "line 1: it is not \"postern ratchet 1\"");
        return ERR_SYNTAX;
    }
    size_t covered = file.len >= title.len + SUM_LINE ? file.len - SUM_LINE : 0;
    snprintf(sum, sizeof(sum), SUM_WORD "%016" PRIx64 "\n", sum_of(span_make(file.ptr, covered)));
    if (covered == 0 || !span_equal(span_from(file, covered), span_str(sum))) {
        snprintf(why, why_room, "its sum is missing or wrong: it was cut or altered");
        return ERR_SYNTAX;
    }
    return ratchet_file_lines(span_make(file.ptr + title.len, covered - title.len), book, why,
                              why_room);
}

/* --- writing --- */

static int entry_write(const struct ratchet_entry *e, struct buf *out)
{
    int err =
        buf_printf(out, "%s %s %s %s %" PRId64 " %" PRId64 "%s", ratchet_destination(e),
                   ratchet_host(e), ratchet_level_text(e->best.level),
                   tls_source_text(e->best.source), e->since, e->last, e->lent ? " lent" : "");

    if (!err && e->dropped)
        err = buf_printf(out, " dropped %s %s %" PRId64 " %" PRId64 " %" PRIu64,
                         ratchet_level_text(e->offered.level), tls_source_text(e->offered.source),
                         e->drop_since, e->drop_last, e->drops);
    return err ? err : buf_append(out, "\n", 1);
}

int ratchet_file_write(const struct ratchet_book *book, struct buf *out)
{
    int err = buf_append(out, TITLE, sizeof(TITLE) - 1);

    for (const struct ratchet_entry *e = ratchet_book_first(book); e && !err;
         e = ratchet_book_next(e))
        err = entry_write(e, out);
    if (!err)
        err = buf_printf(out, SUM_WORD "%016" PRIx64 "\n", sum_of(buf_span(out)));
    return err;
}
