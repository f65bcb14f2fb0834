/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A DATA body that goes out in chunks (RFC 3030). How long it is shows at its end only, so it is
 * collected to chunks of a size that is worth a command and an answer, and each goes out in one
 * piece with the command that control writes for it: between two chunks the target's output always
 * stands at a command's place, whatever happens. A small body is one chunk, the last.
 */
#include "dp_priv.h"

#include <errno.h>

enum { CHUNK_MIN = 64 * 1024 };

bool dp_chunk_hold(struct dp_relay_run *run, const uint8_t *data, size_t len)
{
    if (buf_append(&run->held, data, len) == ERR_OK)
        return true;
    dp_leg_lose(run->dp, run->to, DP_LOST_SEND, 0, ENOMEM);
    return false;
}

static bool is_ready(const struct dp_relay_run *run, size_t len, bool all)
{
    return run->ended || len >= CHUNK_MIN || (all && len > 0);
}

bool dp_chunk_pump(struct dp_relay_run *run, bool all)
{
    size_t len = buf_len(&run->held) + run->staged;

    if (run->chunk_waits)
        return false;
    if (!is_ready(run, len, all))
        return true;
    if (dp_leg_pending(run->to) >= DP_RELAY_TARGET_MAX ||
        (run->staged > 0 && !dp_leg_output_idle(run->to)))
        return false; /* looked at again once the output is shorter */
    run->chunk_waits = !run->relay.chunk(run->user, &run->relay, len, run->ended);
    if (run->chunk_waits)
        return false;
    if (buf_len(&run->held) > 0)
        (void)dp_leg_append(run->dp, run->to, buf_span(&run->held).ptr, buf_len(&run->held));
    buf_release(&run->held);
    dp_batch_send_staged(run);
    if (!run->ended)
        return true;
    dp_relay_end(run, DP_RELAY_DONE);
    return false;
}
