/* SPDX-License-Identifier: Apache-2.0 */
/* Are the kernel's answers about interfaces read right, recorded, made, cut and damaged ones? */
#include "../cmocka_all.h"

#include "platform.h"

#include <libmnl/libmnl.h>
#include <linux/ethtool_netlink.h>
#include <stdio.h>
#include <stdlib.h>

enum { ANSWER_MAX = 8192 };

/* A block of just that size, so that a sanitizer sees a read beyond it. */
static int decode(const uint8_t *bytes, size_t len, struct platform_nic *ret)
{
    uint8_t *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    int result = platform_nic_decode(span_make(copy, len), ret);
    free(copy);
    return result;
}

static size_t recorded(uint8_t answer[ANSWER_MAX])
{
    FILE *file = fopen(getenv("FEATURES"), "rb");

    assert_non_null(file);
    size_t len = fread(answer, 1, ANSWER_MAX, file);
    fclose(file);
    assert_in_range(len, 1000, ANSWER_MAX - 1);
    return len;
}

/* Of a virtio_net interface under Linux 6.18, which knows no TLS. */
static void a_recorded_answer_is_read(void **state)
{
    uint8_t answer[ANSWER_MAX];
    struct platform_nic nic;

    assert_int_equal(decode(answer, recorded(answer), &nic), ERR_OK);
    assert_string_equal(nic.name, "eth0");
    for (int i = 0; i < NIC_FEATURE_COUNT; i++)
        assert_false(nic.can[i] || nic.on[i]);
}

static void put_bit(struct nlmsghdr *m, const char *name, bool value)
{
    struct nlattr *bit = mnl_attr_nest_start(m, ETHTOOL_A_BITSET_BITS_BIT);

    mnl_attr_put_strz(m, ETHTOOL_A_BITSET_BIT_NAME, name);
    if (value)
        mnl_attr_put(m, ETHTOOL_A_BITSET_BIT_VALUE, 0, NULL);
    mnl_attr_nest_end(m, bit);
}

/* As a card says it that has TLS in both directions, with sending switched on. */
static size_t made(uint8_t buffer[ANSWER_MAX])
{
    struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
    struct nlattr *nest = mnl_attr_nest_start(m, ETHTOOL_A_FEATURES_HEADER);

    mnl_attr_put_u32(m, ETHTOOL_A_HEADER_DEV_INDEX, 7);
    mnl_attr_put_strz(m, ETHTOOL_A_HEADER_DEV_NAME, "enp1s0f0np0");
    mnl_attr_nest_end(m, nest);
    nest = mnl_attr_nest_start(m, ETHTOOL_A_FEATURES_HW);
    struct nlattr *bits = mnl_attr_nest_start(m, ETHTOOL_A_BITSET_BITS);
    put_bit(m, "tx-scatter-gather", true);
    put_bit(m, "tls-hw-tx-offload", true);
    put_bit(m, "tls-hw-rx-offload", true);
    put_bit(m, "tls-hw-record", false);
    mnl_attr_nest_end(m, bits);
    mnl_attr_nest_end(m, nest);
    nest = mnl_attr_nest_start(m, ETHTOOL_A_FEATURES_ACTIVE);
    mnl_attr_put(m, ETHTOOL_A_BITSET_NOMASK, 0, NULL);
    bits = mnl_attr_nest_start(m, ETHTOOL_A_BITSET_BITS);
    put_bit(m, "tls-hw-tx-offload", false); /* listed is set */
    mnl_attr_nest_end(m, bits);
    mnl_attr_nest_end(m, nest);
    size_t len = m->nlmsg_len - MNL_NLMSG_HDRLEN;
    memmove(buffer, buffer + MNL_NLMSG_HDRLEN, len);
    return len;
}

static void a_card_with_tls_is_read(void **state)
{
    uint8_t answer[ANSWER_MAX];
    struct platform_nic nic;

    assert_int_equal(decode(answer, made(answer), &nic), ERR_OK);
    assert_string_equal(nic.name, "enp1s0f0np0");
    assert_true(nic.can[NIC_TLS_TX] && nic.can[NIC_TLS_RX] && !nic.can[NIC_TLS_RECORD]);
    assert_true(nic.on[NIC_TLS_TX] && !nic.on[NIC_TLS_RX] && !nic.on[NIC_TLS_RECORD]);
}

static void cut_answers_are_refused(void **state)
{
    uint8_t answer[ANSWER_MAX];
    size_t len = made(answer), wholes = 0;
    struct platform_nic nic;

    for (size_t cut = 0; cut < len; cut++)
        wholes += decode(answer, cut, &nic) == ERR_OK;
    /* Only after the header and after each bitset is it whole attributes with a name. */
    assert_int_equal(wholes, 2);
}

static void damaged_answers_do_no_harm(void **state)
{
    uint8_t answer[ANSWER_MAX];
    size_t len = made(answer);

    for (size_t i = 0; i < len; i++) {
        const uint8_t was = answer[i];
        for (int value = 0; value < 256; value++) {
            struct platform_nic nic;
            answer[i] = (uint8_t)value;
            int result = decode(answer, len, &nic);
            assert_true(result == ERR_OK || result == ERR_SYNTAX);
            assert_true(memchr(nic.name, '\0', sizeof(nic.name)) != NULL);
        }
        answer[i] = was;
    }
}

static void features_have_names(void **state)
{
    assert_string_equal(platform_nic_feature(NIC_TLS_TX), "tls-hw-tx-offload");
    assert_string_equal(platform_nic_feature(NIC_TLS_RX), "tls-hw-rx-offload");
    assert_string_equal(platform_nic_feature(NIC_TLS_RECORD), "tls-hw-record");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_recorded_answer_is_read), cmocka_unit_test(a_card_with_tls_is_read),
        cmocka_unit_test(cut_answers_are_refused),   cmocka_unit_test(damaged_answers_do_no_harm),
        cmocka_unit_test(features_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
