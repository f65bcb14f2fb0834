/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int channel_pair(int ret_fds[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_fds) != 0)
        return ERR_SYSTEM;
    return 0;
}

int channel_send(int channel, const struct channel_message *message, int fd)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    size_t len = offsetof(struct channel_message, text) + strlen(message->text) + 1;
    struct iovec iov = {(void *)message, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (fd >= 0) {
        msg.msg_control = control;
        msg.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    for (;;) {
        if (sendmsg(channel, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS || errno == ETOOMANYREFS)
            return ERR_FULL;
        return errno == EPIPE || errno == ECONNRESET ? ERR_CLOSED : ERR_SYSTEM;
    }
}

/* The first descriptor that came; others, which none of ours sends, are closed. */
static int descriptor_take(struct msghdr *msg)
{
    int taken = -1;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (taken < 0)
                taken = fd;
            else
                close(fd);
        }
    }
    return taken;
}

int channel_receive(int channel, struct channel_message *ret, int *ret_fd)
{
    char control[CMSG_SPACE(4 * sizeof(int))];
    struct iovec iov = {ret, sizeof(*ret)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    *ret_fd = -1;
    do {
        n = recvmsg(channel, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_AGAIN : ERR_CLOSED;
    if (n == 0)
        return ERR_CLOSED;
    *ret_fd = descriptor_take(&msg);
    if ((size_t)n <= offsetof(struct channel_message, text) || ((char *)ret)[n - 1] != '\0' ||
        (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        if (*ret_fd >= 0)
            close(*ret_fd);
        *ret_fd = -1;
        return ERR_SYNTAX;
    }
    return 0;
}
