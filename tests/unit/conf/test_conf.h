/* SPDX-License-Identifier: Apache-2.0 */
/* A small valid configuration into which a test puts what it is about. */
#pragma once

#include "../cmocka_all.h"

#include "conf_schema.h"

#include <stdio.h>
#include <string.h>

struct parsed {
    int result;
    struct conf *conf;
    struct conf_errors errors;
};

static inline struct parsed parse(const char *text)
{
    struct parsed p;

    p.result = conf_parse(text, "dir/postern.conf", &p.conf, &p.errors);
    /* Both say the same, whatever was read. */
    assert_int_equal(p.result == ERR_OK, p.errors.count == 0);
    assert_int_equal(p.result == ERR_OK, p.conf != NULL);
    assert_int_equal(p.errors.len > 0, p.errors.count > 0);
    return p;
}

struct parts {
    const char *gateway, *limits, *resolver, *tls, *listener, *more_listeners, *route, *route_tls,
        *more_routes, *senders, *tlsrpt; /* of tlsrpt there is none unless said */
};

static inline const char *part(const char *text, const char *otherwise)
{
    return text ? text : otherwise;
}

/* A part replaces what stands there; NULL leaves the default one. */
static inline struct parsed parse_parts(const struct parts *p)
{
    char text[8192];
    int n = snprintf(text, sizeof(text),
                     "gateway: { %s };\n"
                     "limits: { %s };\n"
                     "resolver: { %s };\n"
                     "tls: { %s };\n"
                     "listeners = ( { %s }%s );\n"
                     "routes = ( { %s tls = { %s }; }%s );\n"
                     "senders = ( %s );\n",
                     part(p->gateway, "hostname = \"gw.example.org\";"), part(p->limits, ""),
                     part(p->resolver, ""),
                     part(p->tls, "certificates = ( { cert = \"c.pem\"; key = \"c.key\"; } );"),
                     part(p->listener, "name = \"in\"; address = \"127.0.0.1:25\";"),
                     part(p->more_listeners, ""),
                     part(p->route, "domain = \"example.org\"; next_hop = \"mail.example:25\";"),
                     part(p->route_tls, ""), part(p->more_routes, ""), part(p->senders, ""));

    if (p->tlsrpt)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "tlsrpt: { %s };\n", p->tlsrpt);
    assert_in_range(n, 1, sizeof(text) - 1);
    return parse(text);
}

static inline void assert_accepted(struct parsed p)
{
    assert_string_equal(p.errors.text, "");
    conf_free(p.conf);
}

/* Exactly one complaint, which begins and goes on as told. */
static inline void assert_refused(struct parsed p, const char *start, const char *within)
{
    if (p.errors.count != 1 || strncmp(p.errors.text, start, strlen(start)) != 0 ||
        !strstr(p.errors.text, within))
        fail_msg("expected one complaint \"%s\" with \"%s\", got: %s", start, within,
                 p.errors.text);
    conf_free(p.conf);
}
