/* SPDX-License-Identifier: Apache-2.0 */
/* postern-platform: what this machine can do for the gateway. One row a verb. */
#include "platform.h"

#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

static int probe_main(bool json)
{
    static struct platform platform; /* too large for a stack */
    char *text = NULL;

    platform_probe(&platform);
    int result = json ? platform_json(&platform, &text) : platform_text(&platform, &text);
    if (result != ERR_OK) {
        fprintf(stderr, "postern-platform: %s\n", err_text(result));
        return EX_OSERR;
    }
    bool written = printf(json ? "%s\n" : "%s", text) >= 0 && fflush(stdout) == 0;
    free(text);
    return written ? EX_OK : EX_IOERR;
}

static const struct {
    const char *verb;
    const char *help;
    int (*main)(bool json);
} verbs[] = {
    {"probe", "ask and try what processor, kernel and network cards offer for TLS", probe_main},
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void help(FILE *out)
{
    fprintf(out, "usage: postern-platform VERB [--json]\n\nVerbs:\n");
    for (size_t i = 0; i < VERBS; i++)
        fprintf(out, "  %-8s %s\n", verbs[i].verb, verbs[i].help);
    fprintf(out,
            "\nOptions:\n"
            "  --json   one JSON object in place of text\n"
            "  --help   this text\n"
            "\nprobe shows the processor's crypto instructions, whether the kernel takes TLS keys\n"
            "(tried with a connection on loopback), which io_uring features there are, what each\n"
            "network card offloads and how its queues are set, memory, accelerators, TPM,\n"
            "watchdogs, disks and their health, and the clock. Example:\n"
            "\n"
            "  postern-platform probe --json | jq .io_uring.usable\n"
            "\n"
            "postern-platform(1) says what each line means.\n");
}

int main(int argc, char **argv)
{
    const char *verb = NULL;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0 ||
            strcmp(argv[i], "help") == 0) {
            help(stdout);
            return EX_OK;
        }
        if (strcmp(argv[i], "--json") == 0) {
            json = true;
        } else if (argv[i][0] == '-' || verb) {
            fprintf(stderr, "postern-platform: \"%s\" is not known here; see --help\n", argv[i]);
            return EX_USAGE;
        } else {
            verb = argv[i];
        }
    }
    for (size_t i = 0; i < VERBS && verb; i++) {
        if (strcmp(verbs[i].verb, verb) == 0)
            return verbs[i].main(json);
    }
    if (verb)
        fprintf(stderr, "postern-platform: there is no verb \"%s\"\n", verb);
    help(stderr);
    return EX_USAGE;
}
