/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_name.h"

#include <string.h>

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len > end_len && strcmp(text + len - end_len, end) == 0;
}

bool tls_name_fits(const char *wanted, const char *name)
{
    const char *dot = strchr(wanted, '.');

    if (wanted[0] == '.')
        return ends_with(name, wanted);
    if (name[0] == '*' && name[1] == '.')
        return dot && strcmp(dot, name + 1) == 0;
    return strcmp(wanted, name) == 0;
}

bool tls_name_verified(const struct tls_facts *tls, const struct conf_strings *wanted)
{
    if (!tls || tls->verify != TLS_VERIFY_OK)
        return false;
    for (const char *name = tls->cert_names; *name; name += strlen(name) + 1) {
        for (size_t i = 0; i < wanted->len; i++) {
            if (tls_name_fits(wanted->items[i], name))
                return true;
        }
    }
    return false;
}
