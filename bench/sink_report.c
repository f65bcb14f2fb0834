/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include <inttypes.h>

uint64_t sink_corrupt(const struct sink *sink)
{
    uint64_t corrupt = 0;

    for (unsigned i = 0; i < MESSAGE_VERDICT_COUNT; i++) {
        if (i != MESSAGE_INTACT && i != MESSAGE_FOREIGN)
            corrupt += sink->verdicts[i];
    }
    return corrupt;
}

static json_t *runs_json(const struct sink *sink)
{
    json_t *out = json_array();

    for (size_t i = 0; i < sink->tally.count; i++) {
        const struct tally_run *r = &sink->tally.runs[i];
        char run[17];
        snprintf(run, sizeof(run), "%016" PRIx64, r->run);
        json_array_append_new(out,
                              json_pack("{ss sI sI}", "run", run, "unique", (json_int_t)r->unique,
                                        "duplicates", (json_int_t)r->duplicates));
    }
    return out;
}

static json_t *messages_json(const struct sink *sink)
{
    json_t *out = json_pack("{sI sI sI sI sI sI sI sI sI}", "received", (json_int_t)sink->received,
                            "duplicates", (json_int_t)sink->duplicates, "corrupt",
                            (json_int_t)sink_corrupt(sink), "refused", (json_int_t)sink->failed,
                            "aborted", (json_int_t)sink->aborted, "plain", (json_int_t)sink->plain,
                            "bare_lf", (json_int_t)sink->bare_lf, "trace_fields",
                            (json_int_t)sink->trace_lines, "not_tallied", (json_int_t)sink->beyond);
    json_t *verdicts = json_object();

    for (unsigned i = 0; i < MESSAGE_VERDICT_COUNT; i++)
        json_object_set_new(verdicts, message_verdict_word(i),
                            json_integer((json_int_t)sink->verdicts[i]));
    json_object_set_new(out, "verdicts", verdicts);
    return out;
}

static json_t *sessions_json(const struct sink *sink)
{
    return json_pack("{sI sI sI sI sI sI sI so}", "accepted", (json_int_t)sink->accepted,
                     "turned_away", (json_int_t)sink->turned_away, "handshakes",
                     (json_int_t)sink->tls, "resumed", (json_int_t)sink->resumed,
                     "handshakes_failed", (json_int_t)sink->tls_failed, "injections",
                     (json_int_t)sink->injections, "timeouts", (json_int_t)sink->timeouts, "tls",
                     report_tls_json(&sink->tls_names));
}

static json_t *report_json(const struct sink *sink)
{
    return json_pack("{ss ss sf sf sI so so so}", "verb", "sink", "listen", sink->address,
                     "seconds", (double)(sink->now_us - sink->began_us) / 1e6, "cpu_seconds",
                     report_cpu_seconds(), "bytes", (json_int_t)sink->bytes, "messages",
                     messages_json(sink), "sessions", sessions_json(sink), "runs", runs_json(sink));
}

static void report_print(const struct sink *sink)
{
    printf("messages   %" PRIu64 " received, %" PRIu64 " duplicates, %" PRIu64 " corrupt, %" PRIu64
           " refused, %" PRIu64 " aborted, %" PRIu64 " in plaintext\n",
           sink->received, sink->duplicates, sink_corrupt(sink), sink->failed, sink->aborted,
           sink->plain);
    printf("sessions   %" PRIu64 " accepted, %" PRIu64 " handshakes, %" PRIu64 " resumed, %" PRIu64
           " failed\n",
           sink->accepted, sink->tls, sink->resumed, sink->tls_failed);
    printf("bytes      %" PRIu64 "; %.2f s of CPU here\n", sink->bytes, report_cpu_seconds());
    for (unsigned i = 0; i < MESSAGE_VERDICT_COUNT; i++) {
        if (sink->verdicts[i] > 0)
            printf("%-10s %" PRIu64 ": %s\n", message_verdict_word(i), sink->verdicts[i],
                   message_verdict_text(i));
    }
    report_tls_print(&sink->tls_names);
    for (size_t i = 0; i < sink->tally.count; i++)
        printf("run        %016" PRIx64 ": %" PRIu64 " different messages\n",
               sink->tally.runs[i].run, sink->tally.runs[i].unique);
}

int sink_report(const struct sink *sink, bool brief)
{
    int err = ERR_OK;

    if (sink->options.json)
        err = report_write(report_json(sink), brief);
    else
        report_print(sink);
    return err == ERR_OK && fflush(stdout) != 0 ? ERR_IO : err;
}
