/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The costs that were measured, kept in a file of the state directory for the next start: they hold
 * for this kernel, what its TLS can do, processor, program, TLS library and
 * what seals our own records. A file of another machine or version, one
 * that is damaged, or that somebody else owns, is as good as none, and is written anew.
 */
#pragma once

#include "record_choice.h"

enum { RECORD_CACHE_KEY_TEXT = 640 };

/* What the costs depend on, a line each: also what kernel TLS can do, for a module may be there at
 * one start and not at another. */
void record_cache_key(const struct platform_ktls *ktls, const struct platform_fixes *fixes,
                      char out[RECORD_CACHE_KEY_TEXT]);
/* False where there is nothing that can be used. */
bool record_cache_read(const char *directory, const char *key, struct record_cost *ret);
/* Whole or not at all. ERR_SYSTEM, with errno, where it can't be kept: then the next start measures
 * again. */
int record_cache_write(const char *directory, const char *key,
                       const struct record_cost *cost) ERR_CHECK;
