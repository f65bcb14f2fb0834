/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sender hears for what the next hop said: never better, and never a bounce for a fault
 * that is the gateway's. Pure, one table. DESIGN: 421 becomes 451 and our session stays open; 5yz to
 * greeting, EHLO, STARTTLS, AUTH (and XCLIENT), and 530 or 500 to 504 anywhere, become 451 4.3.5
 * with an alarm; the rest is the next hop's own answer, enhanced code supplied where it has none.
 */
#pragma once

#include "smtp_client.h"

/* A reply of code 0 is none at all (the connection was lost, or TLS could not be had): 451 4.4.2, and
 * 451 4.7.5 in the phases of TLS. True where the answer is a fault that the administrator must hear of. */
bool smtp_answer_translate(enum smtp_client_phase phase, const struct smtp_reply *from_hop,
                           struct smtp_reply *ret);
/* The refusal at RCPT where the next hop lacks what the message needs: 554 5.6.3 (8BITMIME,
 * BINARYMIME), 553 5.6.7 (SMTPUTF8), 550 5.7.30 (REQUIRETLS), 552 5.3.4 (SIZE), 550 5.3.3 (NOTIFY=SUCCESS without DSN: RFC
 * 3461 section 5.2.2 would have us send a report, and we own no message). False where nothing is lacking. */
bool smtp_answer_unsupported(const struct smtp_caps *caps, const struct smtp_transaction *txn,
                             const struct smtp_rcpt *rcpt, uint64_t size_added, struct smtp_reply *ret);
