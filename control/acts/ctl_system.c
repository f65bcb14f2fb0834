/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_system.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int act_help(const struct ctl_system *sys, char **arguments);

static const struct ctl_system_verb verbs[] = {
    {"notices", "", "what the appliance's services have to tell, worst first", 0, 0,
     ctl_system_notices, NULL},
    {"help", "", "this text", 0, 0, act_help, NULL},
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void usage(FILE *out)
{
    fputs("usage: posternctl [--json] system VERB\n\n", out);
    for (size_t i = 0; i < VERBS; i++) {
        char call[80];
        snprintf(call, sizeof(call), "%s %s", verbs[i].words, verbs[i].arguments);
        fprintf(out, "  %-30s%s%s\n", call,
                strlen(call) > 30 ? "\n                                 " : " ", verbs[i].help);
    }
    fputs("\n"
          "  -j, --json        prints JSON\n"
          "  -r, --root DIR    a folder that stands for the machine's file system\n"
          "  -h, --help        this text; behind a verb, more of it\n"
          "\n"
          "Exit codes are those of sysexits.h. See posternctl-system(1).\n",
          out);
}

static int act_help(const struct ctl_system *sys, char **arguments)
{
    usage(stdout);
    return 0;
}

/* How many of the words given are the verb's own; 0: another verb. */
static int words_match(const struct ctl_system_verb *verb, int count, char **words)
{
    const char *rest = verb->words;
    int own = 0;

    for (; own < count && *rest; own++) {
        size_t len = strcspn(rest, " ");
        if (strlen(words[own]) != len || strncmp(rest, words[own], len) != 0)
            return 0;
        rest += len + (rest[len] == ' ');
    }
    return *rest ? 0 : own;
}

static int run(const struct ctl_system *sys, bool help, int count, char **words)
{
    for (size_t i = 0; i < VERBS; i++) {
        const struct ctl_system_verb *verb = &verbs[i];
        int own = words_match(verb, count, words), given = count - own;
        if (own == 0)
            continue;
        if (help) {
            printf("usage: posternctl system %s %s\n\n%s\n", verb->words, verb->arguments,
                   verb->more ? verb->more : verb->help);
            return 0;
        }
        if (given < verb->least || given > verb->most) {
            fprintf(stderr, "posternctl: usage: posternctl system %s %s\n", verb->words,
                    verb->arguments);
            return EX_USAGE;
        }
        return verb->act(sys, words + own);
    }
    if (help) {
        usage(stdout);
        return 0;
    }
    if (count > 0)
        fprintf(stderr, "posternctl: no verb \"system %s\"\n", words[0]);
    usage(stderr);
    return EX_USAGE;
}

int ctl_system_main(bool json, int count, char **words)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"root", required_argument, NULL, 'r'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct ctl_system sys = {.json = json, .root = ""};
    bool help = false;
    int option;

    optind = 0; /* begins anew, with other words */
    while ((option = getopt_long(count, words, "jr:h", options, NULL)) != -1) {
        switch (option) {
        case 'j':
            sys.json = true;
            break;
        case 'r':
            sys.root = optarg;
            break;
        case 'h':
            help = true;
            break;
        default:
            usage(stderr);
            return EX_USAGE;
        }
    }
    return run(&sys, help, count - optind, words + optind);
}
