/* SPDX-License-Identifier: Apache-2.0 */
#include "tlsrpt_message.h"

#include "base64.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LINE = 76 };

const char *const tlsrpt_mail_signed[] = {"from",
                                          "to",
                                          "subject",
                                          "date",
                                          "message-id",
                                          "mime-version",
                                          "content-type",
                                          "tls-report-domain",
                                          "tls-report-submitter",
                                          "from",
                                          NULL};

const char *tlsrpt_file_name(const char *submitter, const char *domain, int64_t start, int64_t end,
                             char out[TLSRPT_FILE_NAME])
{
    snprintf(out, TLSRPT_FILE_NAME, "%s!%s!%" PRId64 "!%" PRId64 ".json.gz", submitter, domain,
             start, end);
    return out;
}

/* RFC 5322 section 3.3, whatever the locale. */
static void date_text(int64_t at, char out[40])
{
    static const char days[] = "SunMonTueWedThuFriSat",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)at;
    struct tm tm = {0};

    (void)gmtime_r(&seconds, &tm);
    snprintf(out, 40, "%.3s, %d %.3s %04d %02d:%02d:%02d +0000", days + 3 * tm.tm_wday, tm.tm_mday,
             months + 3 * tm.tm_mon, tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

static int base64_lines(struct span bytes, struct buf *out)
{
    char *text = malloc(base64_len(bytes.len) + 1);
    int err = text ? ERR_OK : ERR_NOMEM;

    if (text)
        base64_encode(bytes, text);
    for (size_t at = 0; !err && at < base64_len(bytes.len); at += LINE) {
        size_t left = base64_len(bytes.len) - at;
        err = buf_printf(out, "%.*s\r\n", (int)(left < LINE ? left : LINE), text + at);
    }
    free(text);
    return err;
}

/* No line of base64, nor our own text, begins with two hyphens, so that the delimiter need not be
 * random. */
#define BOUNDARY "=_postern_tlsrpt"

int tlsrpt_mail_write(const struct tlsrpt_mail *m, struct buf *header, struct buf *body)
{
    char date[40], name[TLSRPT_FILE_NAME];
    int err;

    date_text(m->now, date);
    err = buf_printf(header,
                     "From: <%s>\r\nTo: <%s>\r\nDate: %s\r\nMessage-ID: <%" PRId64 ".%s>\r\n"
                     "Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>\r\n"
                     "TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\n"
                     "Auto-Submitted: auto-generated\r\nTLS-Required: No\r\nMIME-Version: 1.0\r\n"
                     "Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n"
                     "\tboundary=\"" BOUNDARY "\"\r\n",
                     m->from, m->to, date, m->now, m->report_id, m->domain, m->submitter,
                     m->report_id, m->domain, m->submitter);
    if (!err)
        err = buf_printf(body,
                         "This is a multipart message in MIME format.\r\n\r\n--" BOUNDARY "\r\n"
                         "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
                         "This is an aggregate TLS report from %s\r\n\r\n--" BOUNDARY "\r\n"
                         "Content-Type: application/tlsrpt+gzip\r\n"
                         "Content-Transfer-Encoding: base64\r\n"
                         "Content-Disposition: attachment;\r\n\tfilename=\"%s\"\r\n\r\n",
                         m->submitter,
                         tlsrpt_file_name(m->submitter, m->domain, m->start, m->end, name));
    if (!err)
        err = base64_lines(m->gzip, body);
    return err ? err : buf_printf(body, "\r\n--" BOUNDARY "--\r\n");
}
