/* SPDX-License-Identifier: Apache-2.0 */
/* postern-platform: the hardware under the gateway. One row a verb; each has a file of its own. */
#include "platform_verb.h"
#include "span.h"

#include <stdarg.h>
#include <stdlib.h>
#include <sysexits.h>

static const struct verb *const verbs[] = {&verb_probe, &verb_tune, &verb_watchdog};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

void verb_complain(const char *format, ...)
{
    va_list args;

    fputs("postern-platform: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int verb_print(char *text, bool newline)
{
    bool written = printf(newline ? "%s\n" : "%s", text) >= 0 && fflush(stdout) == 0;

    free(text);
    return written ? EX_OK : EX_IOERR;
}

static void help(FILE *out)
{
    fprintf(out, "usage: postern-platform VERB [OPTION...]\n"
                 "       postern-platform VERB --help\n\nVerbs:\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    fprintf(out, "\nExamples:\n"
                 "  postern-platform probe\n"
                 "  postern-platform tune --dry-run\n"
                 "  postern-platform help tune\n"
                 "\npostern-platform(1) says what each line means.\n");
}

static void verb_help(const struct verb *verb, FILE *out)
{
    fprintf(out, "usage: postern-platform %s [OPTION...]\n\n%s\nOptions:\n", verb->name,
            verb->text);
    platform_args_help(verb->rows, verb->rows_len, out);
    fprintf(out, "  %-20s %s\n", "--help", "this text");
}

static bool asks_help(const char *word)
{
    return word && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0);
}

static int run(const struct verb *verb, char **words)
{
    struct arg_value values[ARG_ROWS_MAX];
    char why[200];

    if (asks_help(words[0])) {
        verb_help(verb, stdout);
        return EX_OK;
    }
    if (platform_args(verb->rows, verb->rows_len, words, values, why, sizeof(why)) != ERR_OK) {
        verb_complain("%s; see postern-platform %s --help", why, verb->name);
        return EX_USAGE;
    }
    return verb->main(values);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    bool wants_help = asks_help(name) || (name && strcmp(name, "help") == 0);

    if (wants_help && argc > 2)
        name = argv[2];
    for (size_t i = 0; i < VERBS && name; i++) {
        if (strcmp(verbs[i]->name, name) != 0)
            continue;
        if (!wants_help)
            return run(verbs[i], argv + 2);
        verb_help(verbs[i], stdout);
        return EX_OK;
    }
    if (wants_help && argc == 2) {
        help(stdout);
        return EX_OK;
    }
    if (name)
        verb_complain("there is no verb \"%s\"", name);
    help(stderr);
    return EX_USAGE;
}
