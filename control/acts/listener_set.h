/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listening sockets: one for each worker slot and address, all of an address in one
 * SO_REUSEPORT group, so that the kernel spreads connections over the workers. The supervisor makes
 * and keeps them, also while a worker is restarted or a new generation takes over: a connection
 * that waits in a queue is never reset by that.
 */
#pragma once

#include "plan.h"

struct listener_set;

int listener_set_new(struct listener_set **ret) ERR_CHECK;
/* Closes all. */
void listener_set_free(struct listener_set *s);
/* Makes what plan needs and is not there yet; on failure what it made is closed again. ERR_SYSTEM:
 * why names the address and what to do. */
int listener_set_open(struct listener_set *s, const struct plan *plan, char *why,
                      size_t why_room) ERR_CHECK;
/* Closes what plan does not need. */
void listener_set_prune(struct listener_set *s, const struct plan *plan);
/* The socket of a slot for one of the plan's listeners; -1 where it is not there. */
int listener_set_fd(const struct listener_set *s, unsigned slot, const union net_addr *addr);
/* While a slot's worker waits to be restarted after several deaths, its sockets leave their groups
 * and the neighbours get all new connections; then they come back. */
void listener_set_rest(struct listener_set *s, unsigned slot);
void listener_set_resume(struct listener_set *s, unsigned slot);
