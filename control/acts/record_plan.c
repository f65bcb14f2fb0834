/* SPDX-License-Identifier: Apache-2.0 */
#include "record_plan.h"

#include "record_cache.h"
#include "record_measure.h"

#include <stdio.h>
#include <sys/utsname.h>
#include <unistd.h>

static void fixes_find(struct platform_fixes *ret)
{
    struct utsname name = {0};

    (void)uname(&name);
    platform_fixes_decode(name.release, name.version, ret);
}

int record_plan(const struct conf_gateway *conf, struct record_choice *ret, char *why,
                size_t why_room)
{
    char key[RECORD_CACHE_KEY_TEXT];
    struct platform_ktls ktls = {0};
    struct platform_fixes fixes;
    struct record_cost cost;
    bool measure, whole;
    int err;

    /* With uring nothing is asked: to ask may load a module. */
    if (conf->dataplane != CONF_DATAPLANE_URING)
        platform_ktls_probe(&ktls);
    fixes_find(&fixes);
    err = record_choose(conf, &ktls, &fixes, ret, &measure, why, why_room);
    if (err || !measure)
        return err;
    record_cache_key(&ktls, &fixes, key);
    if (!record_cache_read(conf->state_dir, key, &cost)) {
        if (record_measure(&ktls, &cost, &whole) != 0) {
            snprintf(ret->why, sizeof(ret->why), "user records: no relay could be measured");
            return 0;
        }
        /* Without a place to keep it the next start measures again. */
        if (whole)
            (void)!record_cache_write(conf->state_dir, key, &cost);
    }
    record_choose_by_cost(&cost, &fixes, ret);
    return 0;
}

int record_plan_check(const struct conf_gateway *conf, bool *ret_known, char *why, size_t why_room)
{
    struct platform_ktls ktls;
    struct record_choice choice;
    struct platform_fixes fixes;
    bool measure;

    *ret_known = true;
    if (conf->dataplane != CONF_DATAPLANE_KTLS) /* never refused, so that nothing is asked */
        return 0;
    platform_ktls_probe(&ktls);
    fixes_find(&fixes);
    *ret_known = ktls.ulp || geteuid() == 0 ||
                 (fixes.lacking > 0 && conf->kernel_fixes == CONF_KERNEL_FIXES_REQUIRE);
    return record_choose(conf, &ktls, &fixes, &choice, &measure, why, why_room);
}
