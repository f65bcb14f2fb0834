/* SPDX-License-Identifier: Apache-2.0 */
/* postern-bench: one row a verb; each verb's file has its options, its help and its main. */
#include "bench.h"

#include <string.h>

static const struct {
    const char *verb, *help;
    int (*main)(int argc, char **argv);
    void (*options)(FILE *to);
} verbs[] = {
    {"load", "sends messages, or holds idle sessions, and measures", load_main, load_help},
    {"sink", "receives messages and checks them", sink_main, sink_help},
    {"limit", "measures what no relay on this machine can do without", limit_main, limit_help},
    {"compare", "measures postern and other relays in one run", compare_main, compare_help},
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

void bench_help(const char *verb)
{
    printf("usage: postern-bench VERB [OPTIONS]\n");
    for (size_t i = 0; i < VERBS; i++) {
        if (verb && strcmp(verb, verbs[i].verb) != 0)
            continue;
        printf("\n%s: %s\n", verbs[i].verb, verbs[i].help);
        verbs[i].options(stdout);
    }
    printf(
        "\nSizes take K, M and G. Exit codes are those of sysexits.h; postern-bench(1) has all.\n");
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        bench_help(NULL);
        return BENCH_OK;
    }
    for (size_t i = 0; argc > 1 && i < VERBS; i++) {
        if (strcmp(argv[1], verbs[i].verb) == 0)
            return verbs[i].main(argc - 1, argv + 1);
    }
    fprintf(stderr, "postern-bench: %s; --help lists the verbs\n",
            argc > 1 ? "unknown verb" : "a verb is needed");
    return BENCH_USAGE;
}
