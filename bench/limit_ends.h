/* SPDX-License-Identifier: Apache-2.0 */
/* The sender and the next hop of limit_relay: processes of their own, so that their CPU time is not
 * the relay's. They end when the relay's side closes, at the latest with the relay itself. */
#pragma once

#include "limit.h"

#include <netinet/in.h>
#include <sys/types.h>

struct limit_ends {
    int front, back; /* listening: the relay's for the sender, the next hop's for the relay */
    struct sockaddr_in front_at, back_at;
    pid_t sender, sink;
};

/* What the sender waits for, and the sink answers, after each message. */
#define LIMIT_ANSWER "250 ok\r\n"

int limit_ends_start(const struct limit_relay_conf *conf, struct limit_ends *ret) ERR_CHECK;
void limit_ends_stop(struct limit_ends *ends);
