/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line for the administrator in a file, "warning: text", which is there until the next one: what
 * the appliance's console shows (postern-platform(1), --notice).
 */
#pragma once

#include "errcode.h"

enum notice_level { NOTICE_OK, NOTICE_WARNING, NOTICE_ERROR };

/* Replaces the file as a whole; makes the folders that it is in. file may be NULL: nothing is
 * written. ERR_SYSTEM with errno. */
int platform_notice(const char *file, enum notice_level level, const char *text) ERR_CHECK;
