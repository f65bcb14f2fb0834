/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What workers see of the ratchet: a table in memory that all processes share, and a line to the
 * process that keeps the book (ratchet_process.h). That process alone writes the table; a worker,
 * which has it read-only, looks a host up when a connection to it is new, or comes to serve another
 * destination, and tells the process what a connection had. So workers agree, nobody waits for
 * anybody, and no message that follows for the same destination asks anything.
 *
 * A line that is full loses what is told: it is told again with the next connection.
 */
#pragma once

#include "ratchet_book.h"

/* What is published of a host. */
struct ratchet_known {
    struct ratchet_memory memory;
    bool dropped; /* its level is below memory now */
};

struct ratchet_table;

/* Before the first fork; outlives the process that keeps the book. ERR_SYSTEM. */
int ratchet_table_new(struct ratchet_table **ret) ERR_CHECK;
void ratchet_table_free(struct ratchet_table *t);
/* In a new child that only reads, before it closes the descriptors that it has from its parent: it can't
 * write the table any more, whoever takes it over. */
void ratchet_table_seal(struct ratchet_table *t);
/* host NULL: the weakest of the destination. What is not known has memory.known false. */
void ratchet_table_find(const struct ratchet_table *t, const char *destination, const char *host,
                        struct ratchet_known *ret);

/* The one writer. What it finds is an earlier one's, and stays until it is put anew or swept. */
void ratchet_table_take(struct ratchet_table *t);
/* Not known: it goes. False: there is no room near its place, so that it stays unknown. */
bool ratchet_table_put(struct ratchet_table *t, const char *destination, const char *host,
                       const struct ratchet_known *known);
/* What was not put since ratchet_table_take goes. */
void ratchet_table_sweep(struct ratchet_table *t);
/* A key for hashes, random for each start. */
const uint64_t *ratchet_table_salt(const struct ratchet_table *t);

/* From a worker to the process. */
enum ratchet_told {
    RATCHET_TOLD_SEEN, /* a message was taken over a connection that had this */
    RATCHET_TOLD_DROP, /* a connection has this, which is less than what is known */
};
struct ratchet_report {
    uint32_t kind;
    uint8_t level, source;
    uint8_t holds; /* the mail did not go on */
    char destination[RATCHET_NAME_MAX + 1], host[RATCHET_NAME_MAX + 1];
    char route[RATCHET_NAME_MAX + 1], why[96];
};

/* A worker's end of both. */
struct ratchet_line {
    const struct ratchet_table *table; /* NULL: there is no ratchet */
    int fd;                            /* of a SOCK_SEQPACKET pair */
};
/* The rest of report is set. False: the line is full. */
bool ratchet_tell(const struct ratchet_line *line, const struct ratchet_report *report);
/* The other end. ERR_AGAIN: none now; ERR_SYNTAX: one that is none; ERR_SYSTEM. */
int ratchet_hear(int fd, struct ratchet_report *ret) ERR_CHECK;
