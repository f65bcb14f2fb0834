/* SPDX-License-Identifier: Apache-2.0 */
#include "tls_job.h"

#include "tls_record.h"

#include <stdio.h>

static void out_put(struct tls_job *job, struct span bytes)
{
    if (buf_append_span(&job->out, bytes) == ERR_OK)
        return;
    job->handshake->no_memory = true;
    job->step = TLS_STEP_FAILED;
}

/* To a peer that has not seen a byte of ours, OpenSSL's silence is explained by an alert. */
static void stranger_tell(struct tls_job *job)
{
    static const uint8_t alert[] = {TLS_CONTENT_ALERT, 3, 3, 0, 2, 2, TLS_ALERT_UNEXPECTED_MESSAGE};
    const struct tls_handshake *h = job->handshake;

    if (h->not_tls && h->server && h->taken == 0)
        out_put(job, span_make(alert, sizeof(alert)));
}

static void export(struct tls_job *job)
{
    if (tls_export_keys(job->handshake, &job->keys) == ERR_OK) {
        tls_export_facts(job->handshake, &job->facts);
        return;
    }
    tls_keys_wipe(&job->keys);
    job->step = TLS_STEP_FAILED;
    job->failure = (struct tls_failure){.kind = TLS_FAIL_INTERNAL,
                                        .text = "the keys can't be exported from OpenSSL"};
}

void tls_job_run(struct tls_job *job)
{
    struct tls_handshake *h = job->handshake;
    struct span bytes = buf_span(&job->in);

    job->step = TLS_STEP_MORE;
    if (!h->ssl) {
        job->step = tls_handshake_start(h);
        out_put(job, tls_handshake_output(h));
    }
    while (job->step == TLS_STEP_MORE && bytes.len > 0) {
        job->step = tls_handshake_feed(h, &bytes);
        out_put(job, tls_handshake_output(h));
    }
    buf_consume(&job->in, buf_len(&job->in) - bytes.len);
    switch (job->step) {
    case TLS_STEP_MORE:
        break;
    case TLS_STEP_DONE:
        export(job);
        break;
    case TLS_STEP_FAILED:
        tls_failure_explain(h, &job->failure);
        stranger_tell(job);
        break;
    }
}
