/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One struct per lifetime: what is known of a message from MAIL to its end. Owned and filled by
 * smtp_session; read by upstream, Received and the log line. Its memory is one arena, freed at
 * once when the transaction ends.
 */
#pragma once

#include "arena.h"
#include "smtp_command.h"

struct conf_route;
struct conf_sender;

struct smtp_recipient {
    struct smtp_rcpt rcpt; /* spans into the arena */
    bool answered, accepted;
};

struct smtp_transaction {
    struct arena arena;
    char id[24];                           /* of the message: session id and a number */
    struct smtp_mail mail;                 /* spans into the arena */
    bool open;                             /* between MAIL and the end */
    const struct conf_sender *sender_rule; /* that the sender met; NULL where its domain has none */

    /* Bound by the first recipient that policy takes. */
    const struct conf_route *route;
    const char *domain; /* the recipient's, A-labels in lower case; with mx part of the key */

    struct smtp_recipient *recipients; /* those sent to the next hop, in order */
    unsigned recipients_len, recipients_cap;
    unsigned accepted; /* how many the next hop took */
    uint64_t started_us;
};
