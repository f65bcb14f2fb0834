/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_args.h"

#include "assertion.h"
#include "span.h"

static int value_take(const struct arg_row *row, const char *text, struct arg_value *value,
                      char *why, size_t room)
{
    value->text = text;
    if (row->shape == ARG_NUMBER &&
        (span_to_u64(span_str(text), row->most, &value->number) != ERR_OK ||
         value->number < row->least)) {
        snprintf(why, room, "%s takes a number from %llu to %llu, not \"%s\"", row->name,
                 (unsigned long long)row->least, (unsigned long long)row->most, text);
        return ERR_SYNTAX;
    }
    return ERR_OK;
}

/* The row of a word, and what follows its "=", NULL where nothing does. */
static size_t row_find(const struct arg_row *rows, size_t len, const char *word,
                       const char **ret_inside)
{
    size_t name = strcspn(word, "=");

    *ret_inside = word[name] == '=' ? word + name + 1 : NULL;
    for (size_t i = 0; i < len; i++) {
        if (strlen(rows[i].name) == name && memcmp(rows[i].name, word, name) == 0)
            return i;
    }
    return len;
}

int platform_args(const struct arg_row *rows, size_t len, char **words, struct arg_value *values,
                  char *why, size_t why_room)
{
    ASSERT(len <= ARG_ROWS_MAX);
    for (size_t i = 0; i < len; i++)
        values[i] = (struct arg_value){.number = rows[i].preset};
    while (*words) {
        const char *inside, *word = *words++;
        size_t i = row_find(rows, len, word, &inside);
        if (i == len) {
            snprintf(why, why_room, "\"%s\" is not known here", word);
            return ERR_SYNTAX;
        }
        if (rows[i].shape == ARG_FLAG ? inside != NULL : !inside && !*words) {
            snprintf(why, why_room, rows[i].shape == ARG_FLAG ? "%s takes nothing" : "%s needs %s",
                     rows[i].name, rows[i].value);
            return ERR_SYNTAX;
        }
        values[i].given = true;
        if (rows[i].shape == ARG_FLAG)
            continue;
        if (rows[i].shape == ARG_REST) {
            if (inside) {
                snprintf(why, why_room, "%s takes words of their own, the last on the line",
                         rows[i].name);
                return ERR_SYNTAX;
            }
            values[i].words = words;
            return ERR_OK;
        }
        int result = value_take(&rows[i], inside ? inside : *words++, &values[i], why, why_room);
        if (result != ERR_OK)
            return result;
    }
    return ERR_OK;
}

void platform_args_help(const struct arg_row *rows, size_t len, FILE *out)
{
    for (size_t i = 0; i < len; i++) {
        char call[48];
        snprintf(call, sizeof(call), "%s%s%s", rows[i].name, rows[i].value ? " " : "",
                 rows[i].value ? rows[i].value : "");
        fprintf(out, "  %-20s %s", call, rows[i].help);
        if (rows[i].shape == ARG_NUMBER && rows[i].preset > 0)
            fprintf(out, " (%llu)", (unsigned long long)rows[i].preset);
        fprintf(out, "\n");
    }
}
