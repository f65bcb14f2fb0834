/* SPDX-License-Identifier: Apache-2.0 */
#include "smtp_answer.h"

/* Phases before a transaction: whatever is refused there is no fault of the message. */
#define BEFORE_MAIL                                                                                \
    (1u << SMTP_PHASE_CONNECT | 1u << SMTP_PHASE_GREETING | 1u << SMTP_PHASE_EHLO |                \
     1u << SMTP_PHASE_STARTTLS | 1u << SMTP_PHASE_TLS | 1u << SMTP_PHASE_XCLIENT |                 \
     1u << SMTP_PHASE_AUTH)
#define TLS_PHASES (1u << SMTP_PHASE_STARTTLS | 1u << SMTP_PHASE_TLS)
#define ANY_PHASE (~0u)

/* The first row that fits says what becomes of an answer; where none does it stays as it is. */
static const struct row {
    unsigned phases; /* bits of enum smtp_client_phase */
    uint16_t from, to;
    bool alarm;
    uint16_t code;
    struct smtp_enhanced enhanced;
    bool keep_enhanced; /* the next hop's own, where it is of the new code's class */
} table[] = {
    {TLS_PHASES, 0, 0, false, 451, {4, 7, 5}, false},
    {1u << SMTP_PHASE_AUTH, 0, 0, true, 451, {4, 3, 5}, false}, /* our mechanism is not offered */
    {ANY_PHASE, 0, 0, false, 451, {4, 4, 2}, false},
    {ANY_PHASE, 421, 421, false, 451, {4, 3, 2}, true},
    {TLS_PHASES, 400, 499, false, 451, {4, 7, 5}, false},
    /* A success where it makes no sense, a greeting of 250 say, is no success of the message. */
    {BEFORE_MAIL, 200, 399, true, 451, {4, 3, 5}, false},
    {BEFORE_MAIL, 400, 499, false, 451, {4, 3, 0}, true},
    {BEFORE_MAIL, 500, 599, true, 451, {4, 3, 5}, false},
    {ANY_PHASE, 530, 530, true, 451, {4, 3, 5}, false},
    {ANY_PHASE, 500, 504, true, 451, {4, 3, 5}, false},
};

/* RFC 2034 section 4: an enhanced code is supplied where the next hop sent none. Nothing is claimed
 * that its basic code does not say. */
static void enhanced_supply(enum smtp_client_phase phase, struct smtp_reply *r)
{
    if (r->enhanced.class != 0 || smtp_reply_class(r) == 3)
        return;
    r->enhanced = (struct smtp_enhanced){.class = (uint16_t)smtp_reply_class(r)};
    if (r->enhanced.class != 2)
        return;
    if (phase == SMTP_PHASE_MAIL || phase == SMTP_PHASE_RCPT)
        r->enhanced.subject = 1;
    if (phase == SMTP_PHASE_RCPT)
        r->enhanced.detail = 5;
}

bool smtp_answer_translate(enum smtp_client_phase phase, const struct smtp_reply *from_hop,
                           struct smtp_reply *ret)
{
    bool alarm = false;

    *ret = *from_hop;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct row *row = &table[i];
        if (!(row->phases & 1u << phase) || from_hop->code < row->from || from_hop->code > row->to)
            continue;
        ret->code = row->code;
        if (!row->keep_enhanced || from_hop->enhanced.class != row->enhanced.class)
            ret->enhanced = row->enhanced;
        alarm = row->alarm;
        break;
    }
    enhanced_supply(phase, ret);
    return alarm;
}

static bool refuse(struct smtp_reply *ret, uint16_t code, uint16_t subject, uint16_t detail,
                   const char *text)
{
    *ret = (struct smtp_reply){
        .code = code, .enhanced = {code / 100, subject, detail}, .lines = 1, .len = strlen(text)};
    memcpy(ret->text, text, ret->len);
    return true;
}

bool smtp_answer_unsupported(const struct smtp_caps *caps, const struct smtp_transaction *txn,
                             const struct smtp_rcpt *rcpt, uint64_t size_added,
                             struct smtp_reply *ret)
{
    const struct smtp_mail *m = &txn->mail;

    if (m->body == SMTP_BODY_BINARYMIME && (!caps->binarymime || !caps->chunking))
        return refuse(ret, 554, 6, 3, "The next hop does not take BINARYMIME");
    if (m->body == SMTP_BODY_8BITMIME && !caps->eightbit)
        return refuse(ret, 554, 6, 3, "The next hop does not take 8BITMIME");
    if (m->smtputf8 && !caps->smtputf8)
        return refuse(ret, 553, 6, 7, "The next hop does not take SMTPUTF8");
    if (m->requiretls && !caps->requiretls)
        return refuse(ret, 550, 7, 30, "The next hop does not take REQUIRETLS");
    if (m->has_size && caps->size_limit &&
        (m->size > caps->size_limit || size_added > caps->size_limit - m->size))
        return refuse(ret, 552, 3, 4, "The message is larger than the next hop takes");
    if ((rcpt->notify & SMTP_NOTIFY_SUCCESS) && !caps->dsn)
        return refuse(ret, 550, 3, 3, "The next hop does not confirm delivery (NOTIFY=SUCCESS)");
    return false;
}
