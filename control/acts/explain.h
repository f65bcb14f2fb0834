/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of mail to an address, step by step, without any mail: which route takes it and why
 * not another, what DNS and MTA-STS say, what each host must have and who demands it, and what the
 * sender would hear where no host is left; with a probe, also what each host shows. For
 * posternctl policy. Process: a worker's, whose resolver, contexts and code are those of mail.
 */
#pragma once

#include "upstream.h"

#include <jansson.h>

struct explain;

struct explain_request {
    const struct conf *conf;
    struct upstream *upstream;
    const char *address;  /* "user@example.org", as an administrator typed it */
    const char *listener; /* its name; "": the first that has a route */
    bool probe;           /* connect as well */
    /* Called once, with an object that is the callee's: {"exit": sysexits, ...}, with "error" where
     * the question itself is wrong. NULL: no memory. */
    void (*done)(void *user, json_t *answer);
    void *user;
};

/* *ret is NULL where done was called at once; else it lives until done is called, in a later turn
 * of the loop and at most UPSTREAM_PROBE_S seconds later. */
void explain_begin(const struct explain_request *request, struct explain **ret);
/* Before done: it is not called. */
void explain_cancel(struct explain *e);
