/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a mail server does with STARTTLS what the operators of STARTTLS Everywhere's list asked
 * of one before they listed it: offered, a valid certificate for its name, nothing outdated. For
 * posternctl tls check; it blocks, has connections of its own, and asks no gateway.
 */
#pragma once

#include "net_addr.h"
#include "smtp_client.h"
#include "tls_facts.h"

enum server_check {
#define CHECK(name, text, advice) SERVER_CHECK_##name,
#include "server_check.def"
#undef CHECK
    SERVER_CHECK_COUNT
};

enum server_check_result {
    SERVER_CHECK_SKIPPED, /* it could not be tried; seen says why */
    SERVER_CHECK_OK,
    SERVER_CHECK_WARNING, /* it works, and should be better */
    SERVER_CHECK_FAILED,
};

struct server_check_row {
    enum server_check_result result;
    char seen[320]; /* may have bytes of the server's, none of them a control character */
};

struct server_check_conf {
    const char *name; /* that the certificate must have */
    const char *sni;  /* NULL: none */
    const char *ca;   /* PEM bundle; NULL: the system's */
    const char *helo;
    int timeout_s; /* of each of the four connections */
};

struct server_check_report {
    struct server_check_row rows[SERVER_CHECK_COUNT];
    bool has_tls;
    struct tls_facts facts;
};

void server_check_run(const struct server_check_conf *conf, const union net_addr *addr,
                      struct server_check_report *ret);

/* Whether it greets, has the TLS that is asked for, whatever its certificate is, and answers EHLO
 * then. seen says what was seen, or why not. */
bool server_check_answers(const struct server_check_conf *conf, const union net_addr *addr,
                          enum smtp_client_tls tls, char *seen, size_t seen_room);

const char *server_check_text(enum server_check check);
const char *server_check_advice(enum server_check check);
/* "skipped", "ok", "warning", "failed". */
const char *server_check_result_text(enum server_check_result result);
