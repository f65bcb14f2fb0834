/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What answers an authority's http-01 challenge (RFC 8555 section 8.3) on port 80, for as long as a
 * certificate is asked for: one path, the files of one folder, nothing else. A process of its own, of
 * the user nobody, with that folder's descriptor and no other.
 */
#pragma once

#include "errcode.h"

#include <stdbool.h>
#include <sys/types.h>

/* Answers from files in folder until it is ended (system_stop). The pid; ERR_SYSTEM, errno says why:
 * EADDRINUSE, where something else has the port. */
pid_t acme_responder_start(int folder, unsigned short port) ERR_CHECK;

enum { ACME_TOKEN = 128 };

/* Of a request's first line: the token that it asks for. False: it asks for something else. */
bool acme_responder_token(const char *line, char ret_token[ACME_TOKEN]);
