/* SPDX-License-Identifier: Apache-2.0 */
/* Are settings read and written: files below a root, and a real interface by netlink and ioctl? The
 * interface is a veth pair in a network namespace of the test's own. */
#include "../cmocka_all.h"

#include "tree.h"
#include "tune.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <sched.h>
#include <sys/socket.h>

struct setup {
    struct tree tree;
    struct tune_kernel *kernel;
    struct tune_io io;
};

static void begin(struct setup *s)
{
    tree_make(&s->tree);
    assert_int_equal(tune_kernel_open(s->tree.root, &s->kernel, &s->io), ERR_OK);
}

static void end(struct setup *s)
{
    tune_kernel_close(s->kernel);
    tree_remove(&s->tree);
}

static void reads(struct setup *s, enum tune_kind kind, const char *target, const char *value)
{
    char text[TUNE_VALUE_TEXT];

    assert_int_equal(s->io.read(s->io.user, kind, target, text, sizeof(text)), 0);
    assert_string_equal(text, value);
}

static int fails(struct setup *s, enum tune_kind kind, const char *target)
{
    char text[TUNE_VALUE_TEXT];

    return s->io.read(s->io.user, kind, target, text, sizeof(text));
}

static int writes(struct setup *s, enum tune_kind kind, const char *target, const char *value)
{
    char why[100];

    return s->io.write(s->io.user, kind, target, value, why, sizeof(why));
}

static void files_are_read_and_written(void **state)
{
    struct setup s;

    begin(&s);
    tree_put(&s.tree, "proc/sys/net/core/somaxconn", "4096\n");
    tree_put(&s.tree, "proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n");
    tree_put(&s.tree, "sys/mask", "00000000,000000f1\n");
    tree_put(&s.tree, "sys/empty", "");
    tree_put(&s.tree, "sys/broken", "f,f\n");
    reads(&s, TUNE_KIND_FILE, "proc/sys/net/core/somaxconn", "4096");
    reads(&s, TUNE_KIND_FILE, "proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456");
    reads(&s, TUNE_KIND_MASK, "sys/mask", "0,4-7");
    assert_int_equal(writes(&s, TUNE_KIND_FILE, "proc/sys/net/core/somaxconn", "8192"), 0);
    reads(&s, TUNE_KIND_FILE, "proc/sys/net/core/somaxconn", "8192");
    tree_put(&s.tree, "sys/mask", "");
    assert_int_equal(writes(&s, TUNE_KIND_MASK, "sys/mask", "1,33"), 0);
    char raw[32] = "";
    int fd = openat(s.tree.root, "sys/mask", O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, raw, sizeof(raw) - 1) > 0);
    close(fd);
    assert_string_equal(raw, "2,00000002");
    tree_put(&s.tree, "sys/mask", "");
    assert_int_equal(writes(&s, TUNE_KIND_MASK, "sys/mask", "none"), 0);
    reads(&s, TUNE_KIND_MASK, "sys/mask", "none");
    assert_int_equal(fails(&s, TUNE_KIND_FILE, "sys/nowhere"), ENOENT);
    assert_int_equal(fails(&s, TUNE_KIND_FILE, "sys/empty"), ENODATA);
    assert_int_equal(fails(&s, TUNE_KIND_MASK, "sys/broken"), EBADMSG);
    assert_int_equal(writes(&s, TUNE_KIND_MASK, "sys/mask", "x"), EINVAL);
    assert_int_equal(writes(&s, TUNE_KIND_FILE, "sys/nowhere", "1"), ENOENT);
    end(&s);
}

static void put_link(struct nlmsghdr *m, const char *name)
{
    mnl_attr_put_strz(m, IFLA_IFNAME, name);
    mnl_attr_put_u32(m, IFLA_NUM_RX_QUEUES, 4);
    mnl_attr_put_u32(m, IFLA_NUM_TX_QUEUES, 4);
}

/* "one" and "two", of four queues. */
static bool veth_make(void)
{
    uint8_t buffer[1024];
    struct nlmsghdr *m = mnl_nlmsg_put_header(buffer);
    m->nlmsg_type = RTM_NEWLINK;
    m->nlmsg_flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK;
    mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
    put_link(m, "one");
    struct nlattr *info = mnl_attr_nest_start(m, IFLA_LINKINFO);
    mnl_attr_put_strz(m, IFLA_INFO_KIND, "veth");
    struct nlattr *data = mnl_attr_nest_start(m, IFLA_INFO_DATA);
    struct nlattr *peer = mnl_attr_nest_start(m, VETH_INFO_PEER);
    mnl_nlmsg_put_extra_header(m, sizeof(struct ifinfomsg));
    put_link(m, "two");
    mnl_attr_nest_end(m, peer);
    mnl_attr_nest_end(m, data);
    mnl_attr_nest_end(m, info);

    struct mnl_socket *socket = mnl_socket_open(NETLINK_ROUTE);
    bool made = socket && mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) == 0 &&
                mnl_socket_sendto(socket, m, m->nlmsg_len) > 0;
    ssize_t n = made ? mnl_socket_recvfrom(socket, buffer, sizeof(buffer)) : -1;
    made =
        n > 0 && mnl_cb_run(buffer, (size_t)n, 0, mnl_socket_get_portid(socket), NULL, NULL) >= 0;
    if (socket)
        mnl_socket_close(socket);
    return made;
}

/* The kernel's own answers, on whatever kernel this is. */
static void a_real_interface_is_set(void **state)
{
    struct setup s;
    char why[100];

    if (unshare(CLONE_NEWNET) != 0)
        skip(); /* only root may */
    assert_true(veth_make());
    begin(&s);
    reads(&s, TUNE_KIND_FEATURE, "one tx-tcp-segmentation", "on");
    assert_int_equal(writes(&s, TUNE_KIND_FEATURE, "one tx-tcp-segmentation", "off"), 0);
    reads(&s, TUNE_KIND_FEATURE, "one tx-tcp-segmentation", "off");
    reads(&s, TUNE_KIND_FEATURE, "two tx-tcp-segmentation", "on");
    assert_int_equal(writes(&s, TUNE_KIND_FEATURE, "one tx-tcp-segmentation", "on"), 0);
    reads(&s, TUNE_KIND_FEATURE, "one tx-tcp-segmentation", "on");
    /* It has none: what the kernel makes of it is read again, and is told. */
    (void)writes(&s, TUNE_KIND_FEATURE, "one tls-hw-tx-offload", "on");
    reads(&s, TUNE_KIND_FEATURE, "one tls-hw-tx-offload", "off");

    assert_int_equal(writes(&s, TUNE_KIND_CHANNELS, "one rx", "2"), 0);
    reads(&s, TUNE_KIND_CHANNELS, "one rx", "2");
    reads(&s, TUNE_KIND_CHANNELS, "one tx", "4");
    assert_int_equal(s.io.write(s.io.user, TUNE_KIND_CHANNELS, "one rx", "400", why, sizeof(why)),
                     EINVAL);
    assert_string_equal(why, "requested channel count exceeds maximum");
    reads(&s, TUNE_KIND_CHANNELS, "one rx", "2");

    assert_int_equal(fails(&s, TUNE_KIND_RING, "one rx"), EOPNOTSUPP);
    assert_int_equal(fails(&s, TUNE_KIND_RSS, "one"), EOPNOTSUPP);
    assert_int_equal(fails(&s, TUNE_KIND_CHANNELS, "three rx"), ENODEV);
    assert_int_equal(fails(&s, TUNE_KIND_FEATURE, "one nothing"), EINVAL);
    assert_int_equal(fails(&s, TUNE_KIND_RING, "one combined"), EINVAL);
    assert_int_equal(fails(&s, TUNE_KIND_RING, "aninterfacenamethatistoolong rx"), EINVAL);
    assert_int_equal(writes(&s, TUNE_KIND_RSS, "one", "2"), EOPNOTSUPP);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_and_written),
        cmocka_unit_test(a_real_interface_is_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
