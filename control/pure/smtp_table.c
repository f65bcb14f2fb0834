/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SMTP as one table. The dispatcher in smtp_session.c enforces each row before its handler runs;
 * a handler never asks whether its command is in order or may be given before TLS.
 */
#include "smtp_session_priv.h"

enum {
    GREETED = STATE_BIT(GREETED),
    READY = STATE_BIT(READY),
    MAIL = STATE_BIT(MAIL),
    CHUNKS = STATE_BIT(CHUNKS),
    ANY = GREETED | READY | MAIL | CHUNKS,

    PRE_TLS = SMTP_FLAG_PRE_TLS,
    LAST_IN_PIPELINE = SMTP_FLAG_LAST_IN_PIPELINE,
    SUSPEND = SMTP_FLAG_SUSPEND,
    PIPELINED = SMTP_FLAG_PIPELINED,
    NO_ARGUMENT = SMTP_FLAG_NO_ARGUMENT,
    HELLO = SMTP_FLAG_HELLO,
    TLS_ONLY = SMTP_FLAG_TLS_ONLY,
    AUTHENTICATED = SMTP_FLAG_AUTHENTICATED,
};

/* clang-format off */
static const struct smtp_row rows[SMTP_VERB_COUNT] = {
    {SMTP_VERB_EHLO,     smtp_do_ehlo,     GREETED | READY | MAIL, PRE_TLS | SUSPEND | HELLO},
    {SMTP_VERB_HELO,     smtp_do_helo,     GREETED | READY | MAIL, SUSPEND | HELLO},
    {SMTP_VERB_STARTTLS, smtp_do_starttls, GREETED | READY, PRE_TLS | LAST_IN_PIPELINE | SUSPEND | NO_ARGUMENT},
    {SMTP_VERB_MAIL,     smtp_do_mail,     READY, AUTHENTICATED},
    {SMTP_VERB_RCPT,     smtp_do_rcpt,     MAIL, PIPELINED},
    {SMTP_VERB_DATA,     smtp_do_data,     MAIL, PIPELINED | SUSPEND | NO_ARGUMENT},
    {SMTP_VERB_BDAT,     smtp_do_bdat,     MAIL | CHUNKS, SUSPEND},
    {SMTP_VERB_RSET,     smtp_do_rset,     ANY, SUSPEND | NO_ARGUMENT},
    {SMTP_VERB_NOOP,     smtp_do_noop,     ANY, PRE_TLS},
    {SMTP_VERB_VRFY,     smtp_do_vrfy,     READY | MAIL, 0},
    {SMTP_VERB_HELP,     smtp_do_help,     GREETED | READY | MAIL, 0},
    {SMTP_VERB_QUIT,     smtp_do_quit,     ANY, PRE_TLS | SUSPEND | NO_ARGUMENT},
    {SMTP_VERB_XCLIENT,  smtp_do_xclient,  GREETED | READY, SUSPEND},
    {SMTP_VERB_AUTH,     smtp_do_auth,     READY, TLS_ONLY | SUSPEND},
    {SMTP_VERB_HTTP,     smtp_do_http,     ANY, PRE_TLS | SUSPEND},
    {SMTP_VERB_UNKNOWN,  smtp_do_unknown,  ANY, 0},
};
/* clang-format on */

const struct smtp_row *smtp_table_row(enum smtp_verb verb)
{
    ASSERT(verb < SMTP_VERB_COUNT && rows[verb].verb == verb);
    return &rows[verb];
}
