/* SPDX-License-Identifier: Apache-2.0 */
/* posternd: the gateway's program. Options only; supervisor.c is the rest. */
#include "plan.h"
#include "supervisor.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#define DEFAULT_FILE POSTERN_SYSCONFDIR "/postern/postern.conf"

static void usage(FILE *out)
{
    fputs("usage: posternd [-c FILE] [-n [--listeners]]\n"
          "\n"
          "  -c, --config FILE  the configuration; " DEFAULT_FILE " unless given\n"
          "  -n, --check        checks the configuration and exits\n"
          "      --listeners    prints what it listens on, a line each: ADDRESS PORT\n"
          "  -h, --help         this text\n"
          "  -V, --version      the version\n"
          "\n"
          "It stays in the foreground and logs to standard error. SIGHUP takes a new\n"
          "configuration, SIGTERM finishes open transactions and stops. See posternd(8).\n",
          out);
}

/* For whoever opens a firewall. */
static void listeners_print(const struct plan *plan)
{
    union net_addr open[PLAN_OPEN_MAX];
    char ip[NET_ADDR_TEXT];
    size_t len = plan_open(plan, open);

    for (size_t i = 0; i < len; i++)
        printf("%s %u\n", net_addr_ip_text(&open[i], ip), net_addr_port(&open[i]));
}

static int check(const char *file, bool listeners)
{
    static struct plan_verdict verdict;

    plan_try(file, PLAN_CHECK_FOR, NULL, &verdict);
    fputs(verdict.errors.text, stderr);
    fputs(verdict.warnings.text, stderr);
    if (verdict.accepted && listeners)
        listeners_print(&verdict.plan);
    else if (verdict.accepted)
        printf("%s: accepted\n", file);
    return verdict.accepted ? 0 : EX_CONFIG;
}

/* A descriptor 0 to 2 that is closed would be given to a socket, and the log be written into it. */
static int standard_descriptors_open(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd < 0)
        return -1;
    return close(fd);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'n'},
        {"listeners", no_argument, NULL, 'L'},    {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0}};
    const char *file = DEFAULT_FILE;
    bool only_check = false, listeners = false;
    int option;

    if (standard_descriptors_open() != 0)
        return EX_OSERR;
    while ((option = getopt_long(argc, argv, "c:nhV", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            file = optarg;
            break;
        case 'n':
            only_check = true;
            break;
        case 'L':
            listeners = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        case 'V':
            printf("posternd %s\n", POSTERN_VERSION);
            return 0;
        default:
            usage(stderr);
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "posternd: unexpected argument \"%s\"\n", argv[optind]);
        usage(stderr);
        return EX_USAGE;
    }
    if (listeners && !only_check) {
        fprintf(stderr, "posternd: --listeners belongs to -n\n");
        return EX_USAGE;
    }
    return only_check ? check(file, listeners) : supervisor_run(file);
}
