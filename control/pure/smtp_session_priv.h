/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the session machine share: the table of commands, the handlers, and the few
 * functions through which all state, replies and actions go.
 */
#pragma once

#include "assertion.h"
#include "smtp_command.h"
#include "smtp_session.h"

#define STATE_BIT(name) (1u << SMTP_STATE_##name)

enum smtp_flag {
    SMTP_FLAG_PRE_TLS = 1, /* also before STARTTLS where require_tls (RFC 3207 section 4) */
    SMTP_FLAG_LAST_IN_PIPELINE = 2, /* a byte behind it is an attack (RFC 3207 section 4) */
    SMTP_FLAG_SUSPEND = 4,          /* what follows waits until its actions were carried out */
    SMTP_FLAG_PIPELINED = 8,        /* also while recipients are unanswered */
    SMTP_FLAG_NO_ARGUMENT = 16,
    SMTP_FLAG_TLS_ONLY = 64,      /* nowhere before TLS (RFC 4954 section 4, PLAIN and LOGIN) */
    SMTP_FLAG_AUTHENTICATED = 128, /* where require_auth, after AUTH only */
    SMTP_FLAG_HELLO = 32, /* its replies carry no enhanced code (RFC 2034 section 4) */
};

struct smtp_row {
    enum smtp_verb verb;
    void (*handler)(struct smtp_session *s, struct span rest, struct smtp_out *out);
    unsigned states; /* bits: legal in these */
    unsigned flags;
};

/* The row of a verb; every verb has one. */
const struct smtp_row *smtp_table_row(enum smtp_verb verb);

/* smtp_session.c: the only places that assign the state, write a reply, add an action. */
void smtp_enter_state(struct smtp_session *s, enum smtp_state state);
void smtp_say(struct smtp_session *s, const struct smtp_reply *reply, struct smtp_out *out);
/* The same to EHLO, HELO and as greeting: without enhanced code. */
void smtp_say_hello(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out);
void smtp_say_hello_reply(struct smtp_session *s, const struct smtp_reply *reply,
                          struct smtp_out *out);
/* Ours; a 5yz counts as an error of the client's. */
void smtp_say_local(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out);
void smtp_local_make(const struct smtp_local *local, struct smtp_reply *ret);
void smtp_act(struct smtp_out *out, const struct smtp_action *action);
void smtp_close(struct smtp_session *s, enum session_end end, struct smtp_out *out);
/* A refusal of a command: a BDAT's chunk is dropped first (RFC 3030 section 2). */
void smtp_refuse_command(struct smtp_session *s, enum smtp_verb verb, struct span rest,
                         const struct smtp_local *local, struct smtp_out *out);
/* Gives the next hop up, where there is one. */
void smtp_abort(struct smtp_session *s, struct smtp_out *out);
/* The transaction is over, its last reply said. kind: SMTP_DO_END or SMTP_DO_ABORT. */
void smtp_transaction_over(struct smtp_session *s, enum smtp_action_kind kind,
                           struct smtp_out *out);
/* Closes where the client reached a limit, or the gateway stops, and nothing is owed to it. */
void smtp_check_limits(struct smtp_session *s, struct smtp_out *out);

/* smtp_session_mail.c */
static inline bool smtp_outstanding(const struct smtp_session *s)
{
    return s->queue_done < s->queue_len;
}
void smtp_transaction_forget(struct smtp_session *s);
/* Ours, behind what is still owed. */
void smtp_say_in_order(struct smtp_session *s, const struct smtp_local *local,
                       struct smtp_out *out);
/* Answers every recipient that is still owed an answer with reply. */
void smtp_answer_outstanding(struct smtp_session *s, const struct smtp_reply *reply,
                             struct smtp_out *out);

/* smtp_session_body.c */
/* A success or a refusal as it is; anything else is the next hop's fault, and room says so. */
const struct smtp_reply *smtp_answer_sane(const struct smtp_reply *reply, struct smtp_reply *room);
/* What is said after a drain and for whatever was refused. Without memory for it, 451. */
void smtp_verdict_set(struct smtp_session *s, const struct smtp_reply *reply);
void smtp_verdict_local(struct smtp_session *s, const struct smtp_local *local);
const struct smtp_reply *smtp_verdict(const struct smtp_session *s);
/* Drops a chunk, then says the verdict and goes to state. */
void smtp_drain_chunk(struct smtp_session *s, uint64_t size, enum smtp_state state,
                      struct smtp_out *out);
/* A chunk that is too long even to be dropped. */
bool smtp_chunk_absurd(const struct smtp_session *s, uint64_t size);
extern const struct smtp_local smtp_bad_chunk;

/* smtp_session_auth.c */
bool smtp_auth_offered(const struct smtp_session *s);
/* A line in SMTP_STATE_AUTH; clean: without bare CR, LF or NUL. */
void smtp_auth_line(struct smtp_session *s, struct span line, bool clean, struct smtp_out *out);
/* The exchange is over, without success. */
void smtp_auth_cancel(struct smtp_session *s, const struct smtp_local *local, struct smtp_out *out);
/* Wipes what the exchange had. */
void smtp_auth_forget(struct smtp_session *s);

/* The handlers. */
void smtp_do_ehlo(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_helo(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_starttls(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_mail(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_rcpt(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_data(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_bdat(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_rset(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_noop(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_vrfy(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_help(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_quit(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_xclient(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_auth(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_http(struct smtp_session *s, struct span rest, struct smtp_out *out);
void smtp_do_unknown(struct smtp_session *s, struct span rest, struct smtp_out *out);

bool smtp_xclient_trusted(const struct smtp_session *s);
