/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a configuration from files: reads the text (bounded), parses it, reads the passwords that
 * it names, and tries every certificate, key and CA file the way that workers will load them. It is
 * what `posternd -n`, a reload and `posternctl config check` call, so that all of them refuse the
 * same. It runs before privileges and the file system are given up.
 */
#pragma once

#include "conf.h"

/* On failure *ret is NULL and errors says everything that was found (ERR_CONFIG, ERR_NOMEM). */
int conf_load(const char *file, struct conf **ret, struct conf_errors *errors) ERR_CHECK;
