/* SPDX-License-Identifier: Apache-2.0 */
/* Whatever is sent to the console: what goes back to the terminal is printable, a machine without
 * the right password changes nothing and shows no key, and one without a password gives no shell.
 * The first byte says whether there is a password, and a recovery key. */
#include "fuzz.h"

#include "assertion.h"
#include "console_menu.h"

#include <string.h>

static const struct console_facts facts[] = {
    {.interfaces = "eno1\n", .routes = "a.example: mx\n", .disks = "sda\n", .installable = true},
    {.interfaces = "", .routes = "", .disks = "", .installable = true, .has_password = true},
    {.interfaces = "", .routes = "", .disks = "", .recovery_key = true},
    {.interfaces = "", .routes = "", .disks = "", .recovery_key = true, .has_password = true},
};

static void answer_check(const struct console_menu *m, const struct console_answer *answer,
                         const struct console_facts *f)
{
    bool looks = answer->act == CONSOLE_ACT_NONE || answer->act == CONSOLE_ACT_STATUS ||
                 answer->act == CONSOLE_ACT_DIAGNOSTICS;

    ASSERT(!f->has_password || looks);
    ASSERT(answer->act != CONSOLE_ACT_RECOVERY_KEY || f->recovery_key);
    ASSERT(answer->act != CONSOLE_ACT_SHELL);
    ASSERT(memchr(answer->says, '\0', sizeof(answer->says)));
    ASSERT(looks || m->step == (answer->act == CONSOLE_ACT_RECOVERY_KEY ? CONSOLE_STEP_WRITTEN_YES
                                                                        : CONSOLE_STEP_PAUSE));
    ASSERT(console_menu_prompt(m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct console_line line = {.len = 0};
    struct console_menu menu = {.step = CONSOLE_STEP_MENU};
    struct console_answer answer;
    char echo[CONSOLE_ECHO];

    if (size == 0)
        return 0;
    const struct console_facts *f = &facts[data[0] & 3];
    for (size_t i = 1; i < size; i++) {
        enum console_typed typed =
            console_line_feed(&line, data[i], console_menu_secret(&menu), echo);
        for (const char *p = echo; *p; p++)
            ASSERT((*p >= ' ' && *p <= '~') || *p == '\r' || *p == '\n' || *p == '\b');
        ASSERT(line.len < sizeof(line.text) && strlen(line.text) == line.len);
        if (typed == CONSOLE_TYPED_CANCEL) {
            console_menu_cancel(&menu);
            console_line_clear(&line);
        } else if (typed == CONSOLE_TYPED_LINE) {
            console_menu_feed(&menu, line.text, f, &answer);
            if (answer.act == CONSOLE_ACT_VERIFY)
                console_menu_verified(&menu, false, f, &answer);
            answer_check(&menu, &answer, f);
            console_line_clear(&line);
        }
    }
    return 0;
}
