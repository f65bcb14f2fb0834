/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_system.h"

#include "ctl.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

static int act_help(const struct ctl_system *sys, char **arguments);

static const char update_help[] =
    "Installs a version from its bundle (postern-VERSION-x86_64.update) into the slot that does "
    "not\n"
    "run. FILE may be - for standard input. Nothing is touched before the bundle's signature is\n"
    "checked, and the version that runs stays as it is: a restart starts the new one, on trial. "
    "Where\n"
    "three starts of it are not healthy, the machine goes back to this one by itself.\n"
    "\n"
    "      --allow-older    a version older than the one that runs\n"
    "      --reboot         restarts the machine when it is installed\n"
    "\n"
    "From another machine:\n"
    "    ssh root@mx posternctl system update - < postern-1.2-x86_64.update\n"
    "\n"
    "Exit: 0 installed, 65 not a bundle, not signed, or of a version that is not taken, 66 no "
    "such\n"
    "file, 73 no room, 75 another update is at work, 69 this is no appliance.\n";

static const char health_help[] =
    "Asks each listener of the configuration for its greeting and its TLS, and sends a message "
    "through\n"
    "a gateway of its own: on loopback, with this machine's certificate, dataplane and user, TLS "
    "on\n"
    "both sides. A line each, with what was seen.\n"
    "\n"
    "      --boot           of a start: waits for it to go well, for 3 minutes at most. A version\n"
    "                       that is on trial is good where it does.\n"
    "      --fall-back      where that failed: restarts the machine if its version is on trial,\n"
    "                       and another one is there\n"
    "\n"
    "Exit: 0 all is well, or there are no settings yet; 70 a check failed.\n";

static const char reset_help[] = "Back to what the machine was when it was new, with the versions "
                                 "that are in its slots: settings,\n"
                                 "certificates and their keys, SSH's key, the journal, what was "
                                 "learnt of other servers go at the\n"
                                 "next start. It asks for a word to be typed.\n"
                                 "\n"
                                 "  -y, --yes            asks nothing\n"
                                 "      --reboot         restarts the machine at once\n";

static const char diagnostics_help[] =
    "Writes versions, hardware, status, slots, notices, the journal, network, firewall and "
    "settings to\n"
    "FILE (.tgz), /var/lib/postern-system/diagnostics.tgz unless named, - for standard output. No "
    "key\n"
    "and no password is in it; the journal names senders and recipients.\n"
    "\n"
    "From another machine:\n"
    "    ssh root@mx posternctl system diagnostics - > diagnostics.tgz\n";

static const char rollback_help[] = "Starts the version in the other slot next, and from then on, "
                                    "until an update is installed. It\n"
                                    "must have been found healthy once. Settings go with it: those "
                                    "that the other version last had\n"
                                    "come back where it does not accept those of now.\n"
                                    "\n"
                                    "      --reboot         restarts the machine at once\n";

static const char install_help[] =
    "For a machine that runs from a stick: writes the version that runs, and the settings, to a "
    "disk\n"
    "of the machine. Without DISK (sda, nvme0n1) it lists the disks and asks; what is on the disk "
    "is\n"
    "lost, which --yes agrees to. /var there is sealed to this machine's TPM, if it has one.\n"
    "\n"
    "Exit: 0 written, 64 not agreed to, 69 the disk can't be taken, or this is no appliance; 74 "
    "the\n"
    "disk could not be written whole.\n";

static const char settings_help[] =
    "Settings are appliance.conf, postern.conf, the folders tls, partners and secrets, and users, "
    "all\n"
    "of which /etc/postern has. \"import\" reads such files from a stick or partition that is "
    "labelled\n"
    "POSTERN, else from credentials of the machine's firmware (postern.appliance, "
    "postern.gateway,\n"
    "postern.tls.NAME), and puts them in place at once, or, where anything is wrong, not at all.\n"
    "What was taken once from there is not taken again until it changes.\n";

static const struct ctl_system_verb verbs[] = {
    {"settings check", "[FILE | FOLDER]", "checks appliance.conf, or a folder of settings", 0, 1,
     ctl_system_settings_check, settings_help},
    {"settings import", "[FOLDER]", "takes the settings of the stick POSTERN, or of FOLDER", 0, 1,
     ctl_system_settings_import, settings_help},
    {"settings apply", "", "makes the settings true, on the running machine", 0, 0,
     ctl_system_settings_apply, settings_help},
    {"settings boot", "", "what a boot does: imports, checks, applies", 0, 0,
     ctl_system_settings_boot, settings_help},
    {"settings show", "", "appliance.conf as the machine goes by it", 0, 0,
     ctl_system_settings_show, settings_help},
    {"console", "", "the screen and the menu, on this terminal", 0, 0, ctl_system_console, NULL},
    {"notices", "", "what the appliance's services have to tell, worst first", 0, 0,
     ctl_system_notices, NULL},
    {"status", "", "the version that runs, the other one, and notices", 0, 0, ctl_system_status,
     NULL},
    {"update", "FILE", "installs a signed bundle beside the version that runs", 1, 1,
     ctl_system_update, update_help},
    {"reset", "", "the next start erases settings and all that is kept", 0, 0, ctl_system_reset,
     reset_help},
    {"diagnostics", "[FILE]", "what somebody needs to know who helps, as one file", 0, 1,
     ctl_system_diagnostics, diagnostics_help},
    {"certificate", "", "asks for a certificate by ACME, where it is time", 0, 0,
     ctl_system_certificate, NULL},
    {"firewall", "", "opens what the listeners and administration need, and nothing else", 0, 0,
     ctl_system_firewall, NULL},
    {"health", "", "whether listeners answer, and a message passes with TLS", 0, 0,
     ctl_system_health, health_help},
    {"install", "[DISK]", "writes this appliance and its settings to another disk", 0, 1,
     ctl_system_install, install_help},
    {"rollback", "", "the other version starts next", 0, 0, ctl_system_rollback, rollback_help},
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
          "  -y, --yes         asks nothing\n"
          "      --reboot      update, rollback, reset: restarts the machine\n"
          "      --allow-older update: also to an older version\n"
          "      --boot        health: waits until all is well, at most 3 minutes\n"
          "      --fall-back   health: restarts where it failed on a version on trial\n"
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

static int run(const struct ctl_system *sys, bool help, int count, char **words)
{
    for (size_t i = 0; i < VERBS; i++) {
        const struct ctl_system_verb *verb = &verbs[i];
        int own = ctl_words_match(verb->words, count, words), given = count - own;
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
    enum { OPTION_REBOOT = 256, OPTION_ALLOW_OLDER, OPTION_BOOT, OPTION_FALL_BACK };
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"root", required_argument, NULL, 'r'},
                                            {"yes", no_argument, NULL, 'y'},
                                            {"reboot", no_argument, NULL, OPTION_REBOOT},
                                            {"allow-older", no_argument, NULL, OPTION_ALLOW_OLDER},
                                            {"boot", no_argument, NULL, OPTION_BOOT},
                                            {"fall-back", no_argument, NULL, OPTION_FALL_BACK},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    struct ctl_system sys = {.json = json, .root = ""};
    bool help = false;
    int option;

    optind = 0; /* begins anew, with other words */
    while ((option = getopt_long(count, words, "jr:yh", options, NULL)) != -1) {
        switch (option) {
        case 'j':
            sys.json = true;
            break;
        case 'r':
            sys.root = optarg;
            break;
        case 'y':
            sys.yes = true;
            break;
        case OPTION_REBOOT:
            sys.reboot = true;
            break;
        case OPTION_ALLOW_OLDER:
            sys.allow_older = true;
            break;
        case OPTION_BOOT:
            sys.boot = true;
            break;
        case OPTION_FALL_BACK:
            sys.fall_back = true;
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
