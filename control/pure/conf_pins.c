/* SPDX-License-Identifier: Apache-2.0 */
/* Pin files: read by the table of settings, as the configuration itself, and written. */
#include "conf_priv.h"

#include "base64.h"
#include "moment.h"

#include <stdio.h>

int conf_pins_parse(const char *text, const char *file, struct arena *arena, struct conf_pins *ret,
                    struct conf_errors *errors)
{
    struct conf_reader r = {.file = file, .errors = errors, .arena = arena};

    *ret = (struct conf_pins){0};
    return conf_read(&r, text, CONF_PINS_MAX, CONF_GROUP_PIN_FILE, ret, NULL);
}

const char *conf_pin_text(const struct conf_hash *hash, char out[CONF_PIN_TEXT])
{
    memcpy(out, "sha256/", 7);
    base64_encode(span_make(hash->sha256, sizeof(hash->sha256)), out + 7);
    return out;
}

const char *conf_fingerprint_text(const struct conf_hash *hash, char out[CONF_FINGERPRINT_TEXT])
{
    for (size_t i = 0; i < sizeof(hash->sha256); i++)
        snprintf(out + 2 * i, 3, "%02x", hash->sha256[i]);
    return out;
}

static int pin_write(const char *key, const struct conf_pin *pin, struct buf *out)
{
    char spki[CONF_PIN_TEXT], certificate[CONF_FINGERPRINT_TEXT], not_after[MOMENT_TEXT];
    int err = buf_printf(out, "%s = {\n  name = ", key);

    if (!err)
        err = conf_string_write(pin->name, out);
    if (err)
        return err;
    return buf_printf(
        out, ";\n  spki = \"%s\";\n  certificate = \"%s\";\n  not_after = \"%s\";\n};\n",
        conf_pin_text(&pin->spki, spki), conf_fingerprint_text(&pin->certificate, certificate),
        moment_text(pin->not_after, not_after));
}

int conf_pins_write(const struct conf_pins *pins, struct buf *out)
{
    int err = buf_printf(
        out, "# The certificates of a partner; posternctl partner add writes this file anew. "
             "See postern.conf(5).\npartner = ");

    if (!err)
        err = conf_string_write(pins->partner, out);
    if (!err)
        err = buf_printf(out, ";\n");
    if (!err)
        err = pin_write("current", &pins->current, out);
    if (!err && pins->next.name)
        err = pin_write("next", &pins->next, out);
    return err;
}
