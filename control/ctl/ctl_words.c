/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include <string.h>

int ctl_words_match(const char *verb, int count, char **words)
{
    const char *rest = verb;
    int own = 0;

    for (; own < count && *rest; own++) {
        size_t len = strcspn(rest, " ");
        if (strlen(words[own]) != len || strncmp(rest, words[own], len) != 0)
            return 0;
        rest += len + (rest[len] == ' ');
    }
    return *rest ? 0 : own;
}
