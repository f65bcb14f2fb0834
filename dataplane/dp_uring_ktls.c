/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel records and splice on the ring's sockets. Keys, control records that came, and splices are
 * plain system calls that never wait: they are rare, or (splice) the ring would hand them to a
 * thread of its own. What is sent goes through the ring, in order with all else that is sent.
 */
#include "dp_uring_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282 /* linux/socket.h has it, glibc only from 2.38 on */
#endif

enum {
    PIPE_SIZE = 256 * 1024, /* asked for; the kernel may give less */
    PIPES_MAX = 64,         /* under way at a time */
    PIPES_KEPT = 8,
    SALT = 4,
    /* Of a pipe, for one record: pages that the kernel opened it into, and some to spare. */
    RECORD_SLOTS = 8,
};

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

struct dp_uring_pipe {
    struct dp_uring_pipe *next;
    int ends[2];
    size_t size, held;
    size_t page, slots; /* slots: at most so many of size / page are in use */
};

/* Keys. */

union crypto_info {
    struct tls_crypto_info info;
    struct tls12_crypto_info_aes_gcm_128 aes128;
    struct tls12_crypto_info_aes_gcm_256 aes256;
    struct tls12_crypto_info_chacha20_poly1305 chacha;
};

static void put_seq(uint8_t *to, uint64_t seq)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(seq >> (56 - 8 * i));
}

static uint64_t get_seq(const uint8_t *from)
{
    uint64_t seq = 0;

    for (unsigned i = 0; i < 8; i++)
        seq = seq << 8 | from[i];
    return seq;
}

/* With GCM the kernel's salt and iv are our iv: on TLS 1.3 all of it is fixed, on TLS 1.2 the last
 * 8 bytes are the explicit nonce of the next record that it seals. */
static socklen_t info_fill(union crypto_info *ret, const struct tls_record_dir *keys)
{
    *ret = (union crypto_info){
        .info = {.version = keys->version == TLS_VERSION_1_3 ? TLS_1_3_VERSION : TLS_1_2_VERSION}};
    switch (keys->cipher) {
    case TLS_AEAD_AES_128_GCM:
        ret->info.cipher_type = TLS_CIPHER_AES_GCM_128;
        memcpy(ret->aes128.key, keys->key, sizeof(ret->aes128.key));
        memcpy(ret->aes128.salt, keys->iv, SALT);
        memcpy(ret->aes128.iv, keys->iv + SALT, sizeof(ret->aes128.iv));
        put_seq(ret->aes128.rec_seq, keys->seq);
        return sizeof(ret->aes128);
    case TLS_AEAD_AES_256_GCM:
        ret->info.cipher_type = TLS_CIPHER_AES_GCM_256;
        memcpy(ret->aes256.key, keys->key, sizeof(ret->aes256.key));
        memcpy(ret->aes256.salt, keys->iv, SALT);
        memcpy(ret->aes256.iv, keys->iv + SALT, sizeof(ret->aes256.iv));
        put_seq(ret->aes256.rec_seq, keys->seq);
        return sizeof(ret->aes256);
    case TLS_AEAD_CHACHA20_POLY1305:
        ret->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
        memcpy(ret->chacha.key, keys->key, sizeof(ret->chacha.key));
        memcpy(ret->chacha.iv, keys->iv, sizeof(ret->chacha.iv));
        put_seq(ret->chacha.rec_seq, keys->seq);
        return sizeof(ret->chacha);
    }
    return 0;
}

static int option_of(enum tls_dir dir)
{
    return dir == TLS_DIR_TX ? TLS_TX : TLS_RX;
}

static int attach(int fd)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0 ? ERR_OK
                                                                           : ERR_UNSUPPORTED;
}

int dp_uring_kernel_attach(struct dp_transport *t, uint32_t slot)
{
    return attach(dp_uring_of(t)->legs[slot].fd);
}

static int install(int fd, enum tls_dir dir, const struct tls_record_dir *keys)
{
    union crypto_info info;
    socklen_t len = info_fill(&info, keys);
    int error = setsockopt(fd, SOL_TLS, option_of(dir), &info, len) == 0 ? 0 : errno;

    explicit_bzero(&info, sizeof(info));
    switch (error) {
    case 0:
        return ERR_OK;
    case EBUSY:
        return ERR_STATE;
    case ENOENT: /* the cipher's module is not there */
    case EINVAL:
    case EOPNOTSUPP:
    case ENOPROTOOPT:
        return ERR_UNSUPPORTED;
    default:
        return ERR_SYSTEM;
    }
}

int dp_uring_kernel_keys(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                         const struct tls_record_dir *keys)
{
    struct dp_uring_leg *leg = &dp_uring_of(t)->legs[slot];
    int err = install(leg->fd, dir, keys);

    if (err == ERR_OK && dir == TLS_DIR_RX)
        leg->kernel_rx = true;
    return err;
}

int dp_uring_kernel_sequence(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                             enum tls_aead cipher, uint64_t *ret_seq)
{
    union crypto_info info = {0};
    const uint8_t *seq = info.aes128.rec_seq;
    socklen_t len = sizeof(info.aes128);

    if (cipher == TLS_AEAD_AES_256_GCM) {
        seq = info.aes256.rec_seq;
        len = sizeof(info.aes256);
    } else if (cipher == TLS_AEAD_CHACHA20_POLY1305) {
        seq = info.chacha.rec_seq;
        len = sizeof(info.chacha);
    }
    int result = getsockopt(dp_uring_of(t)->legs[slot].fd, SOL_TLS, option_of(dir), &info, &len);
    *ret_seq = get_seq(seq);
    explicit_bzero(&info, sizeof(info));
    return result == 0 ? ERR_OK : ERR_SYSTEM;
}

/* Control records. */

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

/* Pipes. */

static void pipe_free(struct dp_uring_pipe *p)
{
    close(p->ends[0]);
    close(p->ends[1]);
    free(p);
}

static struct dp_uring_pipe *pipe_new(void)
{
    struct dp_uring_pipe *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    if (pipe2(p->ends, O_NONBLOCK | O_CLOEXEC) != 0) {
        free(p);
        return NULL;
    }
    int size = fcntl(p->ends[1], F_SETPIPE_SZ, PIPE_SIZE);
    if (size <= 0) /* over what one user may have */
        size = fcntl(p->ends[1], F_GETPIPE_SZ);
    p->page = (size_t)sysconf(_SC_PAGESIZE);
    p->size = size > 0 ? (size_t)size : 0;
    if (p->size / p->page < RECORD_SLOTS) {
        pipe_free(p);
        return NULL;
    }
    return p;
}

int dp_uring_pipe_take(struct dp_transport *t, uint32_t slot, size_t *ret_size)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_pipe *p = u->pipes_free;

    if (p) {
        u->pipes_free = p->next;
        u->pipes_kept--;
    } else if (u->pipes >= PIPES_MAX) {
        return ERR_LIMIT;
    } else if (!(p = pipe_new())) {
        return ERR_SYSTEM;
    } else {
        u->pipes++;
    }
    p->held = p->slots = 0;
    u->legs[slot].pipe = p;
    *ret_size = p->size;
    return ERR_OK;
}

void dp_uring_pipe_give(struct dp_transport *t, uint32_t slot)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_pipe *p = u->legs[slot].pipe;

    u->legs[slot].pipe = NULL;
    if (!p)
        return;
    if (p->held > 0 || u->pipes_kept >= PIPES_KEPT) {
        u->pipes--;
        pipe_free(p);
        return;
    }
    p->next = u->pipes_free;
    u->pipes_free = p;
    u->pipes_kept++;
}

void dp_uring_pipes_free(struct dp_uring *u)
{
    while (u->pipes_free) {
        struct dp_uring_pipe *p = u->pipes_free;
        u->pipes_free = p->next;
        pipe_free(p);
    }
}

/*
 * A kernel without "net: tls: fix silent data drop under pipe back-pressure" (before Linux 6.1.189,
 * 6.12.113, 7.2.9 and 7.3) drops what of a record does not fit into the pipe, and says nothing: so
 * a pipe must have room for a whole one. Bytes don't tell, for a record of one byte takes a slot of
 * its own: slots are counted, as if each page that bytes may touch took one, until it is empty.
 */
static bool pipe_has_room(const struct dp_uring_pipe *p)
{
    return p->slots + RECORD_SLOTS <= p->size / p->page;
}

static void pipe_filled(struct dp_uring_pipe *p, size_t n)
{
    p->held += n;
    p->slots += n > 0 ? (n - 1 + p->page - 1) / p->page + 1 : 0;
}

static void pipe_emptied(struct dp_uring_pipe *p, size_t n)
{
    p->held -= n;
    if (p->held == 0)
        p->slots = 0;
}

ssize_t dp_uring_splice_in(struct dp_transport *t, uint32_t slot, size_t len)
{
    struct dp_uring_leg *leg = &dp_uring_of(t)->legs[slot];

    if (!pipe_has_room(leg->pipe))
        return -EAGAIN;
    ssize_t n =
        splice(leg->fd, NULL, leg->pipe->ends[1], NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (n < 0)
        return -errno;
    pipe_filled(leg->pipe, (size_t)n);
    return n;
}

/* SPLICE_F_NONBLOCK is about pipes: a splice into a socket waits for room in it, unless the socket
 * itself is one that does not wait. And that it is only now, for the ring, which would report
 * EAGAIN instead of waiting. */
static ssize_t splice_now(int from, int to, size_t len, unsigned flags)
{
    int on = 1, off = 0;

    if (ioctl(to, FIONBIO, &on) != 0)
        return -errno;
    ssize_t n = splice(from, NULL, to, NULL, len, flags);
    int error = errno;
    if (ioctl(to, FIONBIO, &off) != 0)
        return -errno;
    return n < 0 ? -error : n;
}

ssize_t dp_uring_splice_out(struct dp_transport *t, uint32_t slot, uint32_t to, size_t len,
                            bool more)
{
    struct dp_uring *u = dp_uring_of(t);
    struct dp_uring_pipe *p = u->legs[slot].pipe;
    unsigned flags = SPLICE_F_NONBLOCK | SPLICE_F_MOVE | (more ? SPLICE_F_MORE : 0);
    ssize_t n = splice_now(p->ends[0], u->legs[to].fd, len, flags);

    if (n < 0)
        return n;
    pipe_emptied(p, (size_t)n);
    return n;
}

ssize_t dp_uring_pipe_read(struct dp_transport *t, uint32_t slot, void *room, size_t len)
{
    struct dp_uring_pipe *p = dp_uring_of(t)->legs[slot].pipe;
    ssize_t n = read(p->ends[0], room, len);

    if (n < 0)
        return -errno;
    pipe_emptied(p, (size_t)n);
    return n;
}

bool dp_uring_poll(struct dp_transport *t, uint32_t slot, enum dp_poll what)
{
    struct dp_uring *u = dp_uring_of(t);
    struct io_uring_sqe *sqe = dp_uring_sqe(u);

    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, u->legs[slot].fd, what == DP_POLL_IN ? POLLIN : POLLOUT);
    dp_uring_begin(u, sqe, what == DP_POLL_IN ? OP_POLL_IN : OP_POLL_OUT, slot);
    return true;
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

    if (pair_make(pair) && attach(pair[0]) == ERR_OK) {
        u->transport.kernel_records = true;
        /* Keys of zeros on a connection that never carries a byte. */
        u->transport.kernel_rekey = install(pair[0], TLS_DIR_TX, &zeros) == ERR_OK &&
                                    install(pair[0], TLS_DIR_TX, &zeros) == ERR_OK;
    }
    for (unsigned i = 0; i < 2; i++) {
        if (pair[i] >= 0)
            close(pair[i]);
    }
}
