/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_probe.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ENTRIES = 8, BUFFERS = 4, BUFFER_SIZE = 64, GROUP = 1 };
enum { NAME_RECEIVE = 1, NAME_ACCEPT };

static void ops_ask(struct io_uring *ring, struct ring_answer *ret)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);

    if (!probe)
        return;
    for (int op = 0; op < RING_OPS_MAX; op++)
        ret->ops[op] = io_uring_opcode_supported(probe, op);
    io_uring_free_probe(probe);
}

/* The next result of what was tried by that name; what a try before it left behind is skipped. */
static bool result_wait(struct io_uring *ring, uint64_t name, int *ret_result, unsigned *ret_flags)
{
    struct __kernel_timespec timeout = {.tv_sec = 1};
    struct io_uring_cqe *cqe;
    bool found = false;

    while (!found && io_uring_wait_cqe_timeout(ring, &cqe, &timeout) == 0) {
        found = cqe->user_data == name;
        *ret_result = cqe->res;
        *ret_flags = cqe->flags;
        io_uring_cqe_seen(ring, cqe);
    }
    return found;
}

/* One multishot receive has to deliver two messages without being asked again. */
static bool receive_try(struct io_uring *ring)
{
    bool ok = true;
    unsigned flags;
    int fds[2], result;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_recv_multishot(sqe, fds[0], NULL, 0, 0);
    io_uring_sqe_set_data64(sqe, NAME_RECEIVE);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    ok = io_uring_submit(ring) == 1;
    for (int i = 0; i < 2 && ok; i++)
        ok = write(fds[1], "x", 1) == 1 && result_wait(ring, NAME_RECEIVE, &result, &flags) &&
             result == 1 && (flags & IORING_CQE_F_MORE) && (flags & IORING_CQE_F_BUFFER);
    close(fds[0]);
    close(fds[1]);
    return ok;
}

/* A Unix socket with a name that the kernel chooses: it needs no network. */
static int listener_open(struct sockaddr_un *ret_address, socklen_t *ret_len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    *ret_len = sizeof(*ret_address);
    if (fd >= 0 &&
        (bind(fd, (const struct sockaddr *)ret_address, sizeof(sa_family_t)) != 0 ||
         listen(fd, 2) != 0 || getsockname(fd, (struct sockaddr *)ret_address, ret_len) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* One multishot accept has to deliver two connections without being asked again. */
static bool accept_try(struct io_uring *ring)
{
    struct sockaddr_un address;
    socklen_t len;
    int listener = listener_open(&address, &len);

    if (listener < 0)
        return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, NAME_ACCEPT);
    bool ok = io_uring_submit(ring) == 1;
    for (int i = 0; i < 2 && ok; i++) {
        unsigned flags;
        int taken;
        int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ok = client >= 0 && connect(client, (const struct sockaddr *)&address, len) == 0 &&
             result_wait(ring, NAME_ACCEPT, &taken, &flags) && taken >= 0;
        if (ok) {
            close(taken);
            ok = flags & IORING_CQE_F_MORE;
        }
        if (client >= 0)
            close(client);
    }
    close(listener);
    return ok;
}

/* Ends what accept_try left under way; there may be nothing left. */
static bool cancel_try(struct io_uring *ring)
{
    struct io_uring_sync_cancel_reg all = {
        .fd = -1,
        .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
        .timeout = {.tv_sec = -1, .tv_nsec = -1},
    };
    int result = io_uring_register_sync_cancel(ring, &all);

    return result >= 0 || result == -ENOENT;
}

static void buffers_try(struct io_uring *ring, struct ring_answer *ret)
{
    size_t size = BUFFERS * sizeof(struct io_uring_buf);
    static uint8_t buffers[BUFFERS][BUFFER_SIZE];
    struct io_uring_buf_ring *group =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (group == MAP_FAILED)
        return;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)group, .ring_entries = BUFFERS, .bgid = GROUP};
    io_uring_buf_ring_init(group);
    ret->buffer_rings = io_uring_register_buf_ring(ring, &reg, 0) == 0;
    if (ret->buffer_rings) {
        for (int i = 0; i < BUFFERS; i++)
            io_uring_buf_ring_add(group, buffers[i], BUFFER_SIZE, (unsigned short)i,
                                  io_uring_buf_ring_mask(BUFFERS), i);
        io_uring_buf_ring_advance(group, BUFFERS);
        ret->multishot_receive = receive_try(ring);
        io_uring_unregister_buf_ring(ring, GROUP);
    }
    munmap(group, size);
}

static void ring_ask(struct ring_answer *ret)
{
    struct io_uring_params params = {.flags =
                                         IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN};
    struct io_uring ring;

    *ret = (struct ring_answer){0};
    int result = io_uring_queue_init_params(ENTRIES, &ring, &params);
    ret->defer_taskrun = result == 0;
    if (result != 0) {
        params = (struct io_uring_params){0};
        result = io_uring_queue_init_params(ENTRIES, &ring, &params);
    }
    if (result != 0) {
        ret->error = -result;
        return;
    }
    ret->features = params.features;
    ops_ask(&ring, ret);
    buffers_try(&ring, ret);
    ret->multishot_accept = accept_try(&ring);
    ret->sync_cancel = cancel_try(&ring);
    io_uring_queue_exit(&ring);
}

void platform_ring_probe(struct platform_ring *ret)
{
    struct ring_answer answer;

    ring_ask(&answer);
    platform_ring_decode(&answer, ret);
}
