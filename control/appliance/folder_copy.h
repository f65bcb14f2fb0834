/* SPDX-License-Identifier: Apache-2.0 */
/* Whole folders: copied with owners and modes, onto the disk; removed. Bounded in depth, number and
 * bytes, for some are an administrator's to fill. */
#pragma once

#include "errcode.h"

/* to must not exist. Files, folders and symbolic links; anything else is left out. On failure
 * (ERR_IO, ERR_LIMIT) nothing of it is left. parent: a folder that both names are in. */
int folder_copy(int parent, const char *from, const char *to) ERR_CHECK;
/* ERR_IO; no error where there is none. */
int folder_remove(int parent, const char *name) ERR_CHECK;
