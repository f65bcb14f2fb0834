/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notices: what a service of the appliance has to tell the administrator until it is no longer so.
 * Each is a file of one line, "ok: text", "warning: text" or "error: text", in
 * /run/postern-system/notices, named by whom it is from; the console shows all, worst first.
 * What is read there is bounded, and printable where it was not: some of it names what came from
 * outside, such as a file on a stick.
 */
#pragma once

#include "errcode.h"

#include <stddef.h>

#define SYSTEM_NOTICES "/run/postern-system/notices"

enum system_notice_level { SYSTEM_NOTICE_OK, SYSTEM_NOTICE_WARNING, SYSTEM_NOTICE_ERROR };

enum { SYSTEM_NOTICE_NAME = 64, SYSTEM_NOTICE_TEXT = 512, SYSTEM_NOTICES_MAX = 64 };

struct system_notice {
    enum system_notice_level level;
    char name[SYSTEM_NOTICE_NAME];
    char text[SYSTEM_NOTICE_TEXT];
};

const char *system_notice_level_text(enum system_notice_level level);
/* root: "" or a folder that stands for the machine. What is no printable ASCII in text becomes '?';
 * several lines become one. ERR_IO; errno says why. */
int system_notice_set(const char *root, const char *name, enum system_notice_level level,
                      const char *text) ERR_CHECK;
void system_notice_clear(const char *root, const char *name);
/* Worst first, then by name. Returns how many there are of room. A file that is no notice is an
 * error that says so. */
size_t system_notice_list(const char *root, struct system_notice *out, size_t room);
