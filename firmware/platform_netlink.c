/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_netlink.h"

#include "platform_attr.h"

#include <errno.h>
#include <linux/genetlink.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum { ANSWER_TIMEOUT_S = 20 }; /* setting a card's rings may reset it, which takes seconds */

bool netlink_open(struct netlink *ret)
{
    const struct timeval timeout = {.tv_sec = ANSWER_TIMEOUT_S};
    int yes = 1;

    *ret = (struct netlink){.socket = mnl_socket_open(NETLINK_GENERIC),
                            .buffer = malloc(NETLINK_MESSAGE_MAX),
                            .sequence = (uint32_t)time(NULL)};
    if (!ret->socket || !ret->buffer || mnl_socket_bind(ret->socket, 0, MNL_SOCKET_AUTOPID) != 0 ||
        setsockopt(mnl_socket_get_fd(ret->socket), SOL_SOCKET, SO_RCVTIMEO, &timeout,
                   sizeof(timeout)) != 0)
        return false;
    /* Without it refusals have no text, which is no failure. */
    (void)mnl_socket_setsockopt(ret->socket, NETLINK_EXT_ACK, &yes, sizeof(yes));
    return true;
}

void netlink_close(struct netlink *n)
{
    if (n->socket)
        mnl_socket_close(n->socket);
    free(n->buffer);
    *n = (struct netlink){0};
}

struct nlmsghdr *netlink_begin(struct netlink *n, uint16_t family, uint16_t flags, uint8_t command,
                               uint8_t version)
{
    struct nlmsghdr *header = mnl_nlmsg_put_header(n->buffer);

    header->nlmsg_type = family;
    header->nlmsg_flags = NLM_F_REQUEST | flags;
    header->nlmsg_seq = ++n->sequence;
    struct genlmsghdr *generic = mnl_nlmsg_put_extra_header(header, sizeof(*generic));
    generic->cmd = command;
    generic->version = version;
    return header;
}

static void why_attribute(void *user, const struct nlattr *attr)
{
    struct span *text = user;

    if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG)
        *text = span_make(attr, attr->nla_len);
}

int netlink_why_decode(struct span error, uint16_t flags, char *out, size_t room)
{
    struct span found = {0};
    struct nlmsgerr body;

    out[0] = '\0';
    if (error.len < sizeof(body))
        return ERR_SYNTAX;
    if (!(flags & NLM_F_ACK_TLVS))
        return ERR_OK;
    memcpy(&body, error.ptr, sizeof(body));
    /* The refused message follows whole unless it is capped to its header. */
    size_t offset = sizeof(body);
    if (!(flags & NLM_F_CAPPED)) {
        if (body.msg.nlmsg_len < sizeof(body.msg) ||
            body.msg.nlmsg_len - sizeof(body.msg) > error.len - offset)
            return ERR_SYNTAX;
        offset += MNL_ALIGN(body.msg.nlmsg_len - sizeof(body.msg));
    }
    if (!platform_attr_walk(span_from(error, offset), why_attribute, &found))
        return ERR_SYNTAX;
    if (found.len > 0)
        platform_attr_text((const void *)found.ptr, out, room);
    return ERR_OK;
}

struct asking {
    struct netlink *netlink;
    void (*each)(void *user, struct span attributes);
    void *user;
};

static int answer_data(const struct nlmsghdr *header, void *user)
{
    struct asking *a = user;
    size_t before = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct genlmsghdr));

    if (a->each && header->nlmsg_len >= before)
        a->each(a->user, span_make((const char *)header + before, header->nlmsg_len - before));
    return MNL_CB_OK;
}

static int answer_error(const struct nlmsghdr *header, void *user)
{
    struct asking *a = user;
    const struct nlmsgerr *error = mnl_nlmsg_get_payload(header);

    if (header->nlmsg_len < mnl_nlmsg_size(sizeof(*error))) {
        errno = EBADMSG;
        return MNL_CB_ERROR;
    }
    if (error->error == 0)
        return MNL_CB_STOP;
    if (netlink_why_decode(span_make(error, header->nlmsg_len - MNL_NLMSG_HDRLEN),
                           header->nlmsg_flags, a->netlink->why, sizeof(a->netlink->why)) != ERR_OK)
        a->netlink->why[0] = '\0';
    errno = -error->error;
    return MNL_CB_ERROR;
}

/* What a question that was given up is answered after all is no answer to the next one. */
static bool is_of(const void *message, uint32_t sequence)
{
    const struct nlmsghdr *header = message;

    return header->nlmsg_seq == sequence;
}

bool netlink_ask(struct netlink *n, const struct nlmsghdr *request,
                 void (*each)(void *user, struct span attributes), void *user)
{
    mnl_cb_t control[] = {[NLMSG_ERROR] = answer_error};
    struct asking asking = {.netlink = n, .each = each, .user = user};
    unsigned port = mnl_socket_get_portid(n->socket);
    uint32_t sequence = n->sequence;
    int more = MNL_CB_OK;

    n->why[0] = '\0';
    if (mnl_socket_sendto(n->socket, request, request->nlmsg_len) < 0)
        return false;
    while (more == MNL_CB_OK) {
        ssize_t got = mnl_socket_recvfrom(n->socket, n->buffer, NETLINK_MESSAGE_MAX);
        if (got <= 0)
            return false;
        if ((size_t)got >= sizeof(struct nlmsghdr) && !is_of(n->buffer, sequence))
            continue;
        more = mnl_cb_run2(n->buffer, (size_t)got, sequence, port, answer_data, &asking, control,
                           sizeof(control) / sizeof(control[0]));
    }
    return more != MNL_CB_ERROR;
}

static void family_attribute(void *user, const struct nlattr *attr)
{
    uint16_t *id = user;

    if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
        mnl_attr_get_payload_len(attr) == sizeof(*id))
        memcpy(id, mnl_attr_get_payload(attr), sizeof(*id));
}

static void family_answer(void *user, struct span attributes)
{
    (void)platform_attr_walk(attributes, family_attribute, user);
}

uint16_t netlink_family(struct netlink *n, const char *name)
{
    struct nlmsghdr *request = netlink_begin(n, GENL_ID_CTRL, NLM_F_ACK, CTRL_CMD_GETFAMILY, 1);
    uint16_t id = 0;

    mnl_attr_put_strz(request, CTRL_ATTR_FAMILY_NAME, name);
    if (!netlink_ask(n, request, family_answer, &id))
        return 0;
    if (id == 0)
        errno = ENOENT;
    return id;
}
