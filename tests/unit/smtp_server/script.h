/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a session with the receiving machine from a transcript, one thing a line:
 *
 *   C: EHLO client.example      the client sends this line; lines in a row are one segment
 *   c: MAIL\r                   the same without CRLF added; \r \n \0 \t are escapes
 *   S: 250 2.0.0 Ok             the next reply line; "..." at its end: whatever follows
 *   S*                          the next whole reply, whatever it says
 *   H: rcpt 250 2.1.5 Ok        the next hop answers: rcpt, data, chunk, final, lost
 *   A: OPEN                     the next action
 *   E: tls                      an event: tls, timeout, shutdown, refused CODE TEXT, early ...
 *   E: auth accepted anna       the judgement on AUTH: challenge TEXT, accepted USER [TEXT], refused,
 *                               unavailable
 *
 * Replies and actions are compared, each in their order, whenever the client or the next hop
 * speaks again, and nothing may be left. Bodies are the driver's: it takes them off the client's
 * bytes as the actions say, and keeps those that it passed on in passed. A script runs with the
 * client's bytes whole, byte by byte, and cut in two at every place.
 */
#pragma once

#include "smtp_session.h"

struct script_setup {
    struct conf conf;
    struct conf_listener listener;
    struct conf_route routes[4];
    struct smtp_offers offers;
    struct net_prefix relay[1], xclient[1];
};

/* A gateway gw.example.org with routes to example.org, .sub.example.org, * (mx, for relay
 * clients: 10/8), and generous limits. The client is 192.0.2.1. */
void script_setup(struct script_setup *setup);
/* Makes its parts point to each other; script_run does so itself, in a copy. */
void script_setup_bind(struct script_setup *setup);

enum script_cuts { SCRIPT_ALL_CUTS, SCRIPT_WHOLE };

#define script_run(setup, text) script_run_at(setup, SCRIPT_ALL_CUTS, text, __FILE__, __LINE__)
#define script_run_whole(setup, text) script_run_at(setup, SCRIPT_WHOLE, text, __FILE__, __LINE__)
void script_run_at(const struct script_setup *setup, enum script_cuts cuts, const char *text,
                   const char *file, int line);

/* Beginnings that many scripts share: EHLO; a first recipient that the next hop took; DATA on its
 * way. */
#define HELLO "C: EHLO client.example\nS*\n"
#define MAIL HELLO "C: MAIL FROM:<a@client.example>\nS: 250 2.1.0 Ok\n"
#define OPEN "A: OPEN example.org example.org\nA: RCPT 0 x@example.org\n"
#define OPENED                                                                                     \
    MAIL "C: RCPT TO:<x@example.org>\n" OPEN "H: rcpt 250 2.1.5 Fine\nS: 250 2.1.5 Fine\n"
#define BODY OPENED "C: DATA\nA: DATA\nH: data 354 0.0.0 go\nS: 354 ...\nA: BODY\n"
#define QUIT "C: QUIT\nS: 221 2.0.0 Bye\nA: CLOSE quit\n"
/* That the session goes on, and in the state READY. */
#define READY "C: MAIL FROM:<>\nS: 250 2.1.0 Ok\n" QUIT
