/* SPDX-License-Identifier: Apache-2.0 */
/* What tune prints: a plan, what came of it, and what came of a revert. */
#pragma once

#include "tune.h"

/* A change and what came of it; result NULL: it was only planned. */
struct tune_done {
    struct tune_change change;
    bool tried;
    struct tune_result result;
};

struct tune_report {
    size_t len, cap;
    struct tune_done *changes;
    size_t notes_len;
    struct tune_note notes[TUNE_NOTES_MAX];
    bool dry, reverted;
};

int tune_report_add(struct tune_report *report, const struct tune_change *change,
                    const struct tune_result *result) ERR_CHECK;
void tune_report_notes(struct tune_report *report, const struct tune_plan *plan);
void tune_report_free(struct tune_report *report);

/* Whether that change was tried already. */
const struct tune_done *tune_report_find(const struct tune_report *report,
                                         const struct tune_change *change);

/* A new string each, that the caller frees. */
int tune_report_text(const struct tune_report *report, char **ret) ERR_CHECK;
int tune_report_json(const struct tune_report *report, char **ret) ERR_CHECK;
/* One line for the administrator; true where it is a warning. */
bool tune_report_notice(const struct tune_report *report, char *out, size_t room);
