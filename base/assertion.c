/* SPDX-License-Identifier: Apache-2.0 */
#include "assertion.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *file, int line, const char *function, const char *what)
{
    log_flush();
    fprintf(stderr, "postern: assertion failed at %s:%d in %s: %s\n", file, line, function, what);
    abort();
}
