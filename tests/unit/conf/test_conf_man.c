/* SPDX-License-Identifier: Apache-2.0 */
/* Does the man page say everything that the table knows, and do its examples hold? */
#include "../cmocka_all.h"

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

static void every_key_is_described(void **state)
{
    struct buf page;

    buf_init(&page, 0);
    assert_int_equal(conf_write_man(&page), ERR_OK);
    assert_int_equal(buf_append(&page, "", 1), ERR_OK);
    for (size_t i = 0; i < conf_rows_len; i++) {
        char line[64];
        assert_true(snprintf(line, sizeof(line), "\n.It Ic %s\n", conf_rows[i].key) <
                    (int)sizeof(line));
        if (!strstr((const char *)page.data, line))
            fail_msg("%s is not in the man page", conf_rows[i].key);
    }
    buf_release(&page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_parse),
        cmocka_unit_test(every_key_is_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
