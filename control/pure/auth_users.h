/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Users who may log in with AUTH, as a file has them: a line each, NAME:RECORD, where the record is
 * what SCRAM-SHA-256 keeps of a password (RFC 5802 section 3, in the form of RFC 5803):
 *
 *   anna:SCRAM-SHA-256$4096:SALT$STOREDKEY:SERVERKEY
 *
 * salt and keys in base64. Empty lines and lines that begin with '#' say nothing. Nobody can log in
 * with what is in the file, but who reads it can try passwords, and can pose as this server to
 * its users. Pure; the file is read by conf_load.
 */
#pragma once

#include "arena.h"
#include "errcode.h"
#include "span.h"

enum {
    AUTH_NAME_MAX = 64,
    AUTH_SALT_MIN = 8,
    AUTH_SALT_MAX = 64,
    AUTH_ITERATIONS_MIN = 4096, /* RFC 7677 section 4 */
    AUTH_ITERATIONS_MAX = 16384, /* as long as a worker's loop may stand still: auth_exchange.h */
    AUTH_FILE_MAX = 16 << 20,
    AUTH_LINE_MAX = 512,
};

struct auth_record {
    unsigned iterations;
    size_t salt_len;
    uint8_t salt[AUTH_SALT_MAX];
    uint8_t stored_key[32], server_key[32];
};

struct auth_user {
    char name[AUTH_NAME_MAX + 1];
    struct auth_record record;
};

struct auth_users {
    struct auth_user *users; /* sorted by name */
    size_t len;
};

/* Letters, digits and "._@+-", 1 to AUTH_NAME_MAX of them. */
bool auth_name_valid(struct span name);
/* The file's text into arena. ERR_SYNTAX: why says which line and what about it; ERR_NOMEM. */
int auth_users_parse(const char *text, struct arena *arena, struct auth_users *ret, char *why,
                     size_t why_room) ERR_CHECK;
const struct auth_user *auth_users_find(const struct auth_users *users, const char *name);
/* What somebody who is not there seems to have: always the same for a name, and known to nobody but
 * readers of the file, so that a stranger can't tell names that are there from those that are not. */
void auth_users_pretend(const struct auth_users *users, const char *name, struct auth_record *ret);
/* The line for the file, with its newline. */
void auth_line_write(const char *name, const struct auth_record *record, char out[AUTH_LINE_MAX]);
