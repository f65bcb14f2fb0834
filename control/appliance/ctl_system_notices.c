/* SPDX-License-Identifier: Apache-2.0 */
/* posternctl system notices. */
#include "ctl_print.h"
#include "ctl_system.h"
#include "system_notice.h"

int ctl_system_notices(const struct ctl_system *sys, char **arguments)
{
    static struct system_notice notices[SYSTEM_NOTICES_MAX];
    size_t len = system_notice_list(sys->root, notices, SYSTEM_NOTICES_MAX);
    json_t *all = json_array();

    for (size_t i = 0; i < len; i++) {
        const struct system_notice *n = &notices[i];
        const char *level = system_notice_level_text(n->level);
        if (sys->json)
            json_array_append_new(all, json_pack("{s:s, s:s, s:s}", "name", n->name, "level", level,
                                                 "text", n->text));
        else
            printf("%s: %s\n", level, n->text);
    }
    if (sys->json)
        ctl_print_json(json_pack("{s:O}", "notices", all));
    json_decref(all);
    return 0;
}
