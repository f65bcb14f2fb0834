/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's TLS on a simulated socket, with its quirks as they were measured on Linux 6.1:
 *
 *   a write before the TX key is plaintext on the wire
 *   an empty record: splice gives 0, a receive is told that there is something and gives EAGAIN
 *   a record that is not data: EIO for a receive, EINVAL for splice, and the record stays
 *   half a record and FIN, or FIN without close_notify: 0
 *   second keys: refused, unless the kernel has rekey; then reading gives EKEYEXPIRED between a
 *     KeyUpdate and the next keys
 *   a stream that does not begin with a record: EMSGSIZE or EINVAL; a record that is not
 *     authentic: EBADMSG; both for ever, and the next send fails with it too
 *   close says no close_notify, and loses a record that waits for more
 *
 * What a caller may not do (dp_transport.h) is an assertion: a receive under way while RX changes
 * hands or a splice reads, a send under way while TX does or a splice writes.
 */
#include "dp_sim_priv.h"

#include <errno.h>
#include <stdlib.h>

enum { PIPE_DEFAULT = 64 * 1024, ODD_PER_MILLE = 20, HANDSHAKE_KEY_UPDATE = 24 };

static struct dp_sim_peer *peer_of(struct dp_transport *t, uint32_t slot)
{
    return sim_of(t)->by_slot[slot];
}

/* Reading. */

static int record_error(int err)
{
    return err == ERR_RANGE ? -EMSGSIZE : err == ERR_SYNTAX ? -EINVAL : -EBADMSG;
}

/* 1: there is a record; 0: not yet; else minus errno. */
static int record_next(struct dp_sim_peer *peer)
{
    struct sim_kernel *k = &peer->kernel;
    uint8_t room[TLS_RECORD_MAX];
    struct tls_record record;
    size_t len;

    if (k->has_record)
        return 1;
    if (k->error != 0)
        return k->error;
    if (k->rx_expired)
        return -EKEYEXPIRED;
    const uint8_t *in = buf_span(&peer->up.bytes).ptr;
    int err = tls_record_length(&k->rx_keys, in, peer->up.arrived, &len);
    if (err == ERR_AGAIN || (err == ERR_OK && len > peer->up.arrived))
        return 0;
    if (err == ERR_OK) {
        memcpy(room, in, len);
        sim_peer_taken(peer, len);
        err = tls_record_open(&k->rx_keys, room, len, &record);
        if (err == ERR_SYNTAX) { /* authentic, and of any type: the reader's to judge */
            record = (struct tls_record){.type = TLS_CONTENT_CCS};
            err = ERR_OK;
        } else if (err != ERR_OK) {
            err = ERR_TLS_RECORD;
        }
    }
    if (err != ERR_OK) {
        k->error = record_error(err);
        k->socket_error = k->error == -EINVAL ? 0 : k->error;
        return k->error;
    }
    k->has_record = true;
    k->type = record.type;
    if (record.len > 0)
        ASSERT(buf_append(&k->record, record.data, record.len) == ERR_OK);
    return 1;
}

bool sim_kernel_readable(struct dp_sim_peer *peer)
{
    return record_next(peer) != 0;
}

static void record_take(struct sim_kernel *k, uint8_t *to, size_t n)
{
    if (n > 0)
        memcpy(to, buf_span(&k->record).ptr, n);
    buf_consume(&k->record, n);
    if (buf_len(&k->record) > 0)
        return;
    buf_release(&k->record);
    k->has_record = false;
}

/* What there is where no record is. */
static ssize_t nothing(const struct dp_sim_peer *peer)
{
    return peer->up.fin_arrived ? 0 : -EAGAIN;
}

ssize_t sim_kernel_read(struct dp_sim_peer *peer, uint8_t *room, size_t len)
{
    struct sim_kernel *k = &peer->kernel;
    size_t total = 0;

    while (total < len) {
        int got = record_next(peer);
        if (got > 0 && k->type != TLS_CONTENT_DATA)
            got = -EIO;
        if (got <= 0)
            return total > 0 ? (ssize_t)total : got < 0 ? got : nothing(peer);
        size_t left = buf_len(&k->record), n = left < len - total ? left : len - total;
        record_take(k, room + total, n);
        if (n == 0 && total == 0)
            return -EAGAIN;
        total += n;
        if (sim_chance(peer->sim, ODD_PER_MILLE))
            break;
    }
    return (ssize_t)total;
}

ssize_t sim_receive_record(struct dp_transport *t, uint32_t slot, enum tls_content *ret_type,
                           void *room, size_t len)
{
    struct dp_sim_peer *peer = peer_of(t, slot);
    struct sim_kernel *k = &peer->kernel;

    ASSERT(k->rx && !peer->receiving);
    *ret_type = TLS_CONTENT_DATA;
    if (peer->reset)
        return -ECONNRESET;
    int got = record_next(peer);
    if (got <= 0)
        return got < 0 ? got : nothing(peer);
    *ret_type = k->type;
    size_t n = buf_len(&k->record) < len ? buf_len(&k->record) : len;
    bool update = k->type == TLS_CONTENT_HANDSHAKE && n > 0 &&
                  buf_span(&k->record).ptr[0] == HANDSHAKE_KEY_UPDATE;
    record_take(k, room, n);
    k->rx_expired |= update && peer->sim->conf.kernel_rekey;
    return (ssize_t)n;
}

void sim_clear_error(struct dp_transport *t, uint32_t slot)
{
    peer_of(t, slot)->kernel.socket_error = 0;
}

/* Writing. */

static void seal(struct dp_sim_peer *peer, enum tls_content type, const uint8_t *data, size_t n)
{
    uint8_t record[TLS_RECORD_MAX];
    size_t size;

    ASSERT(tls_record_seal(&peer->kernel.tx_keys, type, data, n, record, &size) == ERR_OK);
    sim_pipe_put(peer->sim, &peer->down, SIM_ARRIVED_DOWN, peer, record, size);
}

static void seal_open(struct sim_kernel *k, struct dp_sim_peer *peer, bool all)
{
    while (buf_len(&k->open) >= TLS_PLAINTEXT_MAX || (all && buf_len(&k->open) > 0)) {
        struct span left = buf_span(&k->open);
        size_t n = left.len < TLS_PLAINTEXT_MAX ? left.len : TLS_PLAINTEXT_MAX;
        seal(peer, TLS_CONTENT_DATA, left.ptr, n);
        buf_consume(&k->open, n);
    }
    if (buf_len(&k->open) == 0)
        buf_release(&k->open);
}

size_t sim_kernel_write(struct dp_sim_peer *peer, const uint8_t *data, size_t len, bool more)
{
    struct sim_kernel *k = &peer->kernel;
    size_t room = sim_pipe_room(peer->sim, &peer->down);
    size_t waits = buf_len(&k->open);

    room = room > waits ? room - waits : 0;
    len = len < room ? len : room;
    if (len > 0)
        ASSERT(buf_append(&k->open, data, len) == ERR_OK);
    seal_open(k, peer, !more);
    return len;
}

bool sim_send_record(struct dp_transport *t, uint32_t slot, enum tls_content type, const void *data,
                     size_t len)
{
    struct dp_sim_peer *peer = peer_of(t, slot);

    ASSERT(peer->kernel.tx && !peer->sent_due && len <= DP_CONTROL_RECORD_MAX);
    if (!peer->reset) {
        seal_open(&peer->kernel, peer, true);
        seal(peer, type, data, len);
    }
    peer->sent_due = true;
    sim_event_add(peer->sim, peer->sim->now_ms, SIM_SENT, peer, len);
    return true;
}

/* Keys. */

int sim_kernel_attach(struct dp_transport *t, uint32_t slot)
{
    struct dp_sim_peer *peer = peer_of(t, slot);

    ASSERT(!peer->receiving && !peer->kernel.attached);
    if (peer->reset || sim_chance(peer->sim, peer->sim->conf.kernel_refuse_per_mille))
        return ERR_UNSUPPORTED;
    peer->kernel.attached = true;
    return ERR_OK;
}

static void keys_copy(struct tls_record_dir *to, const struct tls_record_dir *from,
                      enum tls_dir dir)
{
    struct tls_keys keys = {.version = from->version,
                            .aead = from->cipher,
                            .max_plaintext = TLS_PLAINTEXT_MAX,
                            .key_len = from->key_len,
                            .secret_len = from->secret_len};
    struct tls_direction *half = dir == TLS_DIR_TX ? &keys.tx : &keys.rx;

    memcpy(half->key, from->key, sizeof(half->key));
    memcpy(half->iv, from->iv, sizeof(half->iv));
    memcpy(half->secret, from->secret, sizeof(half->secret));
    half->seq = from->seq;
    tls_record_free(to);
    ASSERT(tls_record_init(to, &keys, dir) == ERR_OK);
}

int sim_kernel_keys(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                    const struct tls_record_dir *keys)
{
    struct dp_sim_peer *peer = peer_of(t, slot);
    struct sim_kernel *k = &peer->kernel;
    const struct dp_sim_conf *conf = &peer->sim->conf;
    bool again = dir == TLS_DIR_TX ? k->tx : k->rx;

    ASSERT(k->attached);
    ASSERT(dir == TLS_DIR_TX ? !peer->sent_due && !peer->sending : !peer->receiving);
    if (again && !conf->kernel_rekey)
        return ERR_STATE;
    if (conf->kernel_lacks & 1U << keys->cipher)
        return ERR_UNSUPPORTED;
    if (!again && sim_chance(peer->sim, conf->kernel_refuse_per_mille))
        return ERR_SYSTEM;
    if (dir == TLS_DIR_TX) {
        seal_open(k, peer, true);
        keys_copy(&k->tx_keys, keys, dir);
        k->tx = true;
    } else {
        keys_copy(&k->rx_keys, keys, dir);
        k->rx = true;
        k->rx_expired = false;
    }
    return ERR_OK;
}

int sim_kernel_sequence(struct dp_transport *t, uint32_t slot, enum tls_dir dir,
                        enum tls_aead cipher, uint64_t *ret_seq)
{
    const struct sim_kernel *k = &peer_of(t, slot)->kernel;
    const struct tls_record_dir *keys = dir == TLS_DIR_TX ? &k->tx_keys : &k->rx_keys;

    ASSERT((dir == TLS_DIR_TX ? k->tx : k->rx) && keys->cipher == cipher);
    *ret_seq = keys->seq;
    return ERR_OK;
}

/* Splice. */

static size_t pipe_size(const struct dp_sim_peer *peer)
{
    return peer->sim->conf.pipe_size ? peer->sim->conf.pipe_size : PIPE_DEFAULT;
}

int sim_pipe_take(struct dp_transport *t, uint32_t slot)
{
    struct dp_sim_peer *peer = peer_of(t, slot);

    ASSERT(!peer->kernel.has_pipe);
    if (sim_chance(peer->sim, peer->sim->conf.kernel_refuse_per_mille))
        return ERR_LIMIT;
    peer->kernel.has_pipe = true;
    return ERR_OK;
}

void sim_pipe_give(struct dp_transport *t, uint32_t slot)
{
    struct sim_kernel *k = &peer_of(t, slot)->kernel;

    buf_release(&k->pipe);
    k->has_pipe = false;
}

ssize_t sim_splice_in(struct dp_transport *t, uint32_t slot, size_t len)
{
    struct dp_sim_peer *peer = peer_of(t, slot);
    struct sim_kernel *k = &peer->kernel;
    size_t room = pipe_size(peer) - buf_len(&k->pipe);

    ASSERT(k->rx && k->has_pipe && !peer->receiving && len > 0);
    if (peer->reset)
        return -ECONNRESET;
    if (sim_chance(peer->sim, ODD_PER_MILLE))
        return -EINTR;
    if (room == 0)
        return -ENOSPC;
    int got = record_next(peer);
    if (got > 0 && k->type != TLS_CONTENT_DATA)
        got = -EINVAL;
    if (got <= 0)
        return got < 0 ? got : nothing(peer);
    size_t n = buf_len(&k->record);
    n = n < len ? n : len;
    n = n < room ? n : room;
    if (n > 0)
        ASSERT(buf_append(&k->pipe, buf_span(&k->record).ptr, n) == ERR_OK);
    buf_consume(&k->record, n);
    if (buf_len(&k->record) == 0)
        record_take(k, NULL, 0);
    return (ssize_t)n;
}

ssize_t sim_splice_out(struct dp_transport *t, uint32_t slot, uint32_t to, size_t len, bool more)
{
    struct dp_sim_peer *peer = peer_of(t, slot), *target = peer_of(t, to);
    struct buf *pipe = &peer->kernel.pipe;

    ASSERT(target->kernel.tx && !target->sent_due && !target->sending);
    ASSERT(peer->kernel.has_pipe && len > 0 && len <= buf_len(pipe));
    if (target->reset)
        return -EPIPE;
    if (sim_chance(peer->sim, ODD_PER_MILLE))
        return -EINTR;
    if (target->kernel.socket_error != 0) {
        int error = target->kernel.socket_error;
        target->kernel.socket_error = 0;
        return error;
    }
    size_t n = sim_kernel_write(target, buf_span(pipe).ptr, len, more);
    buf_consume(pipe, n);
    return n > 0 ? (ssize_t)n : -EAGAIN;
}

/* Polls. */

static bool pollable(struct dp_sim_peer *peer, enum dp_poll what)
{
    if (peer->reset)
        return true;
    if (what == DP_POLL_OUT)
        return sim_pipe_room(peer->sim, &peer->down) > buf_len(&peer->kernel.open);
    return peer->up.fin_arrived ||
           (peer->kernel.rx ? sim_kernel_readable(peer) : peer->up.arrived > 0);
}

static void poll_check(struct dp_sim_peer *peer, enum dp_poll what, bool polling, bool *due)
{
    if (!polling || *due || !(pollable(peer, what) || sim_chance(peer->sim, ODD_PER_MILLE)))
        return;
    *due = true;
    sim_event_add(peer->sim, peer->sim->now_ms, what == DP_POLL_IN ? SIM_POLLED_IN : SIM_POLLED_OUT,
                  peer, 0);
}

void sim_kernel_polls(struct dp_sim_peer *peer)
{
    struct sim_kernel *k = &peer->kernel;

    poll_check(peer, DP_POLL_IN, k->polling_in, &k->polled_in_due);
    poll_check(peer, DP_POLL_OUT, k->polling_out, &k->polled_out_due);
}

bool sim_poll(struct dp_transport *t, uint32_t slot, enum dp_poll what)
{
    struct dp_sim_peer *peer = peer_of(t, slot);
    bool *polling = what == DP_POLL_IN ? &peer->kernel.polling_in : &peer->kernel.polling_out;

    ASSERT(!*polling);
    *polling = true;
    sim_kernel_polls(peer);
    return true;
}

void sim_kernel_polled(struct dp_sim_peer *peer, enum dp_poll what)
{
    struct sim_kernel *k = &peer->kernel;

    if (what == DP_POLL_IN)
        k->polling_in = k->polled_in_due = false;
    else
        k->polling_out = k->polled_out_due = false;
    if (peer->attached)
        dp_leg_polled(peer->sim->transport.dp, peer->slot, what);
}

void sim_kernel_free(struct dp_sim_peer *peer)
{
    struct sim_kernel *k = &peer->kernel;

    tls_record_free(&k->rx_keys);
    tls_record_free(&k->tx_keys);
    buf_release(&k->record);
    buf_release(&k->open);
    buf_release(&k->pipe);
    *k = (struct sim_kernel){0};
}
