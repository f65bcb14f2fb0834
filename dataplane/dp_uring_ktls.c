/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel records on the ring's sockets. Keys and control records that came are plain system calls
 * that never wait: they are rare. What is sent goes through the ring, in order with all else that
 * is sent.
 */
#include "dp_uring_priv.h"

#include "ktls.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282 /* linux/socket.h has it, glibc only from 2.38 on */
#endif

/* One record on its way out: the kernel reads all of it when the ring is handed over, or later. */
struct dp_uring_record {
    struct msghdr msg;
    struct iovec piece;
    uint8_t data[DP_CONTROL_RECORD_MAX];
    union {
        struct cmsghdr header;
        uint8_t room[CMSG_SPACE(1)];
    } type;
};

int dp_uring_kernel_attach(struct dp_transport *t, uint32_t slot)
{
    return ktls_attach(dp_uring_of(t)->legs[slot].fd);
}

int dp_uring_kernel_keys(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                         const struct tls_record_dir *keys)
{
    struct dp_uring_leg *leg = &dp_uring_of(t)->legs[slot];
    int err = ktls_install(leg->fd, dir, keys);

    if (err == ERR_OK && dir == TLS_DIR_RX)
        leg->kernel_rx = true;
    if (err == ERR_OK && dir == TLS_DIR_TX)
        leg->kernel_tx = true;
    return err;
}

int dp_uring_kernel_sequence(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                             enum tls_aead cipher, uint64_t *ret_seq)
{
    return ktls_sequence(dp_uring_of(t)->legs[slot].fd, dir, cipher, ret_seq);
}

bool dp_uring_send_record(struct dp_transport *t, uint32_t slot, enum tls_content type,
                          const void *data, size_t len)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_leg *leg = &u->legs[slot];
    struct dp_uring_record *record = calloc(1, sizeof(*record));
    struct io_uring_sqe *sqe = record ? dp_uring_sqe(u) : NULL;

    if (!sqe) {
        free(record);
        return false;
    }
    memcpy(record->data, data, len);
    record->piece = (struct iovec){.iov_base = record->data, .iov_len = len};
    record->type.header = (struct cmsghdr){
        .cmsg_level = SOL_TLS, .cmsg_type = TLS_SET_RECORD_TYPE, .cmsg_len = CMSG_LEN(1)};
    *CMSG_DATA(&record->type.header) = (uint8_t)type;
    record->msg = (struct msghdr){.msg_iov = &record->piece,
                                  .msg_iovlen = 1,
                                  .msg_control = &record->type,
                                  .msg_controllen = sizeof(record->type.room)};
    leg->record = record;
    io_uring_prep_sendmsg(sqe, leg->fd, &record->msg, MSG_NOSIGNAL);
    dp_uring_begin(u, sqe, OP_SEND, slot);
    return true;
}

void dp_uring_record_free(struct dp_uring_leg *leg)
{
    free(leg->record);
    leg->record = NULL;
}

ssize_t dp_uring_receive_record(struct dp_transport *t, uint32_t slot, enum tls_content *ret_type,
                                void *room, size_t len)
{
    union {
        struct cmsghdr header;
        uint8_t room[CMSG_SPACE(1)];
    } type = {0};
    struct iovec piece = {.iov_base = room, .iov_len = len};
    struct msghdr msg = {.msg_iov = &piece,
                         .msg_iovlen = 1,
                         .msg_control = &type,
                         .msg_controllen = sizeof(type.room)};

    ssize_t n = recvmsg(dp_uring_of(t)->legs[slot].fd, &msg, MSG_DONTWAIT);
    *ret_type = TLS_CONTENT_DATA;
    if (n < 0)
        return -errno;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&msg);
    if (header && header->cmsg_level == SOL_TLS && header->cmsg_type == TLS_GET_RECORD_TYPE)
        *ret_type = *CMSG_DATA(header);
    return n;
}

void dp_uring_clear_error(struct dp_transport *t, uint32_t slot)
{
    int error;
    socklen_t len = sizeof(error);

    (void)getsockopt(dp_uring_of(t)->legs[slot].fd, SOL_SOCKET, SO_ERROR, &error, &len);
}

/* What the kernel can do. */

/* The kernel's TLS wants an established TCP connection. */
static bool pair_make(int pair[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pair[1] = -1;
    if (listener >= 0 && pair[0] >= 0 &&
        bind(listener, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
        listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &len) == 0 &&
        connect(pair[0], (const struct sockaddr *)&address, sizeof(address)) == 0)
        pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (listener >= 0)
        close(listener);
    return pair[1] >= 0;
}

void dp_uring_kernel_probe(struct dp_uring *u)
{
    static const struct tls_record_dir zeros = {.version = TLS_VERSION_1_3,
                                                .cipher = TLS_AEAD_AES_128_GCM};
    int pair[2];

    if (pair_make(pair) && ktls_attach(pair[0]) == ERR_OK) {
        u->transport.kernel_records = true;
        /* Keys of zeros on a connection that never carries a byte. */
        u->transport.kernel_rekey = ktls_install(pair[0], TLS_DIR_TX, &zeros) == ERR_OK &&
                                    ktls_install(pair[0], TLS_DIR_TX, &zeros) == ERR_OK;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
    }
}
