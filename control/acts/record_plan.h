/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record layer's part of a plan: probes this kernel, and where cost decides takes that from the
 * state directory or measures it. In the child that checks a configuration, before anything is
 * given up.
 */
#pragma once

#include "record_choice.h"

/* Where it measures that takes about a second, and RECORD_MEASURE_MS at most. ERR_CONFIG: why names the setting (RECORD_ERROR_TEXT is room enough). */
int record_plan(const struct conf_gateway *conf, struct record_choice *ret, char *why,
                size_t why_room) ERR_CHECK;
/* Whether that would refuse it; measures and writes nothing. *ret_known false: the kernel might
 * grant it to root, who may have it load a module. */
int record_plan_check(const struct conf_gateway *conf, bool *ret_known, char *why,
                      size_t why_room) ERR_CHECK;
