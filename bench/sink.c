/* SPDX-License-Identifier: Apache-2.0 */
#include "sink.h"

#include "bench.h"
#include "option.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

enum { EVENTS = 256, ACCEPT_TURN = 64, TICK_US = 500 * 1000 };

#define SINK(...) OPTION_ROW(sink_options, __VA_ARGS__)

static const struct option_row rows[] = {
    SINK("listen", "HOST:PORT", OPTION_TEXT, listen, 0, 300, "where to listen; port 0: any"),
    SINK("starttls", NULL, OPTION_CHOICE, tls, WIRE_STARTTLS, 0, "offer STARTTLS"),
    SINK("tls", NULL, OPTION_CHOICE, tls, WIRE_IMPLICIT, 0, "TLS from the first byte"),
    SINK("plain", NULL, OPTION_CHOICE, tls, WIRE_PLAIN, 0, "no TLS"),
    SINK("tls1.2", NULL, OPTION_FLAG, offer.tls12, 0, 0, "TLS 1.2 at most"),
    SINK("suites", "LIST", OPTION_TEXT, offer.suites, 0, 400,
         "cipher suites of 1.3 (TLS_...) or of 1.2"),
    SINK("groups", "LIST", OPTION_TEXT, offer.groups, 0, 400,
         "key exchange groups, the best first"),
    SINK("cert", "FILE", OPTION_TEXT, cert, 0, 4095, "certificate chain, PEM (self-made P-256)"),
    SINK("key", "FILE", OPTION_TEXT, key, 0, 4095, "its key, PEM"),
    SINK("hostname", "NAME", OPTION_TEXT, hostname, 0, 253, "in greeting (sink.bench.invalid)"),
    SINK("delay-ms", "D", OPTION_U64, delay_ms, 0, 600000,
         "hold the reply to each message, ms (0)"),
    SINK("fail-rate", "P", OPTION_REAL, fail_rate, 0, 1, "share of messages refused, 0 to 1 (0)"),
    SINK("code", "C", OPTION_U64, code, 400, 599, "what they are refused with (451)"),
    SINK("no-chunking", NULL, OPTION_FLAG, no_chunking, 0, 0, "do not offer CHUNKING"),
    SINK("no-pipelining", NULL, OPTION_FLAG, no_pipelining, 0, 0, "do not offer PIPELINING"),
    SINK("messages", "M", OPTION_U64, messages, 0, 1000000000,
         "end after so many; 0: no bound (0)"),
    SINK("seconds", "S", OPTION_U64, seconds, 1, 86400, "end after that time, s (3600)"),
    SINK("sessions", "N", OPTION_U64, sessions, 1, 60000, "at most at a time (20000)"),
    SINK("timeout", "S", OPTION_U64, timeout_s, 1, 3600, "a silent session ends, s (300)"),
    SINK("ledger", "FILE", OPTION_TEXT, ledger, 0, 4095, "write a line for each message"),
    SINK("json", NULL, OPTION_FLAG, json, 0, 0, "report as JSON"),
};

static volatile sig_atomic_t interrupted, asked;

static void signal_note(int signal_number)
{
    if (signal_number == SIGUSR1)
        asked = 1;
    else
        interrupted = 1;
}

static const char *options_wrong(const struct sink_options *o)
{
    if (!o->listen)
        return "--listen HOST:PORT is needed";
    if (o->tls == WIRE_UNSET)
        return "one of --starttls, --tls and --plain is needed";
    if (!o->cert != !o->key)
        return "--cert and --key go together";
    return NULL;
}

static void address_note(struct sink *sink)
{
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);
    char host[64] = "", port[8] = "";

    if (getsockname(sink->listener, (struct sockaddr *)&at, &len) == 0)
        (void)getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), port, sizeof(port),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(sink->address, sizeof(sink->address), at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
             host, port);
}

static bool listen_prepare(struct sink *sink, char *error, size_t room)
{
    struct sockaddr_storage at;
    socklen_t len;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    if (wire_address(sink->options.listen, &at, &len) != ERR_OK) {
        snprintf(error, room, "--listen: no address for \"%s\"", sink->options.listen);
        return false;
    }
    if (wire_listen(&at, len, &sink->listener) != ERR_OK ||
        epoll_ctl(sink->epoll, EPOLL_CTL_ADD, sink->listener, &event) < 0) {
        snprintf(error, room, "--listen: %s: %s", sink->options.listen, strerror(errno));
        return false;
    }
    address_note(sink);
    return true;
}

static bool sink_prepare(struct sink *sink, char *error, size_t room)
{
    const struct sink_options *o = &sink->options;
    struct rlimit limit;

    TAILQ_INIT(&sink->sessions);
    TAILQ_INIT(&sink->delayed);
    TAILQ_INIT(&sink->again);
    sink->epoll = epoll_create1(EPOLL_CLOEXEC);
    /* More than the soft limit where the hard one allows; what is beyond is turned away. */
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (o->tls != WIRE_PLAIN &&
        !(sink->context = wire_server_context(&o->offer, o->cert, o->key))) {
        char why[160];
        wire_tls_error(why, sizeof(why));
        snprintf(error, room, "certificate, key, suites or groups not usable: %s", why);
        return false;
    }
    if (o->ledger && !(sink->ledger = fopen(o->ledger, "we"))) {
        snprintf(error, room, "--ledger: %s: %s", o->ledger, strerror(errno));
        return false;
    }
    return listen_prepare(sink, error, room);
}

static void sessions_accept(struct sink *sink)
{
    for (unsigned i = 0; i < ACCEPT_TURN; i++) {
        int fd = accept4(sink->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (sink->open < sink->options.sessions) {
            sink_session_new(sink, fd);
            continue;
        }
        sink->turned_away++;
        close(fd);
    }
}

static void delayed_answer(struct sink *sink)
{
    struct sink_session *s;

    while ((s = TAILQ_FIRST(&sink->delayed)) && s->reply_due_us <= sink->now_us)
        sink_session_answer(s);
}

/* One more turn for each session that was in the list when this began. */
static void again_serve(struct sink *sink)
{
    struct sink_list turn = TAILQ_HEAD_INITIALIZER(turn);
    struct sink_session *s;

    TAILQ_CONCAT(&turn, &sink->again, again_link);
    while ((s = TAILQ_FIRST(&turn))) {
        TAILQ_REMOVE(&turn, s, again_link);
        s->again = false;
        sink_session_event(s, 0);
    }
}

static void timeouts_expire(struct sink *sink)
{
    struct sink_session *s, *next;

    for (s = TAILQ_FIRST(&sink->sessions); s; s = next) {
        next = TAILQ_NEXT(s, link);
        if (s->deadline_us > sink->now_us || s->state == SINK_DELAY)
            continue;
        sink->timeouts++;
        sink_session_free(s);
    }
}

static void events_wait(struct sink *sink, uint64_t tick_us)
{
    struct epoll_event events[EVENTS];
    const struct sink_session *delayed = TAILQ_FIRST(&sink->delayed);
    uint64_t until_us =
        delayed && delayed->reply_due_us < tick_us ? delayed->reply_due_us : tick_us;
    uint64_t wait_us = until_us > sink->now_us ? until_us - sink->now_us : 0;

    if (!TAILQ_EMPTY(&sink->again))
        wait_us = 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_us / 1000000),
                               .tv_nsec = (long)(wait_us % 1000000 * 1000)};
    int count = epoll_pwait2(sink->epoll, events, EVENTS, &timeout, NULL);
    sink->now_us = wire_now_us();
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr)
            sink_session_event(events[i].data.ptr, events[i].events);
        else
            sessions_accept(sink);
    }
}

static bool is_over(const struct sink *sink)
{
    const struct sink_options *o = &sink->options;

    return interrupted || sink->now_us >= sink->began_us + o->seconds * 1000000 ||
           /* The last reply has to leave, too. */
           (o->messages > 0 && sink->received >= o->messages && TAILQ_EMPTY(&sink->delayed));
}

static void sink_run(struct sink *sink)
{
    sink->now_us = sink->began_us = wire_now_us();
    uint64_t tick_us = sink->now_us + TICK_US;

    fprintf(stderr, "postern-bench: sink listens on %s\n", sink->address);
    while (!is_over(sink)) {
        events_wait(sink, tick_us);
        delayed_answer(sink);
        again_serve(sink);
        if (asked) {
            asked = 0;
            /* Whoever asked and is gone can't be told. */
            (void)!sink_report(sink, true);
        }
        if (sink->now_us >= tick_us) {
            timeouts_expire(sink);
            tick_us = sink->now_us + TICK_US;
        }
    }
}

static void sink_free(struct sink *sink)
{
    struct sink_session *s;

    while ((s = TAILQ_FIRST(&sink->sessions)))
        sink_session_free(s);
    if (sink->listener >= 0)
        close(sink->listener);
    if (sink->epoll >= 0)
        close(sink->epoll);
    if (sink->ledger)
        fclose(sink->ledger);
    SSL_CTX_free(sink->context);
    tally_free(&sink->tally);
    free(sink);
}

void sink_help(FILE *to)
{
    options_help(rows, sizeof(rows) / sizeof(rows[0]), to);
}

int sink_main(int argc, char **argv)
{
    char error[512] = "";
    struct sink *sink = calloc(1, sizeof(*sink));

    if (!sink)
        return BENCH_OSERR;
    sink->epoll = sink->listener = -1;
    sink->random = UINT64_C(88172645463325252);
    sink->options = (struct sink_options){.hostname = "sink.bench.invalid",
                                          .code = 451,
                                          .seconds = 3600,
                                          .sessions = 20000,
                                          .timeout_s = 300};
    TAILQ_INIT(&sink->sessions);
    int code = BENCH_OK;
    int err = options_read(rows, sizeof(rows) / sizeof(rows[0]), argc, argv, &sink->options, error,
                           sizeof(error));
    const char *wrong = err == ERR_OK ? options_wrong(&sink->options) : error;
    if (err == ERR_CLOSED) {
        bench_help(argv[0]);
    } else if (wrong) {
        fprintf(stderr, "postern-bench: sink: %s\n", wrong);
        code = BENCH_USAGE;
    } else if (!sink_prepare(sink, error, sizeof(error))) {
        fprintf(stderr, "postern-bench: sink: %s\n", error);
        code = BENCH_OSERR;
    } else {
        struct sigaction note = {.sa_handler = signal_note};
        sigaction(SIGUSR1, &note, NULL);
        sigaction(SIGINT, &note, NULL);
        sigaction(SIGTERM, &note, NULL);
        signal(SIGPIPE, SIG_IGN);
        sink_run(sink);
        code = sink_report(sink, false) != ERR_OK ? BENCH_IOERR
               : sink_corrupt(sink) > 0           ? BENCH_DATAERR
                                                  : BENCH_OK;
    }
    sink_free(sink);
    return code;
}
