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
    fputs("usage: posternd [-c FILE] [-n [--listeners | --workers]]\n"
          "\n"
          "  -c, --config FILE  the configuration; " DEFAULT_FILE " unless given\n"
          "  -n, --check        checks the configuration and exits\n"
          "      --listeners    prints what it listens on, a line each: ADDRESS PORT\n"
          "      --workers      prints how many workers it starts\n"
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

enum check_print { CHECK_VERDICT, CHECK_LISTENERS, CHECK_WORKERS };

static int check(const char *file, enum check_print print)
{
    static struct plan_verdict verdict;

    plan_try(file, PLAN_CHECK_FOR, NULL, &verdict);
    fputs(verdict.errors.text, stderr);
    fputs(verdict.warnings.text, stderr);
    if (!verdict.accepted)
        return EX_CONFIG;
    switch (print) {
    case CHECK_VERDICT:
        printf("%s: accepted\n", file);
        break;
    case CHECK_LISTENERS:
        listeners_print(&verdict.plan);
        break;
    case CHECK_WORKERS: /* for whoever sets network cards up */
        printf("%u\n", verdict.plan.workers);
        break;
    }
    return 0;
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
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'n'},
                                            {"listeners", no_argument, NULL, 'L'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"workers", no_argument, NULL, 'W'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    const char *file = DEFAULT_FILE;
    enum check_print print = CHECK_VERDICT;
    bool only_check = false;
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
            print = CHECK_LISTENERS;
            break;
        case 'W':
            print = CHECK_WORKERS;
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
    if (print != CHECK_VERDICT && !only_check) {
        fprintf(stderr, "posternd: --listeners and --workers belong to -n\n");
        return EX_USAGE;
    }
    return only_check ? check(file, print) : supervisor_run(file);
}
