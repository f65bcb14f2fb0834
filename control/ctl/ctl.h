/* SPDX-License-Identifier: Apache-2.0 */
/* posternctl's parts: reading its words, asking the gateway, and printing answers for people. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

/* How many of the words given are the verb's own, "policy ratchet accept"; 0: another verb. */
int ctl_words_match(const char *verb, int count, char **words);

/* Sends the request, which becomes the callee's, {"verb": ..., its arguments}, and returns the
 * answer's "data". On failure NULL: *ret_exit is a code of sysexits, and error says why, for people
 * (several lines where several things are wrong). */
json_t *ctl_ask(const char *socket_path, json_t *request, int *ret_exit, char *error,
                size_t error_room);

void ctl_print_status(const json_t *data);
void ctl_print_sessions(const json_t *data);
void ctl_print_routes(const json_t *data);
void ctl_print_explain(const json_t *data);
/* "label       text", its lines broken between words. */
void ctl_say(int indent, const char *label, const char *text);
void ctl_print_ratchet(const json_t *data);
void ctl_print_ratchet_done(const json_t *data);
