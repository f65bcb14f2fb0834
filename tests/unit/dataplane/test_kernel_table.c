/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the kernel's TLS does, without anything of ours but the record layer at the far end. The
 * dataplane is built on each of these facts: one that changes in some kernel shows here first.
 * Skipped where the kernel has no TLS: tests/vm runs it where one has.
 */
#include "../cmocka_all.h"

#include "assertion.h"
#include "dp_lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/tls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef SOL_TLS
#define SOL_TLS 282
#endif

static const struct lab_tls *const kinds = &lab_kinds[1]; /* without plaintext */
enum { KINDS = LAB_KINDS - 1 };

/* One connection: near has the kernel's records, far has ours. */
struct wire {
    int near, far;
    struct tls_keys keys; /* near's */
    struct tls_record_dir tx, rx;
};

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

static int keys_install(int fd, int option, const struct tls_keys *keys,
                        const struct tls_direction *dir)
{
    union crypto_info info = {.info = {.version = keys->version}};
    socklen_t len = sizeof(info.chacha);

    switch (keys->aead) {
    case TLS_AEAD_AES_128_GCM:
        info.info.cipher_type = TLS_CIPHER_AES_GCM_128;
        memcpy(info.aes128.key, dir->key, 16);
        memcpy(info.aes128.salt, dir->iv, 4);
        memcpy(info.aes128.iv, dir->iv + 4, 8);
        put_seq(info.aes128.rec_seq, dir->seq);
        len = sizeof(info.aes128);
        break;
    case TLS_AEAD_AES_256_GCM:
        info.info.cipher_type = TLS_CIPHER_AES_GCM_256;
        memcpy(info.aes256.key, dir->key, 32);
        memcpy(info.aes256.salt, dir->iv, 4);
        memcpy(info.aes256.iv, dir->iv + 4, 8);
        put_seq(info.aes256.rec_seq, dir->seq);
        len = sizeof(info.aes256);
        break;
    case TLS_AEAD_CHACHA20_POLY1305:
        info.info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
        memcpy(info.chacha.key, dir->key, 32);
        memcpy(info.chacha.iv, dir->iv, 12);
        put_seq(info.chacha.rec_seq, dir->seq);
        break;
    }
    return setsockopt(fd, SOL_TLS, option, &info, len) == 0 ? 0 : errno;
}

static bool ulp_attach(int fd)
{
    return setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) == 0;
}

static void wire_plain(struct wire *w, const struct lab_tls *kind)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    const int on = 1;
    struct tls_keys far;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *w = (struct wire){.near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    ASSERT(bind(listener, (struct sockaddr *)&address, len) == 0 && listen(listener, 1) == 0);
    ASSERT(getsockname(listener, (struct sockaddr *)&address, &len) == 0);
    ASSERT(connect(w->near, (struct sockaddr *)&address, len) == 0);
    w->far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    ASSERT(w->far >= 0);
    close(listener);
    setsockopt(w->far, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    lab_keys(kind, 70, &w->keys, &far);
    ASSERT(tls_record_init(&w->tx, &far, TLS_DIR_TX) == ERR_OK);
    ASSERT(tls_record_init(&w->rx, &far, TLS_DIR_RX) == ERR_OK);
}

static void wire_open(struct wire *w, const struct lab_tls *kind)
{
    wire_plain(w, kind);
    ASSERT(ulp_attach(w->near));
    ASSERT(keys_install(w->near, TLS_TX, &w->keys, &w->keys.tx) == 0);
    ASSERT(keys_install(w->near, TLS_RX, &w->keys, &w->keys.rx) == 0);
}

static void wire_close(struct wire *w)
{
    tls_record_free(&w->tx);
    tls_record_free(&w->rx);
    close(w->near);
    close(w->far);
}

static size_t far_seal(struct wire *w, enum tls_content type, const void *data, size_t len,
                       uint8_t out[TLS_RECORD_MAX])
{
    size_t n;

    ASSERT(tls_record_seal(&w->tx, type, data, len, out, &n) == ERR_OK);
    return n;
}

static void far_write(struct wire *w, const void *data, size_t len)
{
    ASSERT(send(w->far, data, len, MSG_NOSIGNAL) == (ssize_t)len);
}

static void far_send(struct wire *w, enum tls_content type, const void *data, size_t len)
{
    uint8_t record[TLS_RECORD_MAX];

    far_write(w, record, far_seal(w, type, data, len, record));
}

/* The next record at the far end; its type, and its plaintext in room. */
static enum tls_content far_receive(struct wire *w, uint8_t *room, size_t *ret_len)
{
    uint8_t record[TLS_RECORD_MAX];
    struct tls_record opened;
    size_t len;

    ASSERT(recv(w->far, record, TLS_RECORD_HEADER, MSG_WAITALL) == TLS_RECORD_HEADER);
    ASSERT(tls_record_length(&w->rx, record, TLS_RECORD_HEADER, &len) == ERR_OK);
    ASSERT(recv(w->far, record + TLS_RECORD_HEADER, len - TLS_RECORD_HEADER, MSG_WAITALL) ==
           (ssize_t)(len - TLS_RECORD_HEADER));
    ASSERT(tls_record_open(&w->rx, record, len, &opened) == ERR_OK);
    memcpy(room, opened.data, opened.len);
    *ret_len = opened.len;
    return opened.type;
}

/* Of near: bytes, or minus errno. */
static ssize_t near_recv(struct wire *w, void *room, size_t len)
{
    ssize_t n = recv(w->near, room, len, MSG_DONTWAIT);

    return n < 0 ? -errno : n;
}

static ssize_t near_recvmsg(struct wire *w, void *room, size_t len, int *ret_type)
{
    union {
        struct cmsghdr header;
        uint8_t room[CMSG_SPACE(1)];
    } type = {0};
    struct iovec piece = {.iov_base = room, .iov_len = len};
    struct msghdr msg = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &type, .msg_controllen = sizeof(type)};
    ssize_t n = recvmsg(w->near, &msg, MSG_DONTWAIT);

    *ret_type = n >= 0 && CMSG_FIRSTHDR(&msg) ? *CMSG_DATA(CMSG_FIRSTHDR(&msg)) : -1;
    return n < 0 ? -errno : n;
}

static ssize_t near_sendmsg(struct wire *w, enum tls_content content, const void *data, size_t len)
{
    union {
        struct cmsghdr header;
        uint8_t room[CMSG_SPACE(1)];
    } type = {.header = {.cmsg_level = SOL_TLS,
                         .cmsg_type = TLS_SET_RECORD_TYPE,
                         .cmsg_len = CMSG_LEN(1)}};
    struct iovec piece = {.iov_base = (void *)data, .iov_len = len};
    struct msghdr msg = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = &type, .msg_controllen = sizeof(type)};

    *CMSG_DATA(&type.header) = (uint8_t)content;
    ssize_t n = sendmsg(w->near, &msg, MSG_NOSIGNAL);
    return n < 0 ? -errno : n;
}

static ssize_t near_splice(struct wire *w, int pipe_in)
{
    ssize_t n = splice(w->near, NULL, pipe_in, NULL, 65536, SPLICE_F_NONBLOCK);

    return n < 0 ? -errno : n;
}

static bool near_ready(const struct wire *w)
{
    struct pollfd poll_of = {.fd = w->near, .events = POLLIN};

    return poll(&poll_of, 1, 2000) == 1 && poll_of.revents & POLLIN;
}

static void text_is(const void *data, ssize_t n, const char *want)
{
    assert_int_equal(n, strlen(want));
    assert_memory_equal(data, want, strlen(want));
}

/* --- the table --- */

static void what_is_written_before_the_keys_is_plaintext(void **state)
{
    struct wire w;
    char seen[16];
    uint8_t room[64];
    size_t n;

    wire_plain(&w, &kinds[0]);
    assert_true(ulp_attach(w.near));
    assert_int_equal(send(w.near, "bare", 4, 0), 4);
    text_is(seen, recv(w.far, seen, sizeof(seen), 0), "bare");
    assert_int_equal(keys_install(w.near, TLS_TX, &w.keys, &w.keys.tx), 0);
    assert_int_equal(send(w.near, "sealed", 6, 0), 6);
    assert_int_equal(far_receive(&w, room, &n), TLS_CONTENT_DATA);
    text_is(room, (ssize_t)n, "sealed");
    wire_close(&w);
}

static void splice_of_an_empty_record_looks_like_the_end(void **state)
{
    struct wire w;
    int ends[2];

    wire_open(&w, &kinds[0]);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    far_send(&w, TLS_CONTENT_DATA, "", 0);
    assert_true(near_ready(&w));
    ssize_t n = near_splice(&w, ends[1]);
    assert_true(n == 0 || n == -EAGAIN);
    far_send(&w, TLS_CONTENT_DATA, "more", 4); /* it was not the end */
    assert_true(near_ready(&w));
    char seen[8];
    for (n = 0; n == 0;)
        n = near_splice(&w, ends[1]);
    assert_int_equal(n, 4);
    text_is(seen, read(ends[0], seen, sizeof(seen)), "more");
    close(ends[0]);
    close(ends[1]);
    wire_close(&w);
}

static void an_empty_record_is_ready_and_gives_nothing(void **state)
{
    struct wire w;
    char seen[8];

    wire_open(&w, &kinds[0]);
    far_send(&w, TLS_CONTENT_DATA, "", 0);
    assert_true(near_ready(&w));
    assert_int_equal(near_recv(&w, seen, sizeof(seen)), -EAGAIN);
    far_send(&w, TLS_CONTENT_DATA, "", 0);
    far_send(&w, TLS_CONTENT_DATA, "more", 4);
    assert_true(near_ready(&w));
    ssize_t n = near_recv(&w, seen, sizeof(seen));
    if (n == -EAGAIN)
        n = near_recv(&w, seen, sizeof(seen));
    text_is(seen, n, "more");
    wire_close(&w);
}

static void a_fin_says_nothing_about_close_notify(void **state)
{
    for (int half = 0; half < 2; half++) {
        struct wire w;
        uint8_t record[TLS_RECORD_MAX];
        char seen[8];
        wire_open(&w, &kinds[0]);
        far_send(&w, TLS_CONTENT_DATA, "QUIT", 4);
        size_t n = far_seal(&w, TLS_CONTENT_DATA, "never", 5, record);
        if (half)
            far_write(&w, record, n / 2);
        shutdown(w.far, SHUT_WR);
        assert_true(near_ready(&w));
        text_is(seen, near_recv(&w, seen, sizeof(seen)), "QUIT");
        assert_true(near_ready(&w));
        assert_int_equal(near_recv(&w, seen, sizeof(seen)), 0);
        wire_close(&w);
    }
}

/* Data, then a record of another type: by recv and by splice. */
static void other_types_stop_a_plain_receive(void **state)
{
    static const struct {
        enum tls_content type;
        const char *text;
        size_t len;
    } records[] = {
        {TLS_CONTENT_ALERT, "\1\0", 2},
        {TLS_CONTENT_HANDSHAKE, "\30\0\0\1\1", 5}, /* KeyUpdate */
        {TLS_CONTENT_HANDSHAKE, "\4\0\0\2xy", 6},  /* a ticket */
    };

    for (unsigned round = 0; round < 6; round++) {
        struct wire w;
        char seen[64];
        int type, ends[2];
        size_t i = round / 2;
        bool by_splice = round % 2;
        wire_open(&w, &kinds[0]);
        assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
        far_send(&w, TLS_CONTENT_DATA, "data", 4);
        far_send(&w, records[i].type, records[i].text, records[i].len);
        assert_true(near_ready(&w));
        assert_int_equal(by_splice ? near_splice(&w, ends[1]) : near_recv(&w, seen, sizeof(seen)),
                         4);
        for (int again = 0; again < 3; again++) { /* it is kept */
            if (by_splice)
                assert_int_equal(near_splice(&w, ends[1]), -EINVAL);
            else
                assert_int_equal(near_recv(&w, seen, sizeof(seen)), -EIO);
        }
        assert_int_equal(near_recvmsg(&w, seen, sizeof(seen), &type), records[i].len);
        assert_memory_equal(seen, records[i].text, records[i].len);
        assert_int_equal(type, records[i].type);
        close(ends[0]);
        close(ends[1]);
        wire_close(&w);
    }
}

/* Does a direction of this kernel take new keys? */
static bool kernel_rekeys(void)
{
    struct wire w;

    wire_open(&w, &kinds[0]);
    int error = keys_install(w.near, TLS_TX, &w.keys, &w.keys.tx);
    wire_close(&w);
    assert_true(error == 0 || error == EBUSY);
    return error == 0;
}

static void next_keys(struct tls_record_dir *d, struct tls_direction *ret)
{
    assert_int_equal(tls_record_rekey(d), ERR_OK);
    memcpy(ret->key, d->key, sizeof(ret->key));
    memcpy(ret->iv, d->iv, sizeof(ret->iv));
    ret->seq = d->seq;
}

static void keys_change_once_or_as_often_as_the_peer_likes(void **state)
{
    const uint8_t update[] = {24, 0, 0, 1, 0};
    struct tls_direction next;
    struct wire w;
    char seen[64];
    int type;

    wire_open(&w, &kinds[0]);
    far_send(&w, TLS_CONTENT_HANDSHAKE, update, sizeof(update));
    next_keys(&w.tx, &next);
    far_send(&w, TLS_CONTENT_DATA, "new", 3);
    assert_true(near_ready(&w));
    assert_int_equal(near_recvmsg(&w, seen, sizeof(seen), &type), sizeof(update));
    assert_int_equal(type, TLS_CONTENT_HANDSHAKE);
    ssize_t n = near_recv(&w, seen, sizeof(seen));
    if (kernel_rekeys()) {
        assert_int_equal(n, -EKEYEXPIRED);
        assert_int_equal(keys_install(w.near, TLS_RX, &w.keys, &next), 0);
        text_is(seen, near_recv(&w, seen, sizeof(seen)), "new");
    } else {
        assert_int_equal(n, -EBADMSG);
        assert_int_equal(keys_install(w.near, TLS_RX, &w.keys, &next), EBUSY);
    }
    wire_close(&w);
    /* On TLS 1.2 there is no such thing. */
    wire_open(&w, &kinds[3]);
    assert_int_equal(keys_install(w.near, TLS_TX, &w.keys, &w.keys.tx), EBUSY);
    wire_close(&w);
}

static void a_switch_inside_a_record_is_an_error(void **state)
{
    struct wire w;
    uint8_t record[TLS_RECORD_MAX];
    char seen[128];

    wire_plain(&w, &kinds[0]);
    memset(seen, 'x', sizeof(seen));
    size_t n = far_seal(&w, TLS_CONTENT_DATA, seen, sizeof(seen), record);
    far_write(&w, record, n);
    assert_int_equal(recv(w.near, seen, 50, MSG_WAITALL), 50);
    assert_true(ulp_attach(w.near));
    assert_int_equal(keys_install(w.near, TLS_RX, &w.keys, &w.keys.rx), 0);
    ssize_t error = near_recv(&w, seen, sizeof(seen));
    assert_true(error == -EMSGSIZE || error == -EINVAL || error == -EBADMSG);
    wire_close(&w);
}

static void what_is_not_authentic_stays_so(void **state)
{
    for (size_t kind = 0; kind < KINDS; kind++) {
        for (int wrong_seq = 0; wrong_seq < 2; wrong_seq++) {
            struct wire w;
            uint8_t record[TLS_RECORD_MAX], room[64];
            char seen[16];
            wire_open(&w, &kinds[kind]);
            if (wrong_seq)
                w.tx.seq++;
            size_t n = far_seal(&w, TLS_CONTENT_DATA, "a command", 9, record);
            record[n - 3] ^= wrong_seq ? 0 : 1;
            far_write(&w, record, n);
            far_send(&w, TLS_CONTENT_DATA, "another", 7);
            assert_true(near_ready(&w));
            assert_int_equal(near_recv(&w, seen, sizeof(seen)), -EBADMSG);
            assert_int_equal(near_recv(&w, seen, sizeof(seen)), -EBADMSG);
            /* It would be told to the next send too; then we can say why. */
            int error;
            socklen_t len = sizeof(error);
            assert_int_equal(getsockopt(w.near, SOL_SOCKET, SO_ERROR, &error, &len), 0);
            assert_int_equal(near_sendmsg(&w, TLS_CONTENT_ALERT, "\2\24", 2), 2);
            assert_int_equal(far_receive(&w, room, &n), TLS_CONTENT_ALERT);
            assert_int_equal(room[1], TLS_ALERT_BAD_RECORD_MAC);
            wire_close(&w);
        }
    }
}

static void close_sends_no_close_notify(void **state)
{
    struct wire w;
    uint8_t room[64];
    size_t n;

    wire_open(&w, &kinds[0]);
    assert_int_equal(send(w.near, "bye", 3, 0), 3);
    close(w.near);
    assert_int_equal(far_receive(&w, room, &n), TLS_CONTENT_DATA);
    assert_int_equal(recv(w.far, room, sizeof(room), 0), 0);
    w.near = -1;
    wire_close(&w);
}

/* --- what we rely on besides --- */

static void control_records_go_in_order(void **state)
{
    struct wire w;
    uint8_t room[64];
    size_t n;

    for (size_t kind = 0; kind < KINDS; kind++) {
        wire_open(&w, &kinds[kind]);
        assert_int_equal(send(w.near, "one", 3, 0), 3);
        assert_int_equal(near_sendmsg(&w, TLS_CONTENT_ALERT, "\1\0", 2), 2);
        assert_int_equal(far_receive(&w, room, &n), TLS_CONTENT_DATA);
        text_is(room, (ssize_t)n, "one");
        assert_int_equal(far_receive(&w, room, &n), TLS_CONTENT_ALERT);
        assert_int_equal(n, 2);
        assert_memory_equal(room, "\1\0", 2);
        wire_close(&w);
    }
}

static long stat_of(const char *name)
{
    FILE *f = fopen("/proc/net/tls_stat", "re");
    char line[128], key[64];
    long value = -1, found = -1;

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%63s %ld", key, &value) == 2 && strcmp(key, name) == 0)
            found = value;
    }
    if (f)
        fclose(f);
    return found;
}

/* Records of odd sizes, both ways, byte for byte; and it is the kernel that does it. */
static void every_cipher_carries_bytes(void **state)
{
    static const size_t sizes[] = {1, 2, 15, 16, 17, 1400, 4096, 16383, 16384};
    static uint8_t sent[TLS_PLAINTEXT_MAX], seen[TLS_PLAINTEXT_MAX];

    for (size_t i = 0; i < sizeof(sent); i++)
        sent[i] = (uint8_t)(i * 31 >> 3);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct wire w;
        long tx = stat_of("TlsTxSw"), rx = stat_of("TlsRxSw");
        wire_open(&w, &kinds[kind]);
        assert_int_equal(stat_of("TlsTxSw"), tx + 1);
        assert_int_equal(stat_of("TlsRxSw"), rx + 1);
        for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
            size_t n;
            assert_int_equal(send(w.near, sent, sizes[s], 0), sizes[s]);
            assert_int_equal(far_receive(&w, seen, &n), TLS_CONTENT_DATA);
            assert_int_equal(n, sizes[s]);
            assert_memory_equal(seen, sent, n);
            far_send(&w, TLS_CONTENT_DATA, sent, sizes[s]);
            memset(seen, 0, sizeof(seen));
            assert_int_equal(recv(w.near, seen, sizes[s], MSG_WAITALL), sizes[s]);
            assert_memory_equal(seen, sent, sizes[s]);
        }
        wire_close(&w);
    }
}

/* --- through io_uring --- */

static int ring_one(struct io_uring *ring)
{
    struct io_uring_cqe *cqe;

    ASSERT(io_uring_submit_and_wait(ring, 1) >= 0 && io_uring_wait_cqe(ring, &cqe) == 0);
    int result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

static int ring_recv(struct io_uring *ring, int fd, void *room, size_t len, int flags)
{
    io_uring_prep_recv(io_uring_get_sqe(ring), fd, room, len, flags);
    return ring_one(ring);
}

static void a_ring_meets_the_same(void **state)
{
    struct io_uring ring;
    struct wire w;
    uint8_t room[64];
    char seen[64];
    size_t n;
    int type;

    ASSERT(io_uring_queue_init(8, &ring, 0) == 0);
    wire_open(&w, &kinds[0]);
    io_uring_prep_send(io_uring_get_sqe(&ring), w.near, "hello", 5, MSG_NOSIGNAL);
    assert_int_equal(ring_one(&ring), 5);
    assert_int_equal(far_receive(&w, room, &n), TLS_CONTENT_DATA);
    text_is(room, (ssize_t)n, "hello");
    io_uring_prep_send(io_uring_get_sqe(&ring), w.near, "hello", 5, MSG_NOSIGNAL | MSG_WAITALL);
    int result = ring_one(&ring);
    assert_true(result == -EOPNOTSUPP || result == 5);
    far_send(&w, TLS_CONTENT_DATA, "data", 4);
    text_is(seen, ring_recv(&ring, w.near, seen, sizeof(seen), 0), "data");
    far_send(&w, TLS_CONTENT_ALERT, "\1\0", 2);
    assert_int_equal(ring_recv(&ring, w.near, seen, sizeof(seen), 0), -EIO);
    assert_int_equal(near_recvmsg(&w, seen, sizeof(seen), &type), 2);
    assert_int_equal(type, TLS_CONTENT_ALERT);
    wire_close(&w);
    io_uring_queue_exit(&ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_before_the_keys_is_plaintext),
        cmocka_unit_test(splice_of_an_empty_record_looks_like_the_end),
        cmocka_unit_test(an_empty_record_is_ready_and_gives_nothing),
        cmocka_unit_test(a_fin_says_nothing_about_close_notify),
        cmocka_unit_test(other_types_stop_a_plain_receive),
        cmocka_unit_test(keys_change_once_or_as_often_as_the_peer_likes),
        cmocka_unit_test(a_switch_inside_a_record_is_an_error),
        cmocka_unit_test(what_is_not_authentic_stays_so),
        cmocka_unit_test(close_sends_no_close_notify),
        cmocka_unit_test(control_records_go_in_order),
        cmocka_unit_test(every_cipher_carries_bytes),
        cmocka_unit_test(a_ring_meets_the_same),
    };
    if (!lab_kernel_has_tls()) {
        puts("no kernel TLS here");
        return LAB_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
