/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resolver process: DNS for all workers of a generation, validated by libunbound, which also
 * keeps the cache; the policies of MTA-STS, by HTTPS (resolver_sts.c); and how sessions ended, for TLS
 * reports (tlsrpt_tally.c). It runs without
 * privileges, holds no secrets, and takes questions only from the sockets that the supervisor hands
 * it over its channel (CHANNEL_CLIENT). Questions of a worker beyond its bound wait in its socket;
 * a worker that talks garbage harms itself only.
 */
#pragma once

#include "conf.h"
#include "tlsrpt_send.h"

struct resolver_process;

struct shared_column;
/* Makes the context and has it read its trust anchor and hosts file; libunbound's thread starts
 * here, and policies are read from store, a folder (state_folder_open) that becomes the
 * process's, or -1: they are not kept then. tally: the process's as well, or NULL: sessions are not
 * counted. send: the same, or NULL: nothing is reported. counters: whose column this process may add to; NULL:
 * nothing is counted. ERR_CONFIG: why says which setting. */
int resolver_process_new(const struct conf_resolver *conf, int store, struct tlsrpt_tally *tally, struct tlsrpt_send *send,
                         const struct shared_column *counters, struct resolver_process **ret,
                         char *why, size_t why_room) ERR_CHECK;
/* Until the channel's other end closes. */
int resolver_process_run(struct resolver_process *r, int channel) ERR_CHECK;
void resolver_process_free(struct resolver_process *r);
