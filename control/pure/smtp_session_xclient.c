/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XCLIENT (Postfix's XCLIENT_README): a trusted proxy says for whom it speaks. The session begins
 * anew at the greeting, and what was said holds until STARTTLS.
 */
#include "smtp_session_priv.h"

#include "ascii.h"

#include <stdio.h>

static const struct smtp_local not_allowed = {550, 7, 0, "Insufficient authorization"};
static const struct smtp_local bad_attribute = {501, 5, 4, "Bad XCLIENT attribute"};

bool smtp_xclient_trusted(const struct smtp_session *s)
{
    const struct conf_listener *listener = s->peer.listener;

    /* By the connection's address, never by one that XCLIENT itself gave. */
    for (size_t i = 0; i < listener->xclient_clients_len; i++) {
        if (net_prefix_contains(&listener->xclient_clients[i], &s->peer.addr))
            return true;
    }
    return false;
}

/* xtext (RFC 1891 section 5) to a string of printable ASCII; "[UNAVAILABLE]" and "[TEMPUNAVAIL]"
 * to the empty string. */
static bool xtext_decode(struct span in, char *out, size_t room)
{
    if (span_equal_nocase(in, SPAN_LIT("[UNAVAILABLE]")) ||
        span_equal_nocase(in, SPAN_LIT("[TEMPUNAVAIL]")))
        in.len = 0;
    return ascii_unescape(in, '+', out, room);
}

static bool set_addr(struct smtp_era *era, const char *value)
{
    struct span ip = span_str(value);
    uint16_t port = net_addr_port(&era->client_addr);

    if (ip.len == 0) /* unknown: no address that a prefix would trust */
        ip = SPAN_LIT("0.0.0.0");
    if (span_starts_nocase(ip, SPAN_LIT("IPV6:")))
        ip = span_from(ip, 5);
    return net_addr_parse_ip(ip, port, &era->client_addr) == ERR_OK;
}

static bool port_value(const char *value, uint16_t *ret_port)
{
    uint64_t port = 0;

    if (value[0] != '\0' && span_to_u64(span_str(value), UINT16_MAX, &port) != ERR_OK)
        return false;
    *ret_port = (uint16_t)port;
    return true;
}

static bool set_port(struct smtp_era *era, const char *value)
{
    uint16_t port;

    if (!port_value(value, &port))
        return false;
    net_addr_set_port(&era->client_addr, port);
    return true;
}

static bool set_name(struct smtp_era *era, const char *value)
{
    snprintf(era->client_name, sizeof(era->client_name), "%s", value);
    return true;
}

static bool set_helo(struct smtp_era *era, const char *value)
{
    snprintf(era->client_helo, sizeof(era->client_helo), "%s", value);
    era->client_helo_known = value[0] != '\0';
    return true;
}

static bool check_proto(struct smtp_era *era, const char *value)
{
    struct span proto = span_str(value);

    return proto.len == 0 || span_equal_nocase(proto, SPAN_LIT("SMTP")) ||
           span_equal_nocase(proto, SPAN_LIT("ESMTP"));
}

static bool check_addr(struct smtp_era *era, const char *value)
{
    struct smtp_era other = {0};

    return set_addr(&other, value);
}

static bool check_port(struct smtp_era *era, const char *value)
{
    uint16_t port;

    return port_value(value, &port);
}

static bool check_login(struct smtp_era *era, const char *value)
{
    return true; /* there is no right here that a login would give */
}

static const struct {
    const char *name;
    bool (*set)(struct smtp_era *era, const char *value);
} attributes[] = {
    {"NAME", set_name}, {"ADDR", set_addr},       {"PORT", set_port},       {"PROTO", check_proto},
    {"HELO", set_helo}, {"DESTADDR", check_addr}, {"DESTPORT", check_port}, {"LOGIN", check_login},
};

/* NAME=value */
static bool attribute_set(struct smtp_era *era, struct span word)
{
    const uint8_t *equals = memchr(word.ptr, '=', word.len);
    char value[256];

    if (!equals)
        return false;
    struct span name = span_make(word.ptr, (size_t)(equals - word.ptr));
    if (!xtext_decode(span_from(word, name.len + 1), value, sizeof(value)))
        return false;
    for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
        if (span_equal_nocase(name, span_str(attributes[i].name)))
            return attributes[i].set(era, value);
    }
    return false;
}

static bool attributes_parse(struct smtp_era *era, struct span rest)
{
    if (rest.len == 0)
        return false;
    while (rest.len > 0) {
        size_t len = 0;
        while (len < rest.len && rest.ptr[len] != ' ')
            len++;
        if (len > 0 && !attribute_set(era, span_make(rest.ptr, len)))
            return false;
        rest = span_from(rest, len + 1);
    }
    return true;
}

void smtp_do_xclient(struct smtp_session *s, struct span rest, struct smtp_out *out)
{
    struct smtp_era era = {.client_addr = *smtp_session_client(s),
                           .client_helo_known = s->era.client_helo_known};

    if (!smtp_xclient_trusted(s)) {
        smtp_say_local(s, &not_allowed, out);
        return;
    }
    /* What an earlier XCLIENT said and this one does not say stays. */
    memcpy(era.client_name, s->era.client_name, sizeof(era.client_name));
    memcpy(era.client_helo, s->era.client_helo, sizeof(era.client_helo));
    if (!attributes_parse(&era, rest)) {
        smtp_say_local(s, &bad_attribute, out);
        return;
    }
    era.xclient = true;
    s->era = era;
    smtp_enter_state(s, SMTP_STATE_CONNECTED);
    smtp_session_greet(s, out);
}
