/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes are a TLS report, bare, in gzip or in a mail; or none, and why. What is read has no
 * byte that a terminal would act on. */
#include "fuzz.h"

#include "assertion.h"
#include "tlsrpt_mail.h"
#include "tlsrpt_report.h"

static void text_check(const char *text)
{
    for (; *text; text++)
        ASSERT((uint8_t)*text >= 0x20 && *text != 0x7f);
}

static void report_check(const struct tlsrpt_report *r)
{
    text_check(r->organization);
    text_check(r->contact);
    text_check(r->id);
    for (size_t i = 0; i < r->policies_len; i++) {
        const struct tlsrpt_policy *p = &r->policies[i];
        text_check(p->type);
        text_check(p->domain);
        ASSERT(p->policy.len <= TLSRPT_STRINGS_MAX && p->mx.len <= TLSRPT_STRINGS_MAX);
        for (size_t s = 0; s < p->policy.len; s++)
            text_check(p->policy.items[s]);
        for (size_t f = 0; f < p->failures_len; f++) {
            text_check(p->failures[f].result);
            text_check(p->failures[f].reason);
            ASSERT(tlsrpt_result_find(p->failures[f].result) <= TLSRPT_RESULTS);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tlsrpt_report *report = NULL;
    char why[256] = "";
    struct buf json;

    buf_init(&json, TLSRPT_JSON_MAX);
    int err = tlsrpt_unpack(span_make(data, size), &json, why, sizeof(why));
    ASSERT((err == ERR_OK) == (why[0] == '\0') && buf_len(&json) <= TLSRPT_JSON_MAX);
    if (!err) {
        err = tlsrpt_report_parse(buf_span(&json), &report, why, sizeof(why));
        ASSERT((err == ERR_OK) == (why[0] == '\0') && (err == ERR_OK) == (report != NULL));
    }
    text_check(why);
    if (report)
        report_check(report);
    tlsrpt_report_free(report);
    buf_release(&json);
    return 0;
}
