/* SPDX-License-Identifier: Apache-2.0 */
/* What the reports of load and sink have in common. */
#pragma once

#include "errcode.h"
#include "wire_openssl.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum { REPORT_TLS_ROWS = 8 };

/* How many sessions had which version and suite; beyond the last row they are not told apart. */
struct report_tls {
    struct {
        char name[64];
        uint64_t count;
    } rows[REPORT_TLS_ROWS];
};

void report_tls_count(struct report_tls *t, const SSL *ssl);
json_t *report_tls_json(const struct report_tls *t);
void report_tls_print(const struct report_tls *t);

/* Of this process, user and kernel. */
double report_cpu_seconds(void);
/* Writes report to standard output and gives it back; brief: on one line. NULL is ERR_NOMEM. */
int report_write(json_t *report, bool brief) ERR_CHECK;
