/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the certificates end that a configuration uses: our own, the authorities that it names, and
 * those that partners' pin files speak of. The check of a configuration gathers them, for it may read
 * the files, and keeps them in a memory file; the supervisor logs those that end soon, at a start, at a
 * reload and once a day, and the metrics process shows all. Nothing stops when one has ended: what
 * that means is up to whoever judges the certificate.
 */
#pragma once

#include "buf.h"
#include "conf.h"
#include "tls_facts.h"

#include <jansson.h>

enum expiry_use {
    EXPIRY_LISTENER, /* we show it to clients */
    EXPIRY_NEXT_HOP, /* we show it to next hops */
    EXPIRY_CA,       /* an authority; of a file with several, the one that ends first */
    EXPIRY_PIN,      /* a partner's */
};

enum { EXPIRY_MAX = 1024, EXPIRY_DAY_S = 86400 };

struct expiry_entry {
    int64_t not_after; /* seconds since 1970 */
    uint32_t use;
    char file[1028], name[256];
};

struct expiry_list {
    uint32_t len, omitted; /* of more than EXPIRY_MAX, those that end first are here */
    uint32_t warning_days;
    struct expiry_entry entries[EXPIRY_MAX]; /* what ends first is first */
};

/* Reads the files that conf names; one that can't be read now is left out. ERR_NOMEM. The list is the
 * caller's to free. */
int expiry_gather(const struct conf *conf, struct expiry_list **ret) ERR_CHECK;
/* Into a memory file, which is sealed then; and back. ERR_SYSTEM, ERR_NOMEM, ERR_SYNTAX. */
int expiry_keep(const struct expiry_list *list, int fd) ERR_CHECK;
int expiry_read(int fd, struct expiry_list **ret) ERR_CHECK;

/* Whole days that are left, rounded down: -1 during the first day after its end. */
int64_t expiry_days(int64_t not_after, int64_t now);
/* Whether there are fewer than the configuration wants to be told of. */
bool expiry_is_near(const struct expiry_list *list, const struct expiry_entry *e, int64_t now);

/* A line for each that is near: certificate_expires, or certificate_expired as an error. */
void expiry_log(const struct expiry_list *list, int64_t now, const char *id);
/* The same line of a next hop's certificate, whose use is peer, in any case as a warning. */
void expiry_log_peer(const char *hop, const struct tls_facts *facts, int64_t now, const char *id);
/* The same for whoever checks a configuration. */
void expiry_warn(const struct expiry_list *list, int64_t now, struct conf_errors *warnings);
/* A gauge for each of them; of those with the same labels, for the one that ends first. */
int expiry_write_metrics(const struct expiry_list *list, struct buf *out) ERR_CHECK;
/* For posternctl status. */
json_t *expiry_json(const struct expiry_list *list, int64_t now);
