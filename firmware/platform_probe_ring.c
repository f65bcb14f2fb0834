/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_probe.h"

#include <liburing.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ENTRIES = 8, BUFFERS = 4, BUFFER_SIZE = 64, GROUP = 1 };

static void ops_ask(struct io_uring *ring, struct ring_answer *ret)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);

    if (!probe)
        return;
    for (int op = 0; op < RING_OPS_MAX; op++)
        ret->ops[op] = io_uring_opcode_supported(probe, op);
    io_uring_free_probe(probe);
}

/* One multishot receive has to deliver two messages without being asked again. */
static bool receive_try(struct io_uring *ring)
{
    struct __kernel_timespec timeout = {.tv_sec = 1};
    struct io_uring_cqe *cqe;
    bool ok = true;
    int fds[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return false;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_recv_multishot(sqe, fds[0], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    ok = io_uring_submit(ring) == 1;
    for (int i = 0; i < 2 && ok; i++) {
        ok = write(fds[1], "x", 1) == 1 && io_uring_wait_cqe_timeout(ring, &cqe, &timeout) == 0;
        if (!ok)
            break;
        ok =
            cqe->res == 1 && (cqe->flags & IORING_CQE_F_MORE) && (cqe->flags & IORING_CQE_F_BUFFER);
        io_uring_cqe_seen(ring, cqe);
    }
    close(fds[0]);
    close(fds[1]);
    return ok;
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

void platform_probe_ring(struct ring_answer *ret)
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
    io_uring_queue_exit(&ring);
}
