/* SPDX-License-Identifier: Apache-2.0 */
/* The plan as it grows, for the files that make parts of it. */
#pragma once

#include "tune.h"

struct tune_planning {
    const struct platform *platform;
    const struct tune_settings *settings;
    unsigned workers; /* at least 1 */
    struct tune_plan *plan;
    int result; /* of the first failure */
};

/* Nothing is added where from and to are the same, or the group is skipped. */
void tune_planning_add(struct tune_planning *g, enum tune_group group, enum tune_kind kind,
                       const char *target, const char *from, const char *to, const char *why);
void tune_planning_note(struct tune_planning *g, bool warns, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void tune_plan_nic(struct tune_planning *g, const struct platform_nic *nic);
