/* SPDX-License-Identifier: Apache-2.0 */
/* What cmocka needs to be included before it, in one place. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
