/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that runs jobs of handshakes beside the worker's loop: jobs go in through one ring and
 * come back through another, each with one writer and one reader, and who has a job has it alone.
 * Nothing else is shared. It has less priority than the loop, so that a burst of handshakes takes
 * what the bodies on their way leave.
 *
 * It is woken once for a burst of jobs. It wakes the loop, through a descriptor that the loop
 * watches, once for TLS_THREAD_ANSWERS answers, and for fewer when no more jobs wait. Private to
 * this floor.
 */
#pragma once

#include "tls_job.h"

struct tls_thread;

enum { TLS_THREAD_ANSWERS = 8 };

/* room: the most jobs that are ever inside; the caller keeps to it. Made after privileges are given
 * up and before the filter on system calls, which both are a thread's own. ERR_NOMEM, ERR_SYSTEM.
 */
int tls_thread_new(uint32_t room, struct tls_thread **ret) ERR_CHECK;
/* Ends the thread and waits for it. Jobs inside are dropped as they are: the caller knows them. */
void tls_thread_free(struct tls_thread *t);

enum tls_turn {
    TLS_TURN_FIRST, /* what is begun is brought to its end before more is begun */
    TLS_TURN_LAST,
    TLS_TURN_COUNT,
};
void tls_thread_push(struct tls_thread *t, struct tls_job *job, enum tls_turn turn);
/* Readable once jobs came back. */
int tls_thread_fd(const struct tls_thread *t);
/* Takes the descriptor's signal; then tls_thread_pop until NULL. */
void tls_thread_heard(struct tls_thread *t);
struct tls_job *tls_thread_pop(struct tls_thread *t);
