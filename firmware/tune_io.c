/* SPDX-License-Identifier: Apache-2.0 */
/* Settings of this machine: files of sysfs and procfs, ethtool over netlink, RSS by ioctl. */
#include "platform_ethtool.h"
#include "platform_files.h"
#include "platform_netlink.h"
#include "tune.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/ethtool_netlink.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct tune_kernel {
    int root, socket;
    uint16_t family;
    struct netlink netlink;
};

/* "eth0 rx": the interface, and the part of it; the kernel allows no blank in a name. */
struct place {
    char nic[IFNAMSIZ];
    const char *part;
};

static int place_decode(const char *target, struct place *ret)
{
    struct span rest = span_str(target);
    struct span nic = span_cut(&rest, ' ');

    ret->part = (const char *)rest.ptr;
    return span_to_cstr(nic, ret->nic, sizeof(ret->nic)) == ERR_OK && nic.len > 0 ? 0 : EINVAL;
}

/* --- files -------------------------------------------------------------------------------- */

static int file_read(struct tune_kernel *k, const char *path, char *out, size_t room)
{
    errno = 0;
    if (platform_file_line(k->root, path, out, room))
        return 0;
    if (errno != 0)
        return errno;
    return platform_file_exists(k->root, path) ? ENODATA : ENOENT;
}

static int mask_read(struct tune_kernel *k, const char *path, char *out, size_t room)
{
    char text[PLATFORM_FILE_MAX];
    struct platform_cpus cpus;
    int error = file_read(k, path, text, sizeof(text));

    if (error != 0)
        return error;
    if (platform_cpus_mask_decode(span_str(text), &cpus) != ERR_OK)
        return EBADMSG;
    if (platform_cpus_count(&cpus) == 0)
        snprintf(out, room, "none");
    else
        platform_cpus_list(&cpus, out, room);
    return 0;
}

static int mask_write(struct tune_kernel *k, const char *path, const char *value)
{
    char text[PLATFORM_CPUS_MAX / 32 * 9 + 1];
    struct platform_cpus cpus = {0};

    if (strcmp(value, "none") != 0 && platform_cpus_list_decode(span_str(value), &cpus) != ERR_OK)
        return EINVAL;
    if (platform_cpus_mask(&cpus, text, sizeof(text)) != ERR_OK)
        return EOVERFLOW;
    return platform_file_write(k->root, path, text);
}

/* --- ethtool over netlink ----------------------------------------------------------------- */

static struct nlmsghdr *ask_begin(struct tune_kernel *k, uint8_t command, const char *nic)
{
    struct nlmsghdr *request =
        netlink_begin(&k->netlink, k->family, NLM_F_ACK, command, ETHTOOL_GENL_VERSION);
    struct nlattr *header = mnl_attr_nest_start(request, ETHTOOL_A_FEATURES_HEADER);

    mnl_attr_put_strz(request, ETHTOOL_A_HEADER_DEV_NAME, nic);
    mnl_attr_nest_end(request, header);
    return request;
}

static void numbers_answer(void *user, struct span attributes)
{
    struct nic_numbers *numbers = user;
    struct nic_numbers found;

    if (platform_nic_numbers_decode(attributes, &found) == ERR_OK)
        *numbers = found;
}

static void features_answer(void *user, struct span attributes)
{
    struct platform_nic *nic = user;
    struct platform_nic found;

    if (platform_nic_decode(attributes, &found) == ERR_OK)
        *nic = found;
}

static bool feature_find(const char *name, enum nic_feature *ret)
{
    for (int f = 0; f < NIC_FEATURE_COUNT; f++) {
        *ret = (enum nic_feature)f;
        if (strcmp(platform_nic_feature(*ret), name) == 0)
            return true;
    }
    return false;
}

static int feature_read(struct tune_kernel *k, const struct place *place, char *out, size_t room)
{
    struct platform_nic nic = {0};
    enum nic_feature feature;

    if (!feature_find(place->part, &feature))
        return EINVAL;
    if (!netlink_ask(&k->netlink, ask_begin(k, ETHTOOL_MSG_FEATURES_GET, place->nic),
                     features_answer, &nic))
        return errno;
    snprintf(out, room, "%s", nic.on[feature] ? "on" : "off");
    return nic.name[0] ? 0 : EBADMSG;
}

static int feature_write(struct tune_kernel *k, const struct place *place, const char *value)
{
    struct nlmsghdr *request = ask_begin(k, ETHTOOL_MSG_FEATURES_SET, place->nic);
    struct nlattr *set = mnl_attr_nest_start(request, ETHTOOL_A_FEATURES_WANTED);
    struct nlattr *bits = mnl_attr_nest_start(request, ETHTOOL_A_BITSET_BITS);
    struct nlattr *bit = mnl_attr_nest_start(request, ETHTOOL_A_BITSET_BITS_BIT);

    mnl_attr_put_strz(request, ETHTOOL_A_BITSET_BIT_NAME, place->part);
    if (strcmp(value, "on") == 0)
        mnl_attr_put(request, ETHTOOL_A_BITSET_BIT_VALUE, 0, NULL);
    mnl_attr_nest_end(request, bit);
    mnl_attr_nest_end(request, bits);
    mnl_attr_nest_end(request, set);
    return netlink_ask(&k->netlink, request, NULL, NULL) ? 0 : errno;
}

/* Numbers by the messages that have them. */
struct number_row {
    enum tune_kind kind;
    const char *part;
    uint16_t attribute;
};

static const struct number_row number_rows[] = {
    {TUNE_KIND_CHANNELS, "rx", ETHTOOL_A_CHANNELS_RX_COUNT},
    {TUNE_KIND_CHANNELS, "tx", ETHTOOL_A_CHANNELS_TX_COUNT},
    {TUNE_KIND_CHANNELS, "combined", ETHTOOL_A_CHANNELS_COMBINED_COUNT},
    {TUNE_KIND_RING, "rx", ETHTOOL_A_RINGS_RX},
    {TUNE_KIND_RING, "tx", ETHTOOL_A_RINGS_TX},
};

static const struct number_row *number_find(enum tune_kind kind, const char *part)
{
    for (size_t i = 0; i < sizeof(number_rows) / sizeof(number_rows[0]); i++) {
        if (number_rows[i].kind == kind && strcmp(number_rows[i].part, part) == 0)
            return &number_rows[i];
    }
    return NULL;
}

static int number_read(struct tune_kernel *k, enum tune_kind kind, const struct place *place,
                       char *out, size_t room)
{
    const struct number_row *row = number_find(kind, place->part);
    struct nic_numbers numbers = {0};
    uint8_t command = kind == TUNE_KIND_RING ? ETHTOOL_MSG_RINGS_GET : ETHTOOL_MSG_CHANNELS_GET;

    if (!row)
        return EINVAL;
    if (!netlink_ask(&k->netlink, ask_begin(k, command, place->nic), numbers_answer, &numbers))
        return errno;
    snprintf(out, room, "%u", numbers.value[row->attribute]);
    return numbers.has[row->attribute] ? 0 : EOPNOTSUPP;
}

static int number_write(struct tune_kernel *k, enum tune_kind kind, const struct place *place,
                        const char *value)
{
    const struct number_row *row = number_find(kind, place->part);
    uint8_t command = kind == TUNE_KIND_RING ? ETHTOOL_MSG_RINGS_SET : ETHTOOL_MSG_CHANNELS_SET;
    uint64_t number;

    if (!row || span_to_u64(span_str(value), UINT32_MAX, &number) != ERR_OK)
        return EINVAL;
    struct nlmsghdr *request = ask_begin(k, command, place->nic);
    mnl_attr_put_u32(request, row->attribute, (uint32_t)number);
    return netlink_ask(&k->netlink, request, NULL, NULL) ? 0 : errno;
}

/* --- RSS ---------------------------------------------------------------------------------- */

static int rss_read(struct tune_kernel *k, const char *nic, char *out, size_t room)
{
    struct ethtool_rxfh_indir *table;
    int error = ethtool_rss_read(k->socket, nic, &table);
    uint32_t queues = error == 0 ? platform_nic_rss_even(table->ring_index, table->size) : 0;

    free(table);
    if (error == 0 && queues == 0)
        return EBADMSG; /* somebody's own table is not ours to write down in a line */
    snprintf(out, room, "%u", queues);
    return error;
}

/* Over all queues is the kernel's own spreading: asked for as such it follows when the number of
 * queues changes. */
static int rss_write(struct tune_kernel *k, const char *nic, const char *value)
{
    struct ethtool_rxnfc rings = {.cmd = ETHTOOL_GRXRINGS};
    struct ethtool_rxfh_indir *table;
    uint64_t queues;
    int error = ethtool_rss_read(k->socket, nic, &table);

    if (error == 0 &&
        (span_to_u64(span_str(value), ETHTOOL_RSS_MAX, &queues) != ERR_OK || queues == 0))
        error = EINVAL;
    if (error == 0)
        error = ethtool_ask(k->socket, nic, &rings);
    if (error == 0) {
        table->cmd = ETHTOOL_SRXFHINDIR;
        for (uint32_t i = 0; i < table->size; i++)
            table->ring_index[i] = (uint32_t)(i % queues);
        if (queues == rings.data)
            table->size = 0;
        error = ethtool_ask(k->socket, nic, table);
    }
    free(table);
    return error;
}

/* --- all ---------------------------------------------------------------------------------- */

static int kernel_read(void *user, enum tune_kind kind, const char *target, char *out, size_t room)
{
    struct tune_kernel *k = user;
    struct place place;

    if (kind == TUNE_KIND_FILE)
        return file_read(k, target, out, room);
    if (kind == TUNE_KIND_MASK)
        return mask_read(k, target, out, room);
    if (place_decode(target, &place) != 0)
        return EINVAL;
    if (kind == TUNE_KIND_RSS)
        return rss_read(k, place.nic, out, room);
    if (k->family == 0)
        return EOPNOTSUPP;
    return kind == TUNE_KIND_FEATURE ? feature_read(k, &place, out, room)
                                     : number_read(k, kind, &place, out, room);
}

static int kernel_write(void *user, enum tune_kind kind, const char *target, const char *value,
                        char *why, size_t room)
{
    struct tune_kernel *k = user;
    struct place place;

    why[0] = '\0';
    if (kind == TUNE_KIND_FILE)
        return platform_file_write(k->root, target, value);
    if (kind == TUNE_KIND_MASK)
        return mask_write(k, target, value);
    if (place_decode(target, &place) != 0)
        return EINVAL;
    if (kind == TUNE_KIND_RSS)
        return rss_write(k, place.nic, value);
    if (k->family == 0)
        return EOPNOTSUPP;
    int error = kind == TUNE_KIND_FEATURE ? feature_write(k, &place, value)
                                          : number_write(k, kind, &place, value);
    if (error != 0)
        snprintf(why, room, "%.*s", (int)room - 1, k->netlink.why);
    return error;
}

int tune_kernel_open(int root, struct tune_kernel **ret, struct tune_io *ret_io)
{
    struct tune_kernel *k = calloc(1, sizeof(*k));

    *ret = k;
    if (!k)
        return ERR_NOMEM;
    k->root = root;
    k->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (!netlink_open(&k->netlink) || k->socket < 0)
        return ERR_SYSTEM;
    k->family = netlink_family(&k->netlink, ETHTOOL_GENL_NAME);
    *ret_io = (struct tune_io){.user = k, .read = kernel_read, .write = kernel_write};
    return ERR_OK;
}

void tune_kernel_close(struct tune_kernel *kernel)
{
    if (!kernel)
        return;
    netlink_close(&kernel->netlink);
    if (kernel->socket >= 0)
        close(kernel->socket);
    free(kernel);
}
