/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Assertions check our own mistakes, stay compiled in, and never judge a peer's bytes.
 */
#pragma once

_Noreturn void assert_failed(const char *file, int line, const char *function, const char *what);

#define ASSERT(condition)                                                                          \
    ((condition) ? (void)0 : assert_failed(__FILE__, __LINE__, __func__, #condition))
