/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"
#include "platform_notice.h"
#include "platform_verb.h"

#include <errno.h>
#include <string.h>
#include <sysexits.h>

enum { JSON, NOTICE };

static const struct arg_row rows[] = {
    [JSON] = {"--json", ARG_FLAG, NULL, 0, 0, 0, "one JSON object in place of text"},
    [NOTICE] = {"--notice", ARG_TEXT, "FILE", 0, 0, 0,
                "write only what is amiss, as a line for the administrator"},
};

/* For a service that looks from time to time: nobody reads all of it then. */
static int notice_main(const char *file, const struct platform *p)
{
    static const enum notice_level levels[] = {
        [PLATFORM_LACK] = NOTICE_OK,
        [PLATFORM_AMISS] = NOTICE_WARNING,
        [PLATFORM_FAULT] = NOTICE_ERROR,
    };
    struct platform_warnings warnings;
    char line[PLATFORM_WARNING_TEXT + 64];

    platform_warn(p, &warnings);
    enum platform_grade grade = platform_warn_line(&warnings, line, sizeof(line));
    for (size_t i = 0; i < warnings.len; i++)
        verb_complain("%s", warnings.lines[i]);
    if (platform_notice(file, levels[grade], line) == ERR_OK)
        return EX_OK;
    verb_complain("%s: %s", file, strerror(errno));
    return EX_CANTCREAT;
}

static int probe_main(const struct arg_value *values)
{
    static struct platform platform; /* too large for a stack */
    char *text = NULL;

    platform_probe(&platform);
    if (values[NOTICE].given)
        return notice_main(values[NOTICE].text, &platform);
    int result =
        values[JSON].given ? platform_json(&platform, &text) : platform_text(&platform, &text);
    if (result != ERR_OK) {
        verb_complain("%s", err_text(result));
        return EX_OSERR;
    }
    return verb_print(text, values[JSON].given);
}

const struct verb verb_probe = {
    .name = "probe",
    .summary = "ask and try what processor, kernel, cards and board offer",
    .text = "Shows the processor's crypto instructions, whether the kernel takes TLS keys\n"
            "(tried with a connection on loopback), which io_uring features there are, what each\n"
            "network card offloads and how its queues are set, memory, accelerators, TPM,\n"
            "watchdogs, disks and their health, and the clock. It changes nothing.\n"
            "\n"
            "  postern-platform probe\n"
            "  postern-platform probe --json | jq .io_uring.usable\n"
            "  postern-platform probe --json | jq -r '.warnings[]'\n",
    .rows = rows,
    .rows_len = sizeof(rows) / sizeof(rows[0]),
    .main = probe_main,
};
