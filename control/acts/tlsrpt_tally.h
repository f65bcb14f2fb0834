/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sessions of today, and of yesterday, that TLS reports (RFC 8460) tell of: counted in memory, and
 * kept in a folder of state_dir, so that a restart forgets none but those of its last seconds.
 *
 * Resolver processes of several generations count at once, each into a file of its own; whoever is
 * asked adds all of them up. A file belongs to a place, of which a process holds one by a lock, so
 * that the next process goes on where one ended, and files do not pile up.
 *
 * Process: the resolver's.
 */
#pragma once

#include "conf.h"
#include "tlsrpt_day.h"

#define TLSRPT_TALLY_FOLDER "tlsrpt"

enum { TLSRPT_TALLY_PLACES = 8, TLSRPT_TALLY_SHOWN = 1000 };

struct tlsrpt_tally;

/* folder: of state_dir (state_folder_open), which becomes the tally's; -1: nothing outlives the
 * process. Before the sandbox, which has no locks. ERR_NOMEM. */
int tlsrpt_tally_new(const struct conf *conf, int folder, struct tlsrpt_tally **ret) ERR_CHECK;
void tlsrpt_tally_free(struct tlsrpt_tally *t);

void tlsrpt_tally_add(struct tlsrpt_tally *t, const struct tlsrpt_event *e);
/* Until the next turn is due: -1 for ever. */
int tlsrpt_tally_wait_ms(const struct tlsrpt_tally *t);
void tlsrpt_tally_turn(struct tlsrpt_tally *t);
/* Writes what is not written yet; also done by free. */
void tlsrpt_tally_flush(struct tlsrpt_tally *t);

/* The sum of all places' counts of a day; the caller's to free. NULL: no memory. */
struct tlsrpt_day *tlsrpt_tally_day(const struct tlsrpt_tally *t, int64_t start);
/* Whether this process is the one that sends reports: the lock is taken where it is free. */
bool tlsrpt_tally_reports(struct tlsrpt_tally *t);
/* How each report of a day ended: lines "DOMAIN END" (tlsrpt_send.c). ERR_NOTFOUND, ERR_IO. */
int tlsrpt_tally_ends_read(const struct tlsrpt_tally *t, int64_t day, struct buf *out) ERR_CHECK;
int tlsrpt_tally_ends_write(const struct tlsrpt_tally *t, int64_t day, struct span text) ERR_CHECK;

/* A JSON object for posternctl: sums of all domains of a day (back: 0 today, 1 yesterday), at most
 * TLSRPT_TALLY_SHOWN of them; or, with a domain, its report as a text. Malloced; NULL: no memory. */
char *tlsrpt_tally_show(const struct tlsrpt_tally *t, unsigned back, const char *domain);
