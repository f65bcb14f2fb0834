/* SPDX-License-Identifier: Apache-2.0 */
/* Is an answer that came too late taken for that to the next question? */
#include "../cmocka_all.h"

#include "platform_netlink.h"

#include <linux/genetlink.h>

static void late_answers_are_passed_over(void **state)
{
    struct netlink n;

    assert_true(netlink_open(&n));
    for (int i = 0; i < 2; i++) {
        struct nlmsghdr *asked = netlink_begin(&n, GENL_ID_CTRL, NLM_F_ACK, CTRL_CMD_GETFAMILY, 1);
        mnl_attr_put_strz(asked, CTRL_ATTR_FAMILY_NAME, i ? "no such family" : "nlctrl");
        /* Nobody waits for its answer. */
        assert_true(mnl_socket_sendto(n.socket, asked, asked->nlmsg_len) > 0);
    }
    assert_int_equal(netlink_family(&n, "nlctrl"), GENL_ID_CTRL);
    assert_string_equal(n.why, "");
    netlink_close(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(late_answers_are_passed_over)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
