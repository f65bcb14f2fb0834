/* SPDX-License-Identifier: Apache-2.0 */
/* Are the kernel's answers about interfaces read right, recorded, made, cut and damaged ones? */
#include "../cmocka_all.h"

#include "platform_netlink.h"
#include "platform_nic.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/devlink.h>
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
    for (int i = NIC_TLS_TX; i <= NIC_TLS_RECORD; i++)
        assert_false(nic.can[i] || nic.on[i]);
    assert_true(nic.can[NIC_CSUM_TX] && nic.on[NIC_CSUM_TX]);
    assert_true(!nic.can[NIC_CSUM_RX] && nic.on[NIC_CSUM_RX]); /* on, and fixed */
    assert_false(nic.can[NIC_CSUM_TX4] || nic.on[NIC_CSUM_TX4]);
    assert_int_equal(nic.numa_node, -1);
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

/* --- the other messages ------------------------------------------------------------------- */

static void put_header(struct nlmsghdr *m, uint16_t type, const char *name)
{
    struct nlattr *nest = mnl_attr_nest_start(m, type);

    mnl_attr_put_u32(m, ETHTOOL_A_HEADER_DEV_INDEX, 2);
    mnl_attr_put_strz(m, ETHTOOL_A_HEADER_DEV_NAME, name);
    mnl_attr_nest_end(m, nest);
}

/* The message's attributes, without its header. */
static struct span attributes_of(const struct nlmsghdr *m)
{
    return span_make((const char *)m + MNL_NLMSG_HDRLEN, m->nlmsg_len - MNL_NLMSG_HDRLEN);
}

static void numbers_are_read(void **state)
{
    uint8_t buffer[ANSWER_MAX];
    struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
    struct nic_numbers numbers;
    struct platform_nic nic = {0};

    put_header(m, ETHTOOL_A_CHANNELS_HEADER, "eth9");
    mnl_attr_put_u32(m, ETHTOOL_A_CHANNELS_OTHER_MAX, 1);
    mnl_attr_put_u32(m, ETHTOOL_A_CHANNELS_COMBINED_MAX, 63);
    mnl_attr_put_u32(m, ETHTOOL_A_CHANNELS_OTHER_COUNT, 1);
    mnl_attr_put_u32(m, ETHTOOL_A_CHANNELS_COMBINED_COUNT, 8);
    mnl_attr_put_u32(m, 300, 7); /* of a kernel to come */
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_OK);
    assert_string_equal(numbers.name, "eth9");
    platform_nic_channels_take(&numbers, &nic);
    assert_true(nic.channels[NIC_CHANNEL_COMBINED].now == 8 &&
                nic.channels[NIC_CHANNEL_COMBINED].max == 63);
    assert_true(nic.channels[NIC_CHANNEL_RX].max == 0 && nic.channels[NIC_CHANNEL_TX].max == 0);

    m = mnl_nlmsg_put_header(buffer);
    put_header(m, ETHTOOL_A_RINGS_HEADER, "eth9");
    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_RX_MAX, 8192);
    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_TX_MAX, 4096);
    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_RX, 1024);
    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_TX, 512);
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_OK);
    platform_nic_rings_take(&numbers, &nic);
    assert_true(nic.rings[NIC_RING_RX].now == 1024 && nic.rings[NIC_RING_RX].max == 8192);
    assert_true(nic.rings[NIC_RING_TX].now == 512 && nic.rings[NIC_RING_TX].max == 4096);

    m = mnl_nlmsg_put_header(buffer);
    put_header(m, ETHTOOL_A_LINKMODES_HEADER, "eth9");
    mnl_attr_put_u8(m, ETHTOOL_A_LINKMODES_AUTONEG, 1);
    mnl_attr_put_u32(m, ETHTOOL_A_LINKMODES_SPEED, 100000);
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_OK);
    assert_false(numbers.has[ETHTOOL_A_LINKMODES_AUTONEG]);
    platform_nic_speed_take(&numbers, &nic);
    assert_int_equal(nic.speed_mbps, 100000);
    numbers.value[ETHTOOL_A_LINKMODES_SPEED] = UINT32_MAX; /* without a link */
    nic.speed_mbps = 0;
    platform_nic_speed_take(&numbers, &nic);
    assert_int_equal(nic.speed_mbps, 0);
}

static void nameless_numbers_are_refused(void **state)
{
    uint8_t buffer[ANSWER_MAX];
    struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
    struct nic_numbers numbers;

    mnl_attr_put_u32(m, ETHTOOL_A_RINGS_RX, 1024);
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_SYNTAX);
    put_header(m, ETHTOOL_A_RINGS_HEADER, "eth9");
    assert_int_equal(platform_nic_numbers_decode(attributes_of(m), &numbers), ERR_OK);
    struct span whole = attributes_of(m);
    for (size_t cut = 9; cut < whole.len; cut++)
        assert_int_equal(platform_nic_numbers_decode(span_make(whole.ptr, cut), &numbers),
                         ERR_SYNTAX);
}

static void tables_are_judged(void **state)
{
    uint32_t table[128];

    for (size_t i = 0; i < 128; i++)
        table[i] = i % 8;
    assert_int_equal(platform_nic_rss_even(table, 128), 8);
    table[127] = 0;
    assert_int_equal(platform_nic_rss_even(table, 128), 0);
    memset(table, 0, sizeof(table));
    assert_int_equal(platform_nic_rss_even(table, 128), 1);
    table[3] = UINT32_MAX;
    assert_int_equal(platform_nic_rss_even(table, 128), 0);
    assert_int_equal(platform_nic_rss_even(table, 0), 0);
}

static void put_version(struct nlmsghdr *m, uint16_t type, const char *name, const char *value)
{
    struct nlattr *nest = mnl_attr_nest_start(m, type);

    mnl_attr_put_strz(m, DEVLINK_ATTR_INFO_VERSION_NAME, name);
    mnl_attr_put_strz(m, DEVLINK_ATTR_INFO_VERSION_VALUE, value);
    mnl_attr_nest_end(m, nest);
}

static void firmware_is_read(void **state)
{
    uint8_t buffer[ANSWER_MAX];
    struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
    struct platform_devlink devlink;
    char text[96], tiny[14];

    mnl_attr_put_strz(m, DEVLINK_ATTR_BUS_NAME, "pci");
    mnl_attr_put_strz(m, DEVLINK_ATTR_DEV_NAME, "0000:01:00.0");
    mnl_attr_put_strz(m, DEVLINK_ATTR_INFO_DRIVER_NAME, "mlx5_core");
    put_version(m, DEVLINK_ATTR_INFO_VERSION_FIXED, "fw.psid", "MT_0000000359");
    put_version(m, DEVLINK_ATTR_INFO_VERSION_RUNNING, "fw.version", "22.36.1010");
    put_version(m, DEVLINK_ATTR_INFO_VERSION_RUNNING, "fw.undi", "1.2\n\x01");
    put_version(m, DEVLINK_ATTR_INFO_VERSION_RUNNING, "fw", "22.36.1010");
    put_version(m, DEVLINK_ATTR_INFO_VERSION_STORED, "fw", "22.99.0000");
    assert_int_equal(platform_devlink_decode(attributes_of(m), &devlink), ERR_OK);
    assert_string_equal(devlink.device, "0000:01:00.0");
    assert_string_equal(devlink.driver, "mlx5_core");
    assert_int_equal(devlink.len, 3);
    assert_string_equal(devlink.running[1].value, "1.2??");
    platform_devlink_firmware(&devlink, text, sizeof(text));
    assert_string_equal(text, "fw 22.36.1010, fw.version 22.36.1010");
    platform_devlink_firmware(&devlink, tiny, sizeof(tiny));
    assert_string_equal(tiny, "fw 22.36.1010");
    for (int i = 0; i < 2 * DEVLINK_VERSIONS_MAX; i++)
        put_version(m, DEVLINK_ATTR_INFO_VERSION_RUNNING, "fw.mgmt", "1");
    assert_int_equal(platform_devlink_decode(attributes_of(m), &devlink), ERR_OK);
    assert_int_equal(devlink.len, DEVLINK_VERSIONS_MAX);

    m = mnl_nlmsg_put_header(buffer);
    mnl_attr_put_strz(m, DEVLINK_ATTR_BUS_NAME, "pci");
    assert_int_equal(platform_devlink_decode(attributes_of(m), &devlink), ERR_SYNTAX);
}

/* As the kernel refuses: the errno, the refused message capped or whole, then its words. */
static void refusals_are_read(void **state)
{
    static const char words[] = "requested channel count exceeds maximum";
    uint8_t bytes[256] = {0};
    struct nlmsgerr error = {.error = -EINVAL, .msg = {.nlmsg_len = 44}};
    struct nlattr attr = {.nla_len = sizeof(attr) + sizeof(words), .nla_type = NLMSGERR_ATTR_MSG};
    char text[96], cut_text[96];

    memcpy(bytes, &error, sizeof(error));
    size_t capped = sizeof(error);
    memcpy(bytes + capped, &attr, sizeof(attr));
    memcpy(bytes + capped + sizeof(attr), words, sizeof(words));
    size_t len = capped + MNL_ALIGN(attr.nla_len);
    const uint16_t flags = NLM_F_CAPPED | NLM_F_ACK_TLVS;
    assert_int_equal(netlink_why_decode(span_make(bytes, len), flags, text, sizeof(text)), ERR_OK);
    assert_string_equal(text, words);
    assert_int_equal(netlink_why_decode(span_make(bytes, len), NLM_F_CAPPED, text, sizeof(text)),
                     ERR_OK);
    assert_string_equal(text, "");
    assert_int_equal(netlink_why_decode(span_make(bytes, len - 4), flags, cut_text, 96),
                     ERR_SYNTAX);
    assert_int_equal(netlink_why_decode(span_make(bytes, 19), flags, cut_text, 96), ERR_SYNTAX);

    memmove(bytes + capped + 28, bytes + capped, len - capped); /* 44 - 16: the rest of it */
    assert_int_equal(netlink_why_decode(span_make(bytes, len + 28), NLM_F_ACK_TLVS, text, 96),
                     ERR_OK);
    assert_string_equal(text, words);
    error.msg.nlmsg_len = UINT32_MAX;
    memcpy(bytes, &error, sizeof(error));
    assert_int_equal(netlink_why_decode(span_make(bytes, len + 28), NLM_F_ACK_TLVS, text, 96),
                     ERR_SYNTAX);
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
        cmocka_unit_test(a_recorded_answer_is_read),
        cmocka_unit_test(a_card_with_tls_is_read),
        cmocka_unit_test(cut_answers_are_refused),
        cmocka_unit_test(damaged_answers_do_no_harm),
        cmocka_unit_test(features_have_names),
        cmocka_unit_test(numbers_are_read),
        cmocka_unit_test(nameless_numbers_are_refused),
        cmocka_unit_test(tables_are_judged),
        cmocka_unit_test(firmware_is_read),
        cmocka_unit_test(refusals_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
