/* SPDX-License-Identifier: Apache-2.0 */
/* The command parser: what it lets pass can be written into a command as it is. */
#include "fuzz.h"

#include "assertion.h"
#include "smtp_address.h"
#include "smtp_command.h"

/* Views lie in the line. */
static void check_inside(struct span line, struct span part)
{
    if (part.len > 0)
        ASSERT(part.ptr >= line.ptr && part.ptr + part.len <= line.ptr + line.len);
}

/* Nothing that could end the path early, or the line. */
static void check_address(struct span address, bool smtputf8)
{
    bool quoted = false;

    ASSERT(address.len <= SMTP_ADDRESS_MAX);
    for (size_t i = 0; i < address.len; i++) {
        uint8_t c = address.ptr[i];
        ASSERT(c >= ' ' && c != 0x7f && (c < 0x80 || smtputf8));
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted)
            ASSERT(c != ' ' && c != '<' && c != '>' && c != '(' && c != ')' && c != ',');
    }
    ASSERT(!quoted);
}

static void check_mail(struct span line, struct span rest)
{
    struct smtp_mail mail;

    if (smtp_parse_mail(rest, &mail) != ERR_OK)
        return;
    check_inside(line, mail.address);
    check_inside(line, mail.ret);
    check_inside(line, mail.envid);
    check_inside(line, mail.unknown);
    check_address(mail.address, mail.smtputf8);
}

static void check_rcpt(struct span line, struct span rest, bool smtputf8)
{
    struct smtp_rcpt rcpt;

    if (smtp_parse_rcpt(rest, smtputf8, &rcpt) != ERR_OK)
        return;
    check_inside(line, rcpt.address);
    check_inside(line, rcpt.domain);
    check_inside(line, rcpt.orcpt);
    check_inside(line, rcpt.unknown);
    check_address(rcpt.address, smtputf8);
    ASSERT(rcpt.address.len > 0);
    if (rcpt.domain.len > 0) {
        ASSERT(rcpt.domain.ptr[-1] == '@');
        ASSERT(rcpt.domain.ptr + rcpt.domain.len == rcpt.address.ptr + rcpt.address.len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span line = span_make(data, len), rest, name;
    uint64_t size;
    bool last;

    /* The machine never hands such a line on. */
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\r' || data[i] == '\n' || data[i] == '\0')
            return 0;
    }
    if (len == 0)
        return 0;
    enum smtp_verb verb = smtp_command_verb(line, &rest);
    ASSERT(verb < SMTP_VERB_COUNT);
    check_inside(line, rest);
    check_mail(line, rest);
    check_rcpt(line, rest, false);
    check_rcpt(line, rest, true);
    if (smtp_parse_bdat(rest, &size, &last) == ERR_OK)
        ASSERT(size <= INT64_MAX);
    if (smtp_parse_helo(rest, &name) == ERR_OK)
        ASSERT(name.len > 0 && name.len <= 255 && !memchr(name.ptr, ' ', name.len));
    return 0;
}
