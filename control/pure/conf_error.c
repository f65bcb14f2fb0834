/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_priv.h"

#include <stdarg.h>
#include <stdio.h>

static const char more_text[] = "(further errors are not shown)\n";

/* Appends as much as there is room for; false where something was cut. */
static bool append(struct conf_errors *errors, size_t room, const char *format, va_list args)
    __attribute__((format(printf, 3, 0)));
static bool append(struct conf_errors *errors, size_t room, const char *format, va_list args)
{
    int n = vsnprintf(errors->text + errors->len, room - errors->len, format, args);

    if (n < 0 || (size_t)n >= room - errors->len)
        return false;
    errors->len += (size_t)n;
    return true;
}

static bool append_format(struct conf_errors *errors, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool append_format(struct conf_errors *errors, size_t room, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bool whole = append(errors, room, format, args);
    va_end(args);
    return whole;
}

static void add(struct conf_errors *errors, const char *file, unsigned line, const char *path,
                const char *format, va_list args) __attribute__((format(printf, 5, 0)));
static void add(struct conf_errors *errors, const char *file, unsigned line, const char *path,
                const char *format, va_list args)
{
    const size_t room = sizeof(errors->text) - sizeof(more_text);
    size_t start = errors->len;

    errors->count++;
    if (errors->len >= room)
        return;
    bool whole = append_format(errors, room, "%s:", file) &&
                 (line == 0 || append_format(errors, room, "%u:", line)) &&
                 (!path[0] || append_format(errors, room, " %s:", path)) &&
                 append_format(errors, room, " ") && append(errors, room, format, args) &&
                 append_format(errors, room, "\n");
    if (whole)
        return;
    memcpy(errors->text + start, more_text, sizeof(more_text));
    errors->len = room; /* no line comes after that one */
}

void conf_errors_add(struct conf_errors *errors, const char *file, unsigned line, const char *path,
                     const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(errors, file, line, path, format, args);
    va_end(args);
}

void conf_complain(struct conf_reader *r, const config_setting_t *at, const char *path,
                   const char *format, ...)
{
    va_list args;

    va_start(args, format);
    add(r->errors, r->file, at ? config_setting_source_line(at) : 0, path, format, args);
    va_end(args);
}

const char *conf_path_key(const char *parent, const char *key, char out[CONF_PATH_TEXT])
{
    snprintf(out, CONF_PATH_TEXT, "%s%s%s", parent, parent[0] ? "." : "", key);
    return out;
}

const char *conf_path_index(const char *parent, size_t index, char out[CONF_PATH_TEXT])
{
    snprintf(out, CONF_PATH_TEXT, "%s[%zu]", parent, index);
    return out;
}

static void found_string(const char *value, char out[CONF_FOUND_TEXT])
{
    size_t len = 0;

    out[len++] = '"';
    for (; *value && len < CONF_FOUND_TEXT - 16; value++) {
        unsigned char c = (unsigned char)*value;
        if (c == '"' || c == '\\' || c < ' ' || c == 0x7f)
            len += (size_t)snprintf(out + len, 5, "\\x%02x", c);
        else
            out[len++] = (char)c;
    }
    snprintf(out + len, CONF_FOUND_TEXT - len, "%s", *value ? "...\"" : "\"");
}

const char *conf_found(const config_setting_t *setting, char out[CONF_FOUND_TEXT])
{
    const char *text = NULL;

    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(out, CONF_FOUND_TEXT, "%lld", config_setting_get_int64(setting));
        return out;
    case CONFIG_TYPE_FLOAT:
        snprintf(out, CONF_FOUND_TEXT, "%g", config_setting_get_float(setting));
        return out;
    case CONFIG_TYPE_STRING:
        text = config_setting_get_string(setting);
        found_string(text ? text : "", out);
        return out;
    case CONFIG_TYPE_BOOL:
        text = config_setting_get_bool(setting) ? "true" : "false";
        break;
    case CONFIG_TYPE_GROUP:
        text = "a group";
        break;
    default:
        snprintf(out, CONF_FOUND_TEXT, "a list of %d elements", config_setting_length(setting));
        return out;
    }
    snprintf(out, CONF_FOUND_TEXT, "%s", text);
    return out;
}
