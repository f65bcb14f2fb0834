/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the appliance's console shows, as plain text of 80 columns and 24 lines, for a screen and for a
 * serial line: made from a state, so that who shows it can see whether anything changed. Whatever comes
 * from outside (names, notices) gets '?' for what is not printable. Pure.
 */
#pragma once

#include "buf.h"

#include <stdbool.h>

enum {
    CONSOLE_COLUMNS = 79, /* the last one is left free: some terminals wrap there */
    CONSOLE_LINES = 23,   /* and one for what is typed */
    CONSOLE_ADDRESSES_MAX = 32,
    CONSOLE_LISTENERS_MAX = 64,
    CONSOLE_NOTICES_MAX = 64,
};

enum console_health { CONSOLE_STARTING, CONSOLE_READY, CONSOLE_DEGRADED };

struct console_address {
    char interface[16];
    char text[64]; /* "192.0.2.25/24" */
};

struct console_listener {
    char name[64], address[64];
};

struct console_notice {
    char level[8]; /* "error" */
    char text[512];
};

struct console_state {
    char version[64], hostname[256];
    enum console_health health;
    char slots[160]; /* what runs and what else there is; "" unknown */
    struct console_address addresses[CONSOLE_ADDRESSES_MAX];
    size_t addresses_len;
    struct console_listener listeners[CONSOLE_LISTENERS_MAX];
    size_t listeners_len;
    struct console_notice notices[CONSOLE_NOTICES_MAX]; /* worst first */
    size_t notices_len;
    bool installable; /* booted from something that may install elsewhere */
    bool has_password;
};

/* At most CONSOLE_LINES lines, each with "\r\n". ERR_NOMEM. */
int console_screen_write(const struct console_state *s, struct buf *out) ERR_CHECK;
