/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include <inttypes.h>

enum { BAR = 30 };

static const struct {
    const char *word, *text;
} failures[] = {
#define LOAD_FAILURE(name, word, text) {word, text},
#include "load_failure.def"
#undef LOAD_FAILURE
};

static const struct {
    const char *name;
    unsigned hundred_thousandths;
} quantiles[] = {
    {"p50", 50000}, {"p90", 90000}, {"p99", 99000}, {"p99.9", 99900}, {"max", 100000},
};

static const char *const tls_words[] = {[WIRE_UNSET] = "",
                                        [WIRE_PLAIN] = "plain",
                                        [WIRE_STARTTLS] = "starttls",
                                        [WIRE_IMPLICIT] = "tls"};

static double part_done(const struct load *l)
{
    double by_count = l->options.idle ? (double)l->held / (double)l->options.sessions
                                      : (double)(l->accepted + l->rejected + l->failed) /
                                            (double)l->options.messages;
    double by_time = (double)(l->now_us - l->began_us) / 1e6 / (double)l->options.seconds;
    double part = by_count > by_time || l->options.idle ? by_count : by_time;

    return part < 1 ? part : 1;
}

void load_progress(const struct load *l)
{
    char bar[BAR + 1];
    unsigned done = (unsigned)(part_done(l) * BAR);
    double seconds = (double)(l->now_us - l->began_us) / 1e6;

    memset(bar, ' ', BAR);
    memset(bar, '#', done);
    bar[BAR] = '\0';
    fprintf(stderr,
            "\r[%s] %3.0f%%  %" PRIu64 " accepted, %.0f/s, %" PRIu64 " open, %" PRIu64
            " not accepted ",
            bar, part_done(l) * 100, l->accepted, seconds > 0 ? (double)l->accepted / seconds : 0,
            l->open, l->rejected + l->failed);
}

static double run_seconds(const struct load *l)
{
    return (double)(l->ended_us - l->began_us) / 1e6;
}

static const char *end_word(const struct load *l)
{
    if (l->interrupted)
        return "interrupted";
    return l->options.idle || l->plan.taken == l->options.messages ? "complete" : "time";
}

static json_t *histogram_json(const struct histogram *h)
{
    json_t *out = json_object();

    json_object_set_new(out, "count", json_integer((json_int_t)h->count));
    json_object_set_new(out, "mean", json_real((double)histogram_mean(h) / 1e3));
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
        json_object_set_new(
            out, quantiles[i].name,
            json_real((double)histogram_quantile(h, quantiles[i].hundred_thousandths) / 1e3));
    return out;
}

static json_t *sessions_json(const struct load *l)
{
    json_t *why = json_object();
    json_int_t failed = 0;

    for (size_t i = 0; i < LOAD_FAILURE_COUNT; i++) {
        failed += (json_int_t)l->failures[i];
        if (l->failures[i] > 0)
            json_object_set_new(why, failures[i].word, json_integer((json_int_t)l->failures[i]));
    }
    return json_pack("{sI sI sI sI sI so so}", "opened", (json_int_t)l->sessions_opened, "resumed",
                     (json_int_t)l->sessions_resumed, "held", (json_int_t)l->held_most, "lost",
                     (json_int_t)l->held_lost, "failed", failed, "failures", why, "tls",
                     report_tls_json(&l->tls_names));
}

static json_t *replies_json(const struct load *l)
{
    json_t *out = json_object();

    for (unsigned i = 0; i < LOAD_CODES; i++) {
        char code[8];
        if (l->codes[i] == 0)
            continue;
        snprintf(code, sizeof(code), "%u", i);
        json_object_set_new(out, code, json_integer((json_int_t)l->codes[i]));
    }
    return out;
}

/* A text of the peer that is not UTF-8 is left out: JSON can't hold it. */
static json_t *texts_json(const struct load *l)
{
    json_t *out = json_object();

    for (unsigned i = 0; i < LOAD_CODES; i++) {
        char code[8];
        snprintf(code, sizeof(code), "%u", i);
        json_t *text = l->code_texts[i] ? json_string(l->code_texts[i]) : NULL;
        if (text)
            json_object_set_new(out, code, text);
    }
    return out;
}

static json_t *report_json(const struct load *l)
{
    char run[17];
    double seconds = run_seconds(l);

    snprintf(run, sizeof(run), "%016" PRIx64, l->form.run);
    json_t *messages =
        json_pack("{sI sI sI sI sI sI}", "size", (json_int_t)l->form.size, "started",
                  (json_int_t)l->plan.taken, "accepted", (json_int_t)l->accepted, "rejected",
                  (json_int_t)l->rejected, "failed", (json_int_t)l->failed, "missed",
                  (json_int_t)plan_missed(&l->plan, l->ended_us));
    return json_pack(
        "{ss ss ss ss ss sf sf sf sI so so so so so so so ss}", "verb", "load", "target",
        l->options.target, "tls", tls_words[l->options.tls], "run", run, "end", end_word(l),
        "seconds", seconds, "cpu_seconds", report_cpu_seconds(), "messages_per_second",
        seconds > 0 ? (double)l->accepted / seconds : 0, "bytes", (json_int_t)l->bytes, "messages",
        messages, "sessions", sessions_json(l), "replies", replies_json(l), "texts", texts_json(l),
        "latency_ms", histogram_json(&l->latency), "setup_ms", histogram_json(&l->setup),
        "handshake_ms", histogram_json(&l->handshake), "tls_error", l->tls_error);
}

static void histogram_print(const char *name, const struct histogram *h)
{
    if (h->count == 0)
        return;
    printf("%-10s ms", name);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
        printf("  %s %.3f", quantiles[i].name,
               (double)histogram_quantile(h, quantiles[i].hundred_thousandths) / 1e3);
    printf("  (mean %.3f, %" PRIu64 " records)\n", (double)histogram_mean(h) / 1e3, h->count);
}

/* A peer's text on a terminal: printable ASCII only. */
static void text_print(const char *text)
{
    for (; *text; text++)
        putchar(*text >= 0x20 && *text < 0x7f ? *text : '?');
}

static void report_print(const struct load *l)
{
    double seconds = run_seconds(l);

    printf("messages   %" PRIu64 " accepted, %" PRIu64 " rejected, %" PRIu64
           " without an answer, %" PRIu64 " missed; run %016" PRIx64 "\n",
           l->accepted, l->rejected, l->failed, plan_missed(&l->plan, l->ended_us), l->form.run);
    printf("rate       %.1f messages/s, %.2f MB/s, %.2f s; %.2f s of CPU here\n",
           seconds > 0 ? (double)l->accepted / seconds : 0,
           seconds > 0 ? (double)l->bytes / 1e6 / seconds : 0, seconds, report_cpu_seconds());
    printf("sessions   %" PRIu64 " opened, %" PRIu64 " resumed", l->sessions_opened,
           l->sessions_resumed);
    if (l->options.idle)
        printf(", %" PRIu64 " held, %" PRIu64 " of them lost", l->held_most, l->held_lost);
    printf("\n");
    report_tls_print(&l->tls_names);
    for (size_t i = 0; i < LOAD_FAILURE_COUNT; i++) {
        if (l->failures[i] > 0)
            printf("failed     %" PRIu64 " %s: %s\n", l->failures[i], failures[i].word,
                   failures[i].text);
    }
    if (l->tls_error[0] != '\0')
        printf("tls error  %s\n", l->tls_error);
    histogram_print("latency", &l->latency);
    histogram_print("setup", &l->setup);
    histogram_print("handshake", &l->handshake);
    for (unsigned i = 0; i < LOAD_CODES; i++) {
        if (l->codes[i] == 0)
            continue;
        printf("reply %u  %" PRIu64 "  ", i, l->codes[i]);
        if (l->code_texts[i])
            text_print(l->code_texts[i]);
        printf("\n");
    }
}

int load_report(const struct load *l)
{
    int err = ERR_OK;

    if (l->options.json)
        err = report_write(report_json(l), false);
    else
        report_print(l);
    return err == ERR_OK && fflush(stdout) != 0 ? ERR_IO : err;
}
