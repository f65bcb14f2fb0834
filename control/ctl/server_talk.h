/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to a mail server that blocks, up to the point where TLS begins, by the gateway's own
 * SMTP machine; and then its bytes. One deadline holds for all of it. For server_check.c.
 */
#pragma once

#include "buf.h"
#include "net_addr.h"
#include "smtp_client.h"

enum server_talk_state {
    SERVER_TALK_SMTP,
    SERVER_TALK_TLS,    /* 220 to STARTTLS came, or TLS comes first: what follows is TLS */
    SERVER_TALK_READY,  /* EHLO was answered, where there is TLS behind it */
    SERVER_TALK_FAILED, /* why says how */
};

struct server_talk {
    int fd;
    int64_t deadline_ms;
    struct smtp_client_conf conf;
    struct smtp_client *client;
    struct buf commands; /* that the machine wrote */
    struct buf input;    /* SMTP that came */
    enum server_talk_state state;
    bool connected, heard, closed; /* closed: by the server */
    char greeting[128];
    char why[256];
};

/* Goes as far as it comes: look at state. To be closed whatever came of it. */
void server_talk_open(struct server_talk *t, const union net_addr *addr, const char *helo,
                      enum smtp_client_tls tls, int timeout_s);
void server_talk_close(struct server_talk *t);

/* Raw bytes. False where the time is over, or the connection is gone; why says which. */
bool server_talk_send(struct server_talk *t, struct span bytes);
bool server_talk_receive(struct server_talk *t, struct buf *ret);
/* SMTP that came, in plaintext or out of TLS. */
void server_talk_input(struct server_talk *t, struct span bytes);
