/* SPDX-License-Identifier: Apache-2.0 */
#include "conf_priv.h"

#include <string.h>

struct conf_place conf_place_of(struct conf_reader *r, const config_setting_t *root,
                                const char *list, size_t index)
{
    struct conf_place p = {.r = r};
    const config_setting_t *all = config_setting_get_member(root, list);

    p.setting = all ? config_setting_get_elem(all, (unsigned)index) : NULL;
    conf_path_index(list, index, p.path);
    return p;
}

/* The member that a dotted key names, or the nearest group around it that is there. */
static const config_setting_t *member_of(const config_setting_t *setting, const char *key,
                                         bool *ret_written)
{
    const char *dot = strchr(key, '.');
    char name[32];

    *ret_written = false;
    if (!setting || span_to_cstr(span_make(key, dot ? (size_t)(dot - key) : strlen(key)), name,
                                 sizeof(name)) != ERR_OK)
        return setting;
    const config_setting_t *member =
        config_setting_is_group(setting) ? config_setting_get_member(setting, name) : NULL;
    if (!member)
        return setting;
    if (dot)
        return member_of(member, dot + 1, ret_written);
    *ret_written = true;
    return member;
}

const config_setting_t *conf_written(const struct conf_place *p, const char *key)
{
    bool written;
    const config_setting_t *member = member_of(p->setting, key, &written);

    return written ? member : NULL;
}

void conf_refuse(const struct conf_place *p, const char *key, const char *found,
                 const char *allowed)
{
    char path[CONF_PATH_TEXT];
    bool written;

    conf_complain(p->r, member_of(p->setting, key, &written), conf_path_key(p->path, key, path),
                  "found %s, allowed %s", found, allowed);
}

void conf_refuse_unused(const struct conf_place *p, const char *key, const char *needed)
{
    if (conf_written(p, key))
        conf_refuse(p, key, "a setting that would have no effect", needed);
}
