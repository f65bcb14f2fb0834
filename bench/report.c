/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { DECIMALS = 10 };

void report_tls_count(struct report_tls *t, const SSL *ssl)
{
    char name[sizeof(t->rows[0].name)];

    snprintf(name, sizeof(name), "%s %s", SSL_get_version(ssl), SSL_get_cipher_name(ssl));
    for (size_t i = 0; i < REPORT_TLS_ROWS; i++) {
        bool last = i == REPORT_TLS_ROWS - 1;
        if (t->rows[i].count == 0)
            memcpy(t->rows[i].name, name, sizeof(name));
        if (!last && strcmp(t->rows[i].name, name) != 0)
            continue;
        t->rows[i].count++;
        return;
    }
}

json_t *report_tls_json(const struct report_tls *t)
{
    json_t *out = json_object();

    for (size_t i = 0; i < REPORT_TLS_ROWS && t->rows[i].count > 0; i++)
        json_object_set_new(out, t->rows[i].name, json_integer((json_int_t)t->rows[i].count));
    return out;
}

void report_tls_print(const struct report_tls *t)
{
    for (size_t i = 0; i < REPORT_TLS_ROWS && t->rows[i].count > 0; i++)
        printf("tls        %" PRIu64 " %s\n", t->rows[i].count, t->rows[i].name);
}

double report_cpu_seconds(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

int report_write(json_t *report, bool brief)
{
    if (!report)
        return ERR_NOMEM;
    int result = json_dumpf(
        report, stdout, JSON_REAL_PRECISION(DECIMALS) | (brief ? JSON_COMPACT : JSON_INDENT(2)));
    json_decref(report);
    printf("\n");
    return result == 0 ? ERR_OK : ERR_IO;
}
