/* SPDX-License-Identifier: Apache-2.0 */
/* Does the man page say everything that the table knows, and do its examples hold? */
#include "../cmocka_all.h"

#include "appliance.h"
#include "buf.h"
#include "conf_schema.h"

#include <stdio.h>

static void examples_parse(void **state)
{
    size_t count = 0;

    for (; conf_example(count); count++) {
        struct conf_errors errors;
        struct conf *conf;
        int result = conf_parse(conf_example(count), "/etc/postern/postern.conf", &conf, &errors);
        assert_string_equal(errors.text, "");
        assert_int_equal(result, ERR_OK);
        conf_free(conf);
    }
    assert_int_equal(count, 4);
}

static void examples_of_the_appliance_parse(void **state)
{
    size_t count = 0;

    for (; appliance_example(count); count++) {
        struct conf_errors errors;
        struct appliance *a;
        int result = appliance_parse(appliance_example(count), "appliance.conf", &a, &errors);
        assert_string_equal(errors.text, "");
        assert_int_equal(result, ERR_OK);
        appliance_free(a);
    }
    assert_int_equal(count, 2);
}

static void every_key_is_in(int (*write_man)(struct buf *out), const char *manual)
{
    struct buf page;

    buf_init(&page, 0);
    assert_int_equal(write_man(&page), ERR_OK);
    assert_int_equal(buf_append(&page, "", 1), ERR_OK);
    for (size_t i = 0; i < conf_rows_len; i++) {
        char line[64];
        if (strcmp(conf_group_manual(conf_rows[i].group), manual) != 0)
            continue;
        assert_true(snprintf(line, sizeof(line), "\n.It Ic %s\n", conf_rows[i].key) <
                    (int)sizeof(line));
        if (!strstr((const char *)page.data, line))
            fail_msg("%s is not in the man page", conf_rows[i].key);
    }
    buf_release(&page);
}

static void every_key_is_described(void **state)
{
    every_key_is_in(conf_write_man, "postern.conf(5)");
    every_key_is_in(appliance_write_man, "appliance.conf(5)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_parse),
        cmocka_unit_test(examples_of_the_appliance_parse),
        cmocka_unit_test(every_key_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
