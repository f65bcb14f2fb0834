/* SPDX-License-Identifier: Apache-2.0 */
#include "admin_password.h"

#include "settings.h"

#include <crypt.h>
#include <stdlib.h>
#include <string.h>

bool admin_password_is_set(const char *root)
{
    static struct conf_errors errors;
    struct appliance *a;
    bool set = true;

    if (settings_appliance_read(root, &a, &errors) == ERR_OK) {
        set = a->admin_password != NULL;
        appliance_free(a);
    }
    return set;
}

bool admin_password_right(const char *root, const char *password)
{
    static struct conf_errors errors;
    struct crypt_data *data = calloc(1, sizeof(*data));
    struct appliance *a = NULL;
    const char *hash = NULL;
    bool right = false;

    if (data && settings_appliance_read(root, &a, &errors) == ERR_OK && a->admin_password)
        hash = crypt_r(password, a->admin_password, data);
    /* Of one length for one method: what differs is where the hashes do. */
    if (hash && strlen(hash) == strlen(a->admin_password)) {
        unsigned char differs = 0;
        for (size_t i = 0; hash[i]; i++)
            differs |= (unsigned char)(hash[i] ^ a->admin_password[i]);
        right = differs == 0;
    }
    appliance_free(a);
    if (data)
        explicit_bzero(data, sizeof(*data));
    free(data);
    return right;
}
