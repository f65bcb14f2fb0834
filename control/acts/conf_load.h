/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a configuration from files: reads the text (bounded), parses it, reads the passwords that
 * it names, and tries every certificate, key and CA file the way that workers will load them. It is a part
 * of what `posternd -n`, a reload and `posternctl config check` call (plan.h). It runs before privileges and the file system are given up.
 */
#pragma once

#include "conf.h"

#include <sys/types.h>

/* In two steps, so that the supervisor can keep the accepted text for workers that it starts later.
 * NULL on failure; the caller wipes and frees it. */
char *conf_load_read(const char *file, mode_t *ret_mode, struct conf_errors *errors);
/* mode: the file's, because passwords in it demand that others can't read it. On failure *ret is
 * NULL and errors says everything that was found (ERR_CONFIG, ERR_NOMEM). */
int conf_load_text(const char *text, const char *file, mode_t mode, struct conf **ret,
                   struct conf_errors *errors) ERR_CHECK;
