/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_notice.h"
#include "platform_verb.h"
#include "tune_show.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

/* Queues first, then what depends on them; a third time finds nothing, unless a card was slow. */
enum { PASSES_MAX = 4 };

enum { DRY_RUN, REVERT, JSON, WORKERS, SKIP, TLS_RX, BUSY_POLL, STATE_DIR, NOTICE };

static const struct arg_row rows[] = {
    [DRY_RUN] = {"--dry-run", ARG_FLAG, NULL, 0, 0, 0, "show the plan, change nothing"},
    [REVERT] = {"--revert", ARG_FLAG, NULL, 0, 0, 0, "bring every old value back"},
    [JSON] = {"--json", ARG_FLAG, NULL, 0, 0, 0, "one JSON object in place of text"},
    [WORKERS] = {"--workers", ARG_NUMBER, "N", 1, PLATFORM_CPUS_MAX, 0,
                 "as gateway.workers; without it one a processor"},
    [SKIP] = {"--skip", ARG_TEXT, "GROUP,...", 0, 0, 0, "leave these alone"},
    [TLS_RX] = {"--tls-rx", ARG_FLAG, NULL, 0, 0, 0, "let cards also open TLS records"},
    [BUSY_POLL] = {"--busy-poll", ARG_NUMBER, "USEC", 1, 1000, 0,
                   "ask cards for so long instead of waiting"},
    [STATE_DIR] = {"--state-dir", ARG_TEXT, "DIR", 0, 0, 0,
                   "keeps old values, /run/postern-platform"},
    [NOTICE] = {"--notice", ARG_TEXT, "FILE", 0, 0, 0, "one line for the administrator"},
};

struct tuning {
    int root;
    struct tune_settings settings;
    struct tune_kernel *kernel;
    struct tune_io io;
    struct tune_record record;
    struct tune_report report;
};

static struct platform platform; /* too large for a stack */

static int settings_read(const struct arg_value *values, struct tune_settings *ret)
{
    struct span bad;

    *ret = (struct tune_settings){
        .workers = (unsigned)values[WORKERS].number,
        .tls_rx = values[TLS_RX].given,
        .busy_poll_us = (unsigned)values[BUSY_POLL].number,
    };
    if (!values[SKIP].given || tune_skip_decode(values[SKIP].text, ret, &bad) == ERR_OK)
        return EX_OK;
    fprintf(stderr, "postern-platform: --skip knows no \"%.*s\"; it knows:", (int)bad.len, bad.ptr);
    for (int g = 0; g < TUNE_GROUP_COUNT; g++)
        fprintf(stderr, " %s", tune_group_name((enum tune_group)g));
    fputc('\n', stderr);
    return EX_USAGE;
}

/* The administrator's line; a plan is nobody's news. */
static void notice_write(const struct tuning *t, const char *file, enum notice_level level,
                         const char *text)
{
    if (!t->report.dry && platform_notice(file, level, text) != ERR_OK)
        verb_complain("%s: %s", file, strerror(errno));
}

/* Without the record nothing is changed. */
static int record_trouble(const struct tuning *t, int result, const char *folder,
                          const char *notice)
{
    char why[300], line[360];

    if (result == ERR_STATE) { /* whose notice it is */
        verb_complain("another postern-platform tunes this machine now");
        return EX_TEMPFAIL;
    }
    if (result == ERR_SYNTAX)
        snprintf(why, sizeof(why),
                 "%s/tune.state can't be read: what it had to bring back is not known. Reboot, "
                 "which undoes all of it, or remove the file",
                 folder);
    else
        snprintf(why, sizeof(why), "%s: %s", folder,
                 result == ERR_SYSTEM ? strerror(errno) : err_text(result));
    verb_complain("%s", why);
    snprintf(line, sizeof(line), "the machine is not tuned: %s", why);
    notice_write(t, notice, NOTICE_ERROR, line);
    return EX_CANTCREAT;
}

/* --- tune --------------------------------------------------------------------------------- */

static int changes_make(struct tuning *t, const struct tune_plan *plan, bool *ret_some)
{
    *ret_some = false;
    for (size_t i = 0; i < plan->len; i++) {
        const struct tune_change *change = &plan->changes[i];
        struct tune_result result;
        if (tune_report_find(&t->report, change))
            continue; /* it was tried, and is otherwise still */
        int failed = tune_apply(change, &t->io, &t->record, &result);
        if (failed == ERR_OK)
            failed = tune_report_add(&t->report, change, &result);
        if (failed != ERR_OK)
            return failed;
        *ret_some = true;
        /* A card that keeps its queues is tuned with those. */
        if (change->group == TUNE_QUEUES && result.outcome != TUNE_DONE)
            t->settings.skip[TUNE_QUEUES] = true;
    }
    return ERR_OK;
}

static int plan_show(struct tuning *t, const struct tune_plan *plan)
{
    int result = ERR_OK;

    for (size_t i = 0; i < plan->len && result == ERR_OK; i++)
        result = tune_report_add(&t->report, &plan->changes[i], NULL);
    return result;
}

static int tune(struct tuning *t)
{
    bool again = true;
    int result = ERR_OK;

    for (int pass = 0; pass < PASSES_MAX && again && result == ERR_OK; pass++) {
        struct tune_plan plan;
        again = false;
        platform_probe_settings(&platform);
        result = tune_plan(&platform, &t->settings, &plan);
        if (result == ERR_OK)
            result = t->report.dry ? plan_show(t, &plan) : changes_make(t, &plan, &again);
        tune_report_notes(&t->report, &plan);
        tune_plan_free(&plan);
    }
    return result;
}

/* --- revert ------------------------------------------------------------------------------- */

static int revert(struct tuning *t)
{
    static const char why[] = "as it was before the first tune:";
    bool all = true;

    for (size_t i = t->record.len; i > 0; i--) {
        const struct tune_old *old = &t->record.olds[i - 1];
        struct tune_change change = {.kind = old->kind, .why = why};
        struct tune_result result = {0};
        memcpy(change.target, old->target, sizeof(change.target));
        memcpy(change.to, old->value, sizeof(change.to));
        if (t->io.read(t->io.user, old->kind, old->target, change.from, sizeof(change.from)) != 0)
            change.from[0] = '\0';
        if (!t->report.dry)
            tune_restore(old, &t->io, &result);
        all = all && result.outcome != TUNE_REFUSED && result.outcome != TUNE_OTHER;
        int failed = tune_report_add(&t->report, &change, t->report.dry ? NULL : &result);
        if (failed != ERR_OK)
            return failed;
    }
    /* What was refused can be tried again. */
    return t->report.dry || !all ? ERR_OK : tune_record_clear(&t->record);
}

/* --- the verb ----------------------------------------------------------------------------- */

static int report_print(const struct tuning *t, bool json)
{
    char *text;
    int result = json ? tune_report_json(&t->report, &text) : tune_report_text(&t->report, &text);

    if (result != ERR_OK) {
        verb_complain("%s", err_text(result));
        return EX_OSERR;
    }
    return verb_print(text, json);
}

/* failure: what ended it before its end, NULL where it came there. */
static void outcome_tell(const struct tuning *t, const char *failure, const char *notice)
{
    char line[300];
    bool warns = tune_report_notice(&t->report, line, sizeof(line));

    if (failure) {
        verb_complain("%s: %s", t->report.reverted ? "reverting" : "tuning", failure);
        snprintf(line, sizeof(line), "the machine is not wholly %s: %s",
                 t->report.reverted ? "reverted" : "tuned", failure);
    }
    notice_write(t, notice, failure ? NOTICE_ERROR : warns ? NOTICE_WARNING : NOTICE_OK, line);
}

static int tune_main(const struct arg_value *values)
{
    const char *folder = values[STATE_DIR].given ? values[STATE_DIR].text : "/run/postern-platform";
    struct tuning t = {.root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC),
                       .record = {.fd = -1},
                       .report = {.dry = values[DRY_RUN].given, .reverted = values[REVERT].given}};
    int result = ERR_OK, status = settings_read(values, &t.settings);

    if (status != EX_OK)
        goto out;
    /* A plan can be looked at by everybody; what a revert would do, only with the record. */
    if (!t.report.dry || values[REVERT].given)
        result = tune_record_open(folder, &t.record);
    if (result != ERR_OK) {
        status = record_trouble(&t, result, folder, values[NOTICE].text);
        goto out;
    }
    result = t.root >= 0 ? tune_kernel_open(t.root, &t.kernel, &t.io) : ERR_SYSTEM;
    if (result == ERR_OK)
        result = values[REVERT].given ? revert(&t) : tune(&t);
    status = result == ERR_OK ? EX_OK : EX_OSERR;
    outcome_tell(&t,
                 result == ERR_OK       ? NULL
                 : result == ERR_SYSTEM ? strerror(errno)
                                        : err_text(result),
                 values[NOTICE].text);
    /* What was done up to a failure is told as well. */
    if (t.report.len > 0 || result == ERR_OK) {
        int printed = report_print(&t, values[JSON].given);
        status = status == EX_OK ? printed : status;
    }
out:
    tune_report_free(&t.report);
    tune_record_close(&t.record);
    tune_kernel_close(t.kernel);
    if (t.root >= 0)
        close(t.root);
    return status;
}

const struct verb verb_tune = {
    .name = "tune",
    .summary = "set network cards and kernel up for the gateway; --dry-run, --revert",
    .text =
        "Gives each card one queue a worker, larger rings, TLS offload where the card and the\n"
        "kernel have it, interrupts and steering on the workers' processors, and raises limits\n"
        "of TCP. Each change is told with its reason; what the kernel refuses is told of, and\n"
        "the others are made. Old values are recorded before, so that --revert brings them\n"
        "back; a reboot does as well. Cards that it does not know stay as they are.\n"
        "\n"
        "  postern-platform tune --dry-run        what would change, and why\n"
        "  postern-platform tune                  changes it\n"
        "  postern-platform tune --skip tls,irq   leaves TLS offload and interrupts alone\n"
        "  postern-platform tune --revert         as it was before\n"
        "\n"
        "Groups for --skip:\n"
#define TUNE_GROUP(name, text, what) "  " text ": " what "\n"
#include "tune_group.def"
#undef TUNE_GROUP
    ,
    .rows = rows,
    .rows_len = sizeof(rows) / sizeof(rows[0]),
    .main = tune_main,
};
