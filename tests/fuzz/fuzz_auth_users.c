/* SPDX-License-Identifier: Apache-2.0 */
/* Any text is a file of users, of which each is found and reads the same once written, or is none.
 */
#include "fuzz.h"

#include "assertion.h"
#include "auth_users.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[128] = "", line[AUTH_LINE_MAX];
    struct auth_users users, again;
    struct arena arena;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    arena_init(&arena, 0);
    int err = auth_users_parse(text, &arena, &users, why, sizeof(why));
    ASSERT(err == ERR_OK || (err == ERR_SYNTAX && why[0] != '\0'));
    for (size_t i = 0; err == ERR_OK && i < users.len; i++) {
        const struct auth_user *user = &users.users[i];
        ASSERT(auth_users_find(&users, user->name) == user);
        auth_line_write(user->name, &user->record, line);
        ASSERT(auth_users_parse(line, &arena, &again, why, sizeof(why)) == ERR_OK);
        ASSERT(again.len == 1 && memcmp(&again.users[0], user, sizeof(*user)) == 0);
    }
    arena_free(&arena);
    free(text);
    return 0;
}
