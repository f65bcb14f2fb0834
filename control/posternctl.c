/* SPDX-License-Identifier: Apache-2.0 */
/* posternctl: asks a running posternd over its control socket. A verb is a row of the table. */
#include "plan.h"
#include "ctl.h"
#include "ctl_partner.h"
#include "ctl_print.h"
#include "ctl_system.h"
#include "ctl_tls.h"
#include "ctl_tlsrpt.h"
#include "ctl_user.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

struct ctl {
    const char *socket;
    const char *listener;
    const char *cert, *next; /* NULL: any */
    const char *name, *ca;   /* the same */
    bool write;              /* partner: to its pin file */
    const char *file;        /* which; NULL: the usual one */
    bool json, mx, yesterday, help;
    bool all; /* ratchet: every destination */
};

struct verb {
    const char *words; /* one to three */
    const char *arguments;
    const char *help;
    int most; /* arguments */
    int (*act)(const struct ctl *ctl, const struct verb *verb, char **arguments);
    const char *asks; /* what the socket calls it */
    void (*print)(const json_t *data);
    const char *more; /* help of its own, NULL if none */
};

static int failed(const struct ctl *ctl, const char *why, int code)
{
    return ctl_failed(ctl->json, why, code);
}

/* Prints the answer, and frees it. */
static int told(const struct ctl *ctl, const struct verb *verb, json_t *data, int code)
{
    if (ctl->json) {
        ctl_print_json(data);
        return code;
    }
    verb->print(data);
    json_decref(data);
    return code;
}

/* request: {"verb": ...} and the verb's arguments. */
static json_t *ask(const struct ctl *ctl, json_t *request, int *ret_exit)
{
    char error[8192];
    json_t *data = ctl_ask(ctl->socket, request, ret_exit, error, sizeof(error));

    if (!data)
        (void)failed(ctl, error, *ret_exit);
    return data;
}

static int act_show(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    int code = 0;
    json_t *data = ask(ctl, json_pack("{s:s}", "verb", verb->asks), &code);

    return data ? told(ctl, verb, data, 0) : code;
}

static void print_reload(const json_t *data)
{
    printf("reloaded %s\n", json_string_value(json_object_get(data, "config")));
}

static void print_check(const json_t *data)
{
    printf("%s: accepted\n", json_string_value(json_object_get(data, "config")));
}

/* A file is checked here, by the same code; without one the gateway checks the file that it runs
 * with, with its own eyes. */
static int act_check(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    static struct plan_verdict verdict;
    const char *errors = verdict.errors.text, *warnings = verdict.warnings.text;

    if (!arguments[0])
        return act_show(ctl, verb, arguments);
    plan_try(arguments[0], PLAN_CHECK_FOR, NULL, &verdict);
    if (ctl->json && !verdict.accepted) {
        (void)failed(ctl, errors, EX_CONFIG);
    } else if (ctl->json) {
        ctl_print_json(json_pack("{s:s, s:s*}", "config", arguments[0], "warnings",
                                 warnings[0] ? warnings : NULL));
    } else {
        fputs(errors, stderr);
        fputs(warnings, stderr);
        if (verdict.accepted)
            printf("%s: accepted\n", arguments[0]);
    }
    return verdict.accepted ? 0 : EX_CONFIG;
}

static int usage_of(const struct verb *verb)
{
    fprintf(stderr, "posternctl: usage: posternctl %s %s\n", verb->words, verb->arguments);
    return EX_USAGE;
}

/* What is asked is answered also where mail would not go: then the exit code says so. */
static int act_explain(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    int code = 0;
    json_t *data;

    if (!arguments[0])
        return usage_of(verb);
    data = ask(ctl,
               json_pack("{s:s, s:s, s:s}", "verb", verb->asks, "address", arguments[0], "listener",
                         ctl->listener ? ctl->listener : ""),
               &code);
    if (!data)
        return code;
    return told(ctl, verb, data, (int)json_integer_value(json_object_get(data, "exit")));
}

static int act_user_add(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    char why[512] = "";

    if (!arguments[0])
        return usage_of(verb);
    int code = ctl_user_add(arguments[0], arguments[1], why, sizeof(why));
    if (code != 0)
        return failed(ctl, why, code);
    if (arguments[1] && ctl->json)
        ctl_print_json(json_pack("{s:s, s:s}", "user", arguments[0], "file", arguments[1]));
    else if (arguments[1])
        printf("%s: %s can log in after a reload\n", arguments[1], arguments[0]);
    return 0;
}

static int act_partner_add(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    char why[512];
    int code;

    if (!arguments[0] || (!ctl->cert && !(ctl->write && ctl->next)))
        return usage_of(verb);
    const struct ctl_partner_request request = {.domain = arguments[0],
                                                .cert = ctl->cert,
                                                .next = ctl->next,
                                                .write = ctl->write,
                                                .file = ctl->file,
                                                .now = (int64_t)time(NULL)};
    json_t *data = ctl_partner_add(&request, &code, why, sizeof(why));
    if (!data)
        return failed(ctl, why, code);
    return told(ctl, verb, data, 0);
}

static int act_tlsrpt_read(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    int code;

    if (!arguments[0])
        return usage_of(verb);
    json_t *data = ctl_tlsrpt_read(arguments, &code);
    if (!data)
        return failed(ctl, "out of memory", EX_OSERR);
    return told(ctl, verb, data, code);
}

static int act_tls_check(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    char why[512] = "out of memory";
    int code = EX_OSERR;

    if (!arguments[0])
        return usage_of(verb);
    const struct ctl_tls_request request = {
        .target = arguments[0], .mx = ctl->mx, .name = ctl->name, .ca = ctl->ca};
    json_t *data = ctl_tls_check(&request, &code, why, sizeof(why));
    if (!data)
        return failed(ctl, why, code);
    return told(ctl, verb, data, (int)json_integer_value(json_object_get(data, "exit")));
}

static const char tls_check_help[] =
    "Connects to the server from this machine, at each of its addresses, and looks at what\n"
    "senders with a policy ask of it: STARTTLS is offered and works; the certificate is from a\n"
    "CA that is known, of today, for this name, and strong; SSL 3.0, TLS 1.0 and 1.1 are\n"
    "refused. Each check is a line with what was seen, and what to do where it is not right.\n"
    "No mail is sent, and no gateway needs to run.\n"
    "\n"
    "  HOST[:PORT]          a host name or an address; port 25 unless given\n"
    "  -m, --mx             HOST is a domain: all hosts of its MX records are checked\n"
    "  -N, --name NAME      the certificate must have this name instead of HOST\n"
    "  -C, --ca FILE        the CAs that count, as PEM, instead of the system's\n"
    "\n"
    "Your own servers, before you publish a policy of MTA-STS, or ask others to list them:\n"
    "    posternctl tls check --mx example.org\n"
    "One server inside, by its address, as the world will see it:\n"
    "    posternctl tls check 10.0.0.7:25 --name mx.example.org\n"
    "\n"
    "Exit: 0 all is well, 76 a check failed, 75 something could not be tried (again later),\n"
    "68 there is no such domain, 64 wrong usage.\n";

/* act of the request: the verb's last word. */
static int ratchet(const struct ctl *ctl, const struct verb *verb, char **names, const char *act)
{
    int code = 0;
    json_t *data =
        ask(ctl,
            json_pack("{s:s, s:s, s:s, s:s}", "verb", verb->asks, "act", act, "destination",
                      names[0] ? names[0] : "", "host", names[0] && names[1] ? names[1] : ""),
            &code);

    return data ? told(ctl, verb, data, 0) : code;
}

static int act_ratchet_list(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    return ratchet(ctl, verb, arguments, "list");
}

static int act_ratchet_accept(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    return arguments[0] ? ratchet(ctl, verb, arguments, "accept") : usage_of(verb);
}

/* Everything only where that was said. */
static int act_ratchet_clear(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    return ctl->all == (arguments[0] != NULL) ? usage_of(verb)
                                              : ratchet(ctl, verb, arguments, "clear");
}

static const char ratchet_help[] =
    "The gateway remembers the best TLS that mail to each host of a destination went out by:\n"
    "plaintext, encrypt (any certificate), verify (a policy of the domain's was met), dane. A\n"
    "destination is a recipients' domain, or a next hop of a route as host:port. Where a host has\n"
    "less than that, routes of level \"may\" and \"auto\" go on and log it (ratchet = \"warn\"), "
    "or defer\n"
    "mail with 451 4.7.5 (\"hold\"). A host that is new to a domain is held to the weakest of the\n"
    "others.\n"
    "\n"
    "Find out why it dropped before you accept: somebody on the way may strip STARTTLS, or forge\n"
    "DNS. \"posternctl policy probe postmaster@DOMAIN\" shows what is there now.\n"
    "\n"
    "  posternctl policy ratchet                           all, those that dropped first\n"
    "  posternctl policy ratchet example.org               a domain, those below it, and its "
    "hosts\n"
    "  posternctl policy ratchet accept example.org        what is offered now is the best from "
    "now on\n"
    "  posternctl policy ratchet accept example.org mx1.example.org     the same of one host\n"
    "  posternctl policy ratchet clear example.org         forgotten; what comes next counts as "
    "new\n"
    "  posternctl policy ratchet clear --all\n";

/* With --json, a domain's report is printed as it would be sent. */
static int act_tlsrpt_show(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    int code = 0;
    json_t *data = ask(ctl,
                       json_pack("{s:s, s:s, s:b}", "verb", verb->asks, "domain",
                                 arguments[0] ? arguments[0] : "", "yesterday", ctl->yesterday),
                       &code);

    if (!data)
        return code;
    json_t *report = ctl_tlsrpt_report(data);
    if (ctl->json) {
        ctl_print_json(report ? json_incref(report) : json_incref(data));
    } else {
        verb->print(data);
    }
    json_decref(report);
    json_decref(data);
    return 0;
}

static const char partner_help[] =
    "Prints a partner's route and rule of senders, made from the certificates that its servers\n"
    "show now and next. With --write, the pins go to a file, which route and rule name: they stay\n"
    "as they are when the partner changes its key.\n"
    "\n"
    "  -c, --cert FILE      the certificate of now, as PEM; with --write and --next it may be "
    "left\n"
    "                       out, and the current pin stays as the file has it\n"
    "  -n, --next FILE      the one that comes next\n"
    "  -w, --write[=FILE]   writes the pin file, " POSTERN_SYSCONFDIR
    "/postern/partners/DOMAIN.conf\n"
    "                       unless named, and says what has changed in it\n"
    "\n"
    "A new partner, the key that it will change to, and the change:\n"
    "  posternctl partner add clinic.example --cert now.pem --write\n"
    "  posternctl partner add clinic.example --next next.pem --write\n"
    "  posternctl partner add clinic.example --cert next.pem --write\n"
    "and after each: posternctl reload\n";

static int act_help(const struct ctl *ctl, const struct verb *verb, char **arguments);

static const struct verb verbs[] = {
    {"status", "", "state, listeners, processes and the main counters", 0, act_show, "status",
     ctl_print_status},
    {"sessions", "", "the sessions that are open", 0, act_show, "sessions", ctl_print_sessions},
    {"routes", "", "the next hops in use: connections, and which are dead", 0, act_show, "routes",
     ctl_print_routes},
    {"policy explain", "USER@DOMAIN", "what becomes of mail to it, and why", 1, act_explain,
     "explain", ctl_print_explain},
    {"policy probe", "USER@DOMAIN", "the same, and tries each host without mail", 1, act_explain,
     "probe", ctl_print_explain},
    {"policy ratchet accept", "DESTINATION [HOST]", "takes less TLS than before for good", 2,
     act_ratchet_accept, "ratchet", ctl_print_ratchet_done, ratchet_help},
    {"policy ratchet clear", "DESTINATION [HOST] | --all", "forgets what TLS there was", 2,
     act_ratchet_clear, "ratchet", ctl_print_ratchet_done, ratchet_help},
    {"policy ratchet", "[DOMAIN]", "the best TLS that destinations had, and which have less now", 1,
     act_ratchet_list, "ratchet", ctl_print_ratchet, ratchet_help},
    {"tls check", "HOST[:PORT]", "checks what a mail server does with STARTTLS", 1, act_tls_check,
     NULL, ctl_print_tls_check, tls_check_help},
    {"reload", "", "takes the configuration and certificates anew", 0, act_show, "reload",
     print_reload},
    {"config check", "[FILE]", "checks FILE, or what a reload would take", 1, act_check, "check",
     print_check},
    {"partner add", "DOMAIN --cert FILE [--next FILE] [--write[=FILE]]",
     "a partner's pins, for the configuration or to a pin file", 1, act_partner_add, NULL,
     ctl_print_partner, partner_help},
    {"user add", "NAME [FILE]", "makes a user's line for auth_users, in FILE or to stdout", 2,
     act_user_add, NULL, NULL},
    {"tlsrpt read", "FILE...", "sums up TLS reports that others sent", INT_MAX, act_tlsrpt_read,
     NULL, ctl_print_tlsrpt_read},
    {"tlsrpt show", "[DOMAIN] [--yesterday]", "what TLS reports of ours say", 1, act_tlsrpt_show,
     "tlsrpt", ctl_print_tlsrpt_show},
    {"system", "VERB", "the appliance; \"system help\" lists its verbs", 0, NULL, NULL, NULL},
    {"help", "", "this text", 0, act_help, NULL, NULL},
};
enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void usage(FILE *out)
{
    fputs("usage: posternctl [--json] [--socket PATH] VERB\n\n", out);
    for (size_t i = 0; i < VERBS; i++) {
        char call[80];
        snprintf(call, sizeof(call), "%s %s", verbs[i].words, verbs[i].arguments);
        fprintf(out, "  %-27s%s%s\n", call,
                strlen(call) > 27 ? "\n                              " : " ", verbs[i].help);
    }
    fputs("\n"
          "  -j, --json           prints JSON\n"
          "  -s, --socket PATH    the gateway's control socket; " POSTERN_CONTROL_SOCKET "\n"
          "                       unless given\n"
          "  -l, --listener NAME  policy: for mail that comes in there\n"
          "  -c, --cert FILE      partner: its certificate\n"
          "  -n, --next FILE      partner: the one that comes next\n"
          "  -w, --write[=FILE]   partner: the pins go to its pin file\n"
          "  -m, --mx             tls: HOST is a domain, all its hosts are checked\n"
          "  -N, --name NAME      tls: that the certificate must have\n"
          "  -C, --ca FILE        tls: the CAs that count, as PEM\n"
          "  -a, --all            policy ratchet clear: every destination\n"
          "  -y, --yesterday      tlsrpt show: not today\n"
          "  -h, --help           this text; behind \"tls check\", \"policy ratchet\" or\n"
          "                       \"partner add\", more\n"
          "  -V, --version        the version\n"
          "\n"
          "Exit codes are those of sysexits.h. See posternctl(1).\n",
          out);
}

static int act_help(const struct ctl *ctl, const struct verb *verb, char **arguments)
{
    usage(stdout);
    return 0;
}

static int run(const struct ctl *ctl, int count, char **words)
{
    for (size_t i = 0; count > 0 && i < VERBS; i++) {
        int own = ctl_words_match(verbs[i].words, count, words);
        if (own == 0)
            continue;
        if (ctl->help && verbs[i].more) {
            printf("usage: posternctl %s %s\n\n%s", verbs[i].words, verbs[i].arguments,
                   verbs[i].more);
            return 0;
        }
        if (ctl->help)
            break;
        if (count - own > verbs[i].most)
            return usage_of(&verbs[i]);
        return verbs[i].act(ctl, &verbs[i], words + own);
    }
    if (ctl->help) {
        usage(stdout);
        return 0;
    }
    if (count > 0)
        fprintf(stderr, "posternctl: no verb \"%s\"\n", words[0]);
    usage(stderr);
    return EX_USAGE;
}

static const char letters[] = "+js:l:c:n:w::mN:C:ayhV"; /* '+': up to the first word */

/* The verbs of the appliance are a table of their own, with options of their own: where the first
 * word is "system", its place, else 0. */
static int system_at(int argc, char **argv, const struct option *options, bool *ret_json)
{
    bool ends = false; /* by an option after which no verb runs */
    int option, at;

    opterr = 0; /* what is wrong is told when the options are read */
    while ((option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
        *ret_json = *ret_json || option == 'j';
        ends = ends || option == 'h' || option == 'V' || option == '?';
    }
    at = optind;
    opterr = 1;
    optind = 0; /* from the start */
    return !ends && at < argc && strcmp(argv[at], "system") == 0 ? at : 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"socket", required_argument, NULL, 's'},
                                            {"listener", required_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {"cert", required_argument, NULL, 'c'},
                                            {"next", required_argument, NULL, 'n'},
                                            {"write", optional_argument, NULL, 'w'},
                                            {"mx", no_argument, NULL, 'm'},
                                            {"name", required_argument, NULL, 'N'},
                                            {"ca", required_argument, NULL, 'C'},
                                            {"all", no_argument, NULL, 'a'},
                                            {"yesterday", no_argument, NULL, 'y'},
                                            {NULL, 0, NULL, 0}};
    struct ctl ctl = {.socket = POSTERN_CONTROL_SOCKET};
    bool system_json = false;
    int option, at = system_at(argc, argv, options, &system_json);

    if (at > 0)
        return ctl_system_main(system_json, argc - at, argv + at);
    while ((option = getopt_long(argc, argv, letters + 1, options, NULL)) != -1) {
        switch (option) {
        case 'j':
            ctl.json = true;
            break;
        case 's':
            ctl.socket = optarg;
            break;
        case 'l':
            ctl.listener = optarg;
            break;
        case 'c':
            ctl.cert = optarg;
            break;
        case 'n':
            ctl.next = optarg;
            break;
        case 'w':
            ctl.write = true;
            ctl.file = optarg;
            break;
        case 'm':
            ctl.mx = true;
            break;
        case 'N':
            ctl.name = optarg;
            break;
        case 'C':
            ctl.ca = optarg;
            break;
        case 'a':
            ctl.all = true;
            break;
        case 'y':
            ctl.yesterday = true;
            break;
        case 'h':
            ctl.help = true;
            break;
        case 'V':
            printf("posternctl %s\n", POSTERN_VERSION);
            return 0;
        default:
            usage(stderr);
            return EX_USAGE;
        }
    }
    return run(&ctl, argc - optind, argv + optind);
}
