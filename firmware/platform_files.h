/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's small files (sysfs, procfs), read and written below a root folder: an open descriptor
 * of "/", or of a test's own tree. Paths are relative to it.
 */
#pragma once

#include "errcode.h"
#include "span.h"

#include <dirent.h>

enum { PLATFORM_PATH_TEXT = 256, PLATFORM_FILE_MAX = 4096 };

/* The first bytes of a file; empty where it can't be read. */
struct span platform_file_head(int root, const char *path, char *buffer, size_t room);
/* Its first line without blanks around it, NUL-terminated; a tab becomes a blank, what else is not
 * printable "?". False, and "", where it can't be read. */
bool platform_file_line(int root, const char *path, char *out, size_t room);
/* Its first line as a decimal number. */
bool platform_file_number(int root, const char *path, uint64_t *ret);
/* The last part of what a link points to; false, and "", where it is none. */
bool platform_link_name(int root, const char *path, char *out, size_t room);
bool platform_file_exists(int root, const char *path);
/* NULL where there is none; to be closed by closedir. */
DIR *platform_folder_open(int root, const char *path);
/* The next name in it that does not begin with a dot, NULL at the end. */
const char *platform_folder_next(DIR *folder);
/* 0, or the errno of what failed. */
int platform_file_write(int root, const char *path, const char *text);
