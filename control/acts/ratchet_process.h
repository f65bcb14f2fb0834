/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process that keeps the ratchet's book (ratchet_book.h): one for all generations. It hears
 * what workers tell, publishes what they need to know in the table (ratchet_table.h), keeps the
 * book on disk (state_folder.h), logs what drops and what is as before again, and does what
 * posternctl asks. It has no network, no secrets and no right to write but to its folder.
 *
 * Where it dies, the table stays as it is: workers go on to judge by it, and the next process
 * begins with the file. Where the file can't be used it is set aside, said so, and the book begins
 * anew.
 */
#pragma once

#include "ratchet_table.h"
#include "shared.h"

struct ratchet_process;

/* The folder of state_dir that the book is in. */
#define RATCHET_FOLDER "ratchet"

/* store: that folder (state_folder.h), or -1: nothing is kept over a restart. ERR_NOMEM. */
int ratchet_process_new(struct ratchet_table *table, int store,
                        const struct shared_column *counters, int64_t expiry_s,
                        struct ratchet_process **ret) ERR_CHECK;
/* line: the other end of the workers'. Until the channel is closed; then the book is on disk. */
int ratchet_process_run(struct ratchet_process *p, int channel, int line) ERR_CHECK;
