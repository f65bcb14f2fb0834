/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message through the gateway's program on this machine, TLS on both sides: a second posternd of
 * its own, on loopback ports that nobody knows, with the machine's certificate, dataplane and user, a
 * route for one reserved domain, and a sink of postern-bench's that checks every byte. The gateway
 * that serves is not touched, and nothing is opened to others: no route exists but for that time, in
 * that process.
 */
#pragma once

#include "conf.h"

struct self_test {
    const char *root;        /* "" for the machine itself: in front of programs and folders */
    const struct conf *conf; /* of the gateway that serves */
    int timeout_s;           /* of each step */
};

/* seen says what was seen, or what failed and where. */
bool self_test_run(const struct self_test *test, char *seen, size_t seen_room);
