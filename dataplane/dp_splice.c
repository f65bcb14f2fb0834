/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A BDAT chunk from a leg whose records the kernel opens to one whose records it seals: the bytes
 * go from socket to pipe to socket, and never come here. What is passed to splice is bounded by the
 * chunk, so that the command behind it stays where it is.
 *
 * A splice that waits would stop the worker, and the ring would hand it to a thread of its own: so
 * each is a plain call that never waits, and the ring only says when the next one is worth it.
 * Whatever a splice can't tell (an empty record or the end, both 0) is left to one receive. The
 * pipe's bytes count as taken from the source; where the relay ends before they are out they are
 * dropped, and the target, in mid-chunk, is cut by control.
 */
#include "dp_priv.h"

#include <errno.h>

enum {
    SPLICE_MIN = 64 * 1024, /* less is left of the chunk: not worth a pipe */
    SPLICE_TURNS = 4,       /* pipes full, before others have their turn */
};

static bool may(const struct dp_relay_run *run)
{
    const struct body_flow *f = &run->flow;

    return run->to && f->in == BODY_FRAME_LENGTH && f->out == BODY_FRAME_LENGTH && !f->scan &&
           dp_rx_kernel(run->from) && dp_tx_kernel(run->to) && !run->splice_refused;
}

bool dp_splice_may(const struct dp_relay_run *run)
{
    const struct body_flow *f = &run->flow;
    /* One that is too big is refused where its bytes are counted. */
    bool fits =
        f->max_bytes == 0 || (f->bytes <= f->max_bytes && f->length <= f->max_bytes - f->bytes);

    return may(run) && fits && f->length >= SPLICE_MIN;
}

bool dp_splice_begin(struct dp_relay_run *run)
{
    struct dp_transport *t = run->dp->transport;
    struct dp_leg *from = run->from;

    if (run->splice_receive || !run->begun || !(run->has_pipe ? may(run) : dp_splice_may(run)))
        return false;
    if (buf_len(&from->stash) > 0 || buf_len(&from->cipher) > 0 || !dp_relay_small(run))
        return false;
    if (!run->has_pipe && t->ops->pipe_take(t, dp_slot_of(run->dp, from)) != ERR_OK) {
        run->splice_refused = true;
        return false;
    }
    run->has_pipe = run->splicing = true;
    dp_leg_ready(run->dp, from);
    return true;
}

void dp_splice_end(struct dp_relay_run *run)
{
    struct dp_transport *t = run->dp->transport;

    if (run->has_pipe)
        t->ops->pipe_give(t, dp_slot_of(run->dp, run->from));
    run->has_pipe = run->splicing = false;
}

static void taken(struct dp_relay_run *run, size_t n)
{
    run->pipe_held += n;
    if (!dp_kernel_received(run->dp, run->from, n))
        return; /* in the middle of a handshake message: the leg is lost */
    run->flow.length -= n;
    run->flow.bytes += n;
    run->flow.place = BODY_IN_LINE;
    run->bytes += n;
    run->dp->counters.bytes_in += n;
    dp_relay_moved(run);
}

/* The pump goes on once the leg can be read, or written. */
static void watch(struct dp_relay_run *run, struct dp_leg *leg, enum dp_poll what)
{
    bool *polling = what == DP_POLL_IN ? &leg->polling_in : &leg->polling_out;

    if (!*polling)
        *polling =
            run->dp->transport->ops->poll(run->dp->transport, dp_slot_of(run->dp, leg), what);
    if (!*polling) /* no room in the ring: the pump asks again */
        dp_leg_ready(run->dp, run->from);
}

/* 0: FIN, or an empty record, of which a peer may not send any number. */
static void nothing_taken(struct dp_relay_run *run)
{
    struct dp_leg *from = run->from;

    run->splice_receive = true;
    if (++from->tls->empty_records <= DP_EMPTY_RECORDS_MAX)
        return;
    dp_leg_fatal_alert(run->dp, from, TLS_ALERT_UNEXPECTED_MESSAGE);
    dp_leg_lose(run->dp, from, DP_LOST_LIMIT, 0, 0);
}

/* A record of another type comes first. */
static void meet_control(struct dp_relay_run *run)
{
    const struct dp_tls *tls = run->from->tls;
    uint64_t before = tls->records;

    dp_kernel_control(run->dp, run->from);
    if (tls->records == before) /* there was none: a receive shall say what is wrong */
        run->splice_receive = true;
}

/* From the source as much as the pipe takes. False: there is no more yet, or ever. */
static bool fill(struct dp_relay_run *run)
{
    struct dp_transport *t = run->dp->transport;
    struct dp_leg *from = run->from;

    while (!run->splice_receive && run->flow.length > 0 && !from->input_ended) {
        ssize_t n = t->ops->splice_in(t, dp_slot_of(run->dp, from), run->flow.length);
        if (n > 0) {
            taken(run, (size_t)n);
        } else if (n == -ENOSPC) {
            return true;
        } else if (n == -EAGAIN) {
            watch(run, from, DP_POLL_IN);
            return false;
        } else if (n == 0) {
            nothing_taken(run);
        } else if (n == -EINVAL) {
            meet_control(run);
        } else if (n != -EINTR) {
            dp_kernel_broken(run->dp, from, (int)-n);
        }
    }
    return false;
}

/* To the target as much as it takes; false: it takes no more now. more: the kernel may keep the
 * beginning of a record back (3% of all instructions); while a chunk is incomplete nobody waits for
 * it, and its last bytes go without. */
static bool drain(struct dp_relay_run *run, bool more)
{
    struct dp_transport *t = run->dp->transport;
    struct dp_leg *to = run->to;

    bool idle = dp_leg_output_idle(to) && buf_len(&to->out) == 0 && buf_len(&to->plain) == 0;

    if (run->pipe_held > 0 && !idle)
        return false; /* dp_leg_sent goes on */
    while (run->pipe_held > 0) {
        ssize_t n = t->ops->splice_out(t, dp_slot_of(run->dp, run->from), dp_slot_of(run->dp, to),
                                       run->pipe_held, more);
        if (n > 0) {
            run->pipe_held -= (size_t)n;
            run->dp->counters.bytes_out += (uint64_t)n;
            run->dp->counters.bytes_spliced += (uint64_t)n;
            dp_kernel_sent(run->dp, to, (size_t)n);
            dp_relay_moved(run);
        } else if (n == -EAGAIN) {
            watch(run, to, DP_POLL_OUT);
            return false;
        } else if (n != -EINTR) {
            if (!dp_kernel_send_failed(run->dp, to, (int)-n))
                dp_leg_lose(run->dp, to, n == -ECONNRESET ? DP_LOST_RESET : DP_LOST_SEND, 0,
                            (int)-n);
            return false;
        }
    }
    return true;
}

void dp_splice_pump(struct dp_relay_run *run)
{
    struct dp_leg *from = run->from;

    for (unsigned turn = 0; turn < SPLICE_TURNS; turn++) {
        bool more = fill(run);
        if (from->input_ended && run->flow.length > 0) {
            dp_relay_end(run, DP_RELAY_FROM_LOST);
            return;
        }
        bool out = drain(run, more);
        if (run->to->lost_due) {
            dp_relay_end(run, DP_RELAY_TO_LOST);
            return;
        }
        if (out && run->flow.length == 0) {
            dp_relay_end(run, DP_RELAY_DONE);
            return;
        }
        if (out && run->splice_receive) {
            run->splicing = false;
            dp_leg_flush(run->dp, from);
        }
        if (!out || !more)
            return;
    }
    dp_leg_ready(run->dp, from);
}

void dp_leg_polled(struct dp *dp, uint32_t slot, enum dp_poll what)
{
    struct dp_leg *leg = dp_slot(dp, slot);

    if (what == DP_POLL_IN)
        leg->polling_in = false;
    else
        leg->polling_out = false;
    if (leg->state == DP_LEG_OPEN)
        dp_leg_ready(dp, leg);
}
