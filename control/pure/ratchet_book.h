/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ratchet remembers (ratchet.h): an entry for each host of a destination. Bounded: beyond
 * the most, the entry used least recently goes, but never one whose level has dropped (until that is
 * too old to count), for that one may hold mail. A destination has so many hosts at most, so that none
 * fills the book alone.
 * Owns its memory; reads no clock and no file. One process has it.
 */
#pragma once

#include "ratchet.h"

#include <sys/queue.h>

enum {
    RATCHET_NAME_MAX = 263, /* "host:port", or a domain */
    RATCHET_HOSTS_MAX = 32, /* of a destination */
    RATCHET_LENT_MAX = 4,   /* new ones that are weaker, beside those */
    RATCHET_ENTRIES_MAX = 50000,
};

TAILQ_HEAD(ratchet_entries, ratchet_entry);

struct ratchet_entry {
    TAILQ_ENTRY(ratchet_entry) used; /* least recently first */
    struct ratchet_entry *next;      /* of its bucket */
    struct ratchet_had best;
    int64_t since, last; /* best was had first, and last; seconds since 1970 */
    /* A host that was weaker than the destination's others when it first came: best is not its own,
     * but that of the weakest of them. Forgetting such a one changes no decision. */
    bool lent;
    bool dropped;
    struct ratchet_had offered; /* instead of best, most recently; where dropped */
    int64_t drop_since, drop_last;
    uint64_t drops;  /* connections that had less since then */
    int64_t told;    /* when a drop was last told; not in the file */
    bool said;       /* this one was, and not that it is over */
    size_t name_len; /* of destination */
    char names[];    /* destination, NUL, host, NUL */
};

static inline const char *ratchet_destination(const struct ratchet_entry *e)
{
    return e->names;
}
static inline const char *ratchet_host(const struct ratchet_entry *e)
{
    return e->names + e->name_len + 1;
}

struct ratchet_book;
struct ratchet_book_events {
    /* Of each entry that is new, has changed, or goes (gone, for the last time). Not to be called
     * back from. */
    void (*changed)(void *user, const struct ratchet_entry *e, bool gone);
    /* What a new host of the destination is held to; not known: nothing. */
    void (*weakest)(void *user, const char *destination, const struct ratchet_memory *memory);
};

/* max: entries, at least 1. key: a secret one, for others choose the names. ERR_NOMEM. */
int ratchet_book_new(unsigned max, const uint64_t key[2], const struct ratchet_book_events *events,
                     void *user, struct ratchet_book **ret) ERR_CHECK;
void ratchet_book_free(struct ratchet_book *b);
/* How old a memory may be; older ones are as nothing. */
void ratchet_book_expiry(struct ratchet_book *b, int64_t expiry_s);

/* Printable ASCII without spaces, not empty, not too long: what is none is remembered by nobody. */
bool ratchet_name_valid(const char *name);

enum ratchet_change {
    RATCHET_SAME,     /* nothing but times */
    RATCHET_NEW,      /* an entry that was not there */
    RATCHET_RAISED,   /* better than ever */
    RATCHET_RESTORED, /* as good as before a drop */
    RATCHET_DROPPED,  /* less than before, for the first time or the first since long */
    RATCHET_REFUSED,  /* not remembered: names that are none, no memory, or no entry could go */
};

/* A message went out over a connection that had this. *ret is the entry, NULL where refused. */
enum ratchet_change ratchet_book_seen(struct ratchet_book *b, const char *destination,
                                      const char *host, const struct ratchet_had *had, int64_t now,
                                      const struct ratchet_entry **ret);
/* A connection had less than it should. Told (DROPPED) once an hour for each host. */
enum ratchet_change ratchet_book_drop(struct ratchet_book *b, const char *destination,
                                      const char *host, const struct ratchet_had *had, int64_t now,
                                      const struct ratchet_entry **ret);
/* The administrator takes what is offered now for what there is; of one host, or of all (NULL).
 * Returns how many entries had dropped. */
unsigned ratchet_book_accept(struct ratchet_book *b, const char *destination, const char *host,
                             int64_t now);
/* Forgets one host, or all of a destination (NULL), or everything (both NULL). Returns how many. */
unsigned ratchet_book_clear(struct ratchet_book *b, const char *destination, const char *host,
                            int64_t now);
/* From a file, in the order of use. False: it is no entry, or there twice, or one too many. */
bool ratchet_book_load(struct ratchet_book *b, const char *destination, const char *host,
                       const struct ratchet_entry *fields);
/* Too old to count. */
bool ratchet_book_expired(const struct ratchet_book *b, const struct ratchet_entry *e, int64_t now);

/* All entries, least recently used first, and the other way around. */
const struct ratchet_entry *ratchet_book_first(const struct ratchet_book *b);
const struct ratchet_entry *ratchet_book_next(const struct ratchet_entry *e);
const struct ratchet_entry *ratchet_book_last(const struct ratchet_book *b);
const struct ratchet_entry *ratchet_book_before(const struct ratchet_entry *e);
unsigned ratchet_book_len(const struct ratchet_book *b);
unsigned ratchet_book_dropped(const struct ratchet_book *b);
uint64_t ratchet_book_evicted(const struct ratchet_book *b);
