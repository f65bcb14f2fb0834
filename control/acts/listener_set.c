/* SPDX-License-Identifier: Apache-2.0 */
#include "listener_set.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 4096 }; /* the kernel cuts it to net.core.somaxconn */

struct listener_socket {
    union net_addr addr;
    unsigned slot;
    int fd;
    bool resting;
};

struct listener_set {
    struct listener_socket *sockets;
    size_t len;
};

int listener_set_new(struct listener_set **ret)
{
    *ret = calloc(1, sizeof(**ret));
    return *ret ? 0 : ERR_NOMEM;
}

void listener_set_free(struct listener_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->len; i++)
        close(s->sockets[i].fd);
    free(s->sockets);
    free(s);
}

static bool same_address(const union net_addr *a, const union net_addr *b)
{
    return net_addr_same_ip(a, b) && net_addr_port(a) == net_addr_port(b);
}

static struct listener_socket *find(const struct listener_set *s, unsigned slot,
                                    const union net_addr *addr)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->sockets[i].slot == slot && same_address(&s->sockets[i].addr, addr))
            return &s->sockets[i];
    return NULL;
}

int listener_set_fd(const struct listener_set *s, unsigned slot, const union net_addr *addr)
{
    const struct listener_socket *found = find(s, slot, addr);

    return found ? found->fd : -1;
}

static const char *advice(int error)
{
    if (error == EADDRINUSE)
        return "; another program listens there: ss -ltnp shows which";
    if (error == EACCES)
        return "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
    if (error == EADDRNOTAVAIL)
        return "; this machine does not have that address";
    return "";
}

static int socket_open(const union net_addr *addr, int *ret_error)
{
    const int on = 1;
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 &&
        /* So that 0.0.0.0 and [::] can both be listened on, each meaning itself. */
        (!net_addr_is_v6(addr) ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, &addr->any, net_addr_len(addr)) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    *ret_error = errno;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Without SO_REUSEPORT, so that it fails where anybody listens: another postern would join the
 * group unseen, and take half of the connections. */
static int address_probe(const union net_addr *addr, int *ret_error)
{
    const int on = 1;
    int fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int result = -1;

    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        (!net_addr_is_v6(addr) ||
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == 0) &&
        bind(fd, &addr->any, net_addr_len(addr)) == 0)
        result = 0;
    *ret_error = errno;
    if (fd >= 0)
        close(fd);
    return result;
}

static bool has_address(const struct listener_set *s, const union net_addr *addr)
{
    for (size_t i = 0; i < s->len; i++)
        if (same_address(&s->sockets[i].addr, addr))
            return true;
    return false;
}

static int add(struct listener_set *s, unsigned slot, const union net_addr *addr, int *ret_error)
{
    struct listener_socket *more = realloc(s->sockets, (s->len + 1) * sizeof(*more));
    int fd;

    *ret_error = ENOMEM;
    if (!more)
        return ERR_NOMEM;
    s->sockets = more;
    if (!has_address(s, addr) && address_probe(addr, ret_error) != 0)
        return ERR_SYSTEM;
    fd = socket_open(addr, ret_error);
    if (fd < 0)
        return ERR_SYSTEM;
    s->sockets[s->len++] = (struct listener_socket){*addr, slot, fd, false};
    return 0;
}

int listener_set_open(struct listener_set *s, const struct plan *plan, char *why, size_t why_room)
{
    size_t before = s->len;

    for (unsigned slot = 0; slot < plan->workers; slot++) {
        for (unsigned i = 0; i < plan->listeners_len; i++) {
            const struct plan_listener *l = &plan->listeners[i];
            char text[NET_ADDR_TEXT];
            int error;
            if (find(s, slot, &l->addr))
                continue;
            if (add(s, slot, &l->addr, &error) == 0)
                continue;
            snprintf(why, why_room, "listener %s: %s: %s%s", l->name, net_addr_text(&l->addr, text),
                     strerror(error), advice(error));
            while (s->len > before)
                close(s->sockets[--s->len].fd);
            return ERR_SYSTEM;
        }
    }
    return 0;
}

static bool plan_needs(const struct plan *plan, const struct listener_socket *socket)
{
    if (socket->slot >= plan->workers)
        return false;
    for (unsigned i = 0; i < plan->listeners_len; i++)
        if (same_address(&plan->listeners[i].addr, &socket->addr))
            return true;
    return false;
}

void listener_set_prune(struct listener_set *s, const struct plan *plan)
{
    size_t kept = 0;

    for (size_t i = 0; i < s->len; i++) {
        if (plan_needs(plan, &s->sockets[i]))
            s->sockets[kept++] = s->sockets[i];
        else
            close(s->sockets[i].fd);
    }
    s->len = kept;
}

void listener_set_rest(struct listener_set *s, unsigned slot)
{
    for (size_t i = 0; i < s->len; i++) {
        struct listener_socket *l = &s->sockets[i];
        /* A listening socket that is shut down keeps its port and leaves the group; listen() takes
         * it back in. */
        if (l->slot == slot && !l->resting && shutdown(l->fd, SHUT_RD) == 0)
            l->resting = true;
    }
}

void listener_set_resume(struct listener_set *s, unsigned slot)
{
    for (size_t i = 0; i < s->len; i++) {
        struct listener_socket *l = &s->sockets[i];
        if (l->slot != slot || !l->resting)
            continue;
        if (listen(l->fd, BACKLOG) == 0) {
            l->resting = false;
            continue;
        }
        /* The port is ours through the others of the group: a new socket can't miss it. */
        int error;
        int fd = socket_open(&l->addr, &error);
        if (fd >= 0) {
            close(l->fd);
            l->fd = fd;
            l->resting = false;
        }
    }
}
