/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The appliance's console, the acting part: what the machine is like for the screen, and what the menu
 * has it do. ctl_system_console.c has the terminal.
 */
#pragma once

#include "buf.h"
#include "console_menu.h"
#include "console_screen.h"

/* Looks at the machine: addresses and notices each time, the gateway and the slots now and then. */
void console_state_read(const char *root, struct console_state *ret);

/* For questions. The texts are held until the next call. */
void console_facts_read(const char *root, const struct console_state *state,
                        struct console_facts *ret);

/* Does what was asked, and appends what came of it, for people. VERIFY and SHELL are not for it. */
void console_do(const char *root, enum console_act what, const struct console_values *values,
                struct buf *out);
