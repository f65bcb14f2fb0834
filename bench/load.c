/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include "bench.h"
#include "option.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 256,
    TICK_US = 100 * 1000,      /* deadlines are looked at, and the progress bar drawn */
    SECONDS_DEFAULT = 600,     /* where only a count is given */
    HOLD_DEFAULT = 10,         /* of an idle run */
    MESSAGES_DEFAULT = 1000,   /* where neither count nor time is given */
    QUIT_US = 2 * 1000 * 1000, /* for the answers to the last QUITs */
    FILES_SPARE = 32
};

#define LOAD(...) OPTION_ROW(load_options, __VA_ARGS__)

static const struct option_row rows[] = {
    LOAD("target", "HOST:PORT", OPTION_TEXT, target, 0, 300, "where to send to"),
    LOAD("starttls", NULL, OPTION_CHOICE, tls, WIRE_STARTTLS, 0, "TLS by STARTTLS"),
    LOAD("tls", NULL, OPTION_CHOICE, tls, WIRE_IMPLICIT, 0, "TLS from the first byte"),
    LOAD("plain", NULL, OPTION_CHOICE, tls, WIRE_PLAIN, 0, "no TLS"),
    LOAD("tls1.2", NULL, OPTION_FLAG, offer.tls12, 0, 0, "TLS 1.2 at most"),
    LOAD("suites", "LIST", OPTION_TEXT, offer.suites, 0, 400,
         "cipher suites of 1.3 (TLS_...) or of 1.2"),
    LOAD("groups", "LIST", OPTION_TEXT, offer.groups, 0, 400,
         "key exchange groups, the best first"),
    LOAD("resume", NULL, OPTION_FLAG, resume, 0, 0, "resume the TLS session before"),
    LOAD("no-resume", NULL, OPTION_FLAG, no_resume, 0, 0, "full handshakes (the default)"),
    LOAD("sessions", "N", OPTION_U64, sessions, 1, 60000, "at a time, 1 to 60000 (1)"),
    LOAD("per-session", "K", OPTION_U64, per_session, 0, 1000000000,
         "messages a session; 0: no bound (1)"),
    LOAD("messages", "M", OPTION_U64, messages, 1, 1000000000, "in all (1000)"),
    LOAD("seconds", "S", OPTION_U64, seconds, 1, 86400, "no message begins later (600)"),
    LOAD("rate", "R", OPTION_REAL, rate, 0, 1000000,
         "messages a second, open loop; 0: closed loop (0)"),
    LOAD("size", "BYTES", OPTION_U64, size, MESSAGE_SIZE_MIN, UINT64_C(1) << 34,
         "of a message, 1K to 16G (4K)"),
    LOAD("bdat", NULL, OPTION_FLAG, bdat, 0, 0, "send by BDAT, not by DATA"),
    LOAD("chunk", "BYTES", OPTION_U64, chunk, 1, 16 << 20, "of a BDAT chunk (the whole message)"),
    LOAD("from", "ADDR", OPTION_TEXT, from, 0, MESSAGE_ADDRESS_MAX, "sender (load@bench.invalid)"),
    LOAD("rcpt", "ADDR", OPTION_TEXT, rcpt, 0, MESSAGE_ADDRESS_MAX,
         "recipient (sink@bench.invalid)"),
    LOAD("domains", "N", OPTION_U64, domains, 1, 1000000,
         "message i to the domain d(i modulo N).DOMAIN of --rcpt"),
    LOAD("helo", "NAME", OPTION_TEXT, helo, 0, MESSAGE_ADDRESS_MAX, "EHLO name (bench.invalid)"),
    LOAD("timeout", "S", OPTION_U64, timeout_s, 1, 3600, "a session without progress ends, s (60)"),
    LOAD("opening", "N", OPTION_U64, opening, 1, 60000, "sessions being opened at a time (128)"),
    LOAD("idle", NULL, OPTION_FLAG, idle, 0, 0,
         "no messages: open the sessions, hold them --seconds (10)"),
    LOAD("handshakes", NULL, OPTION_FLAG, handshakes, 0, 0,
         "no messages: each is a session that ends after its handshake"),
    LOAD("ledger", "FILE", OPTION_TEXT, ledger, 0, 4095, "write a line for each accepted message"),
    LOAD("json", NULL, OPTION_FLAG, json, 0, 0, "report as JSON"),
};

static volatile sig_atomic_t interrupted;

static void interrupt_note(int signal_number)
{
    interrupted = signal_number;
}

static int options_check(struct load_options *o, char *error, size_t room)
{
    const char *wrong = NULL;

    if (!o->target)
        wrong = "--target HOST:PORT is needed";
    else if (o->tls == WIRE_UNSET)
        wrong = "one of --starttls, --tls and --plain is needed";
    else if (o->resume && (o->no_resume || o->tls == WIRE_PLAIN))
        wrong = "--resume does not go with --no-resume or --plain";
    else if (o->domains > 0 && !strchr(o->rcpt, '@'))
        wrong = "--domains needs an @ in --rcpt";
    else if (o->chunk > 0 && !o->bdat)
        wrong = "--chunk needs --bdat";
    else if (o->idle && (o->messages > 0 || o->rate > 0))
        wrong = "--idle sends nothing: no --messages, no --rate";
    else if (o->handshakes && (o->idle || o->bdat || o->tls == WIRE_PLAIN || o->per_session != 1))
        wrong = "--handshakes does not go with --idle, --bdat, --plain or --per-session";
    if (wrong) {
        snprintf(error, room, "%s", wrong);
        return ERR_SYNTAX;
    }
    if (o->messages == 0)
        o->messages = o->seconds > 0 ? UINT32_MAX : MESSAGES_DEFAULT;
    if (o->seconds == 0)
        o->seconds = o->idle ? HOLD_DEFAULT : SECONDS_DEFAULT;
    return ERR_OK;
}

static int session_keep(SSL *ssl, SSL_SESSION *session)
{
    struct load_session *s = SSL_get_app_data(ssl);

    SSL_SESSION_free(s->resume);
    s->resume = session;
    return 1;
}

static int tls_prepare(struct load *l, char *error, size_t room)
{
    if (l->options.tls == WIRE_PLAIN)
        return ERR_OK;
    l->context = wire_client_context(&l->options.offer);
    if (!l->context) {
        snprintf(error, room, "--suites, --groups: something that OpenSSL does not know");
        return ERR_TLS;
    }
    if (l->options.resume) {
        SSL_CTX_set_session_cache_mode(l->context,
                                       SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(l->context, session_keep);
    }
    return ERR_OK;
}

static const char *date_text(char *out, size_t room)
{
    time_t now = time(NULL);
    struct tm parts;

    gmtime_r(&now, &parts);
    strftime(out, room, "%a, %d %b %Y %H:%M:%S +0000", &parts);
    return out;
}

/* As many descriptors as sessions, where the hard limit lets us. */
static bool files_prepare(uint64_t sessions)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return false;
    if (limit.rlim_cur >= sessions + FILES_SPARE)
        return true;
    limit.rlim_cur = sessions + FILES_SPARE;
    if (limit.rlim_max < limit.rlim_cur)
        limit.rlim_max = limit.rlim_cur;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

static int load_prepare(struct load *l, char *error, size_t room)
{
    static char date[64];
    const struct load_options *o = &l->options;
    uint64_t run;

    snprintf(error, room, "out of memory");
    l->slots = calloc(o->sessions, sizeof(*l->slots));
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!l->slots || l->epoll < 0 || getentropy(&run, sizeof(run)) < 0)
        return ERR_NOMEM;
    if (wire_address(o->target, &l->to, &l->to_len) != ERR_OK) {
        snprintf(error, room, "--target: no address for \"%s\"", o->target);
        return ERR_NOTFOUND;
    }
    if (!files_prepare(o->sessions)) {
        snprintf(error, room, "--sessions: more than the limit of open files allows");
        return ERR_LIMIT;
    }
    if (o->ledger && !(l->ledger = fopen(o->ledger, "we"))) {
        snprintf(error, room, "--ledger: %s: %s", o->ledger, strerror(errno));
        return ERR_SYSTEM;
    }
    TAILQ_INIT(&l->ready);
    TAILQ_INIT(&l->closed);
    for (uint64_t i = 0; i < o->sessions; i++) {
        l->slots[i] = (struct load_session){.load = l, .state = LOAD_CLOSED, .wire.fd = -1};
        TAILQ_INSERT_TAIL(&l->closed, &l->slots[i], link);
    }
    message_form_init(&l->form, run, o->size, o->from, o->rcpt, date_text(date, sizeof(date)));
    return tls_prepare(l, error, room);
}

/* Gives due messages to ready sessions first, then to slots that are opened for them. */
static void messages_dispatch(struct load *l)
{
    uint64_t number, intended_us;

    while (plan_is_due(&l->plan, l->now_us)) {
        struct load_session *s = TAILQ_FIRST(&l->ready);
        bool open = !s;
        if (open && l->opening < l->options.opening)
            s = TAILQ_FIRST(&l->closed);
        if (!s || !plan_take(&l->plan, l->now_us, &number, &intended_us))
            return;
        load_session_take(s, number, intended_us);
        if (open)
            load_session_open(s);
    }
}

static void idle_dispatch(struct load *l)
{
    struct load_session *s;

    while (!plan_is_over(&l->plan, l->now_us) && l->opening < l->options.opening &&
           (s = TAILQ_FIRST(&l->closed)))
        load_session_open(s);
    if (l->hold_until_us == 0 && l->opening == 0 && TAILQ_EMPTY(&l->closed)) {
        l->hold_until_us = l->now_us + l->options.seconds * 1000000;
        /* Whoever measures the server waits for this line. */
        fprintf(stderr, "postern-bench: %llu sessions held\n", (unsigned long long)l->held);
    }
}

static bool is_over(const struct load *l)
{
    if (l->options.idle)
        return l->interrupted || (l->hold_until_us != 0 && l->now_us >= l->hold_until_us) ||
               plan_is_over(&l->plan, l->now_us);
    return plan_is_over(&l->plan, l->now_us);
}

/* Sessions that wait for a message that will not come say QUIT. */
static void sessions_quit(struct load *l)
{
    struct load_session *s;

    while ((s = TAILQ_FIRST(&l->ready)))
        load_session_quit(s);
    for (uint64_t i = 0; l->held > 0 && i < l->options.sessions; i++) {
        if (l->slots[i].state == LOAD_HELD)
            load_session_quit(&l->slots[i]);
    }
}

static void load_tick(struct load *l)
{
    for (uint64_t i = 0; i < l->options.sessions; i++) {
        if (l->slots[i].deadline_us <= l->now_us)
            load_session_expire(&l->slots[i]);
    }
    if (!l->options.json && isatty(STDERR_FILENO))
        load_progress(l);
}

static void events_wait(struct load *l, uint64_t tick_us)
{
    struct epoll_event events[EVENTS];
    uint64_t wait_us = plan_wait_us(&l->plan, l->now_us);
    uint64_t to_tick_us = tick_us > l->now_us ? tick_us - l->now_us : 0;

    /* A message that is due and has no session waits for one: for an event. */
    if (wait_us == 0 || wait_us > to_tick_us)
        wait_us = to_tick_us;
    struct timespec timeout = {.tv_sec = (time_t)(wait_us / 1000000),
                               .tv_nsec = (long)(wait_us % 1000000 * 1000)};
    int count = epoll_pwait2(l->epoll, events, EVENTS, &timeout, NULL);
    l->now_us = wire_now_us();
    for (int i = 0; i < count; i++)
        load_session_event(events[i].data.ptr, events[i].events);
}

static void load_run(struct load *l)
{
    uint64_t tick_us;

    l->now_us = l->began_us = wire_now_us();
    tick_us = l->now_us + TICK_US;
    l->plan = (struct plan){.start_us = l->now_us,
                            .end_us = l->now_us + l->options.seconds * 1000000,
                            .rate = l->options.rate,
                            .messages = l->options.idle ? 1 : l->options.messages};
    /* An idle run's sessions have as long to open as a message has to begin elsewhere. */
    if (l->options.idle)
        l->plan.end_us = l->now_us + (l->options.seconds + SECONDS_DEFAULT) * 1000000;
    l->stop_us = l->plan.end_us + l->options.timeout_s * 1000000 + QUIT_US;
    for (;;) {
        if (interrupted && !l->interrupted) {
            l->interrupted = true;
            l->plan.end_us = l->now_us;
            l->stop_us = l->now_us + l->options.timeout_s * 1000000;
        }
        if (l->options.idle)
            idle_dispatch(l);
        else
            messages_dispatch(l);
        if (is_over(l)) {
            if (l->ended_us == 0 && l->accepted + l->rejected + l->failed == l->plan.taken)
                l->ended_us = l->now_us;
            sessions_quit(l);
            if (l->open == 0 || l->now_us >= l->stop_us)
                break;
        }
        events_wait(l, tick_us);
        if (l->now_us >= tick_us) {
            load_tick(l);
            tick_us = l->now_us + TICK_US;
        }
    }
    for (uint64_t i = 0; i < l->options.sessions; i++)
        load_session_drop(&l->slots[i]);
    if (l->ended_us == 0)
        l->ended_us = l->now_us;
}

static void load_free(struct load *l)
{
    for (uint64_t i = 0; l->slots && i < l->options.sessions; i++)
        SSL_SESSION_free(l->slots[i].resume);
    for (size_t i = 0; i < LOAD_CODES; i++)
        free(l->code_texts[i]);
    if (l->ledger)
        fclose(l->ledger);
    if (l->epoll >= 0)
        close(l->epoll);
    SSL_CTX_free(l->context);
    free(l->slots);
    free(l);
}

void load_help(FILE *to)
{
    options_help(rows, sizeof(rows) / sizeof(rows[0]), to);
}

static int load_exit_code(const struct load *l)
{
    if (l->options.idle)
        return l->held_most == l->options.sessions && l->held_lost == 0 ? BENCH_OK : BENCH_TEMPFAIL;
    if (l->accepted == 0)
        return BENCH_UNAVAILABLE;
    return l->accepted == l->plan.taken ? BENCH_OK : BENCH_TEMPFAIL;
}

int load_main(int argc, char **argv)
{
    char error[512] = "";
    struct load *l = calloc(1, sizeof(*l));

    if (!l)
        return BENCH_OSERR;
    l->epoll = -1;
    l->options = (struct load_options){.sessions = 1,
                                       .per_session = 1,
                                       .size = 4096,
                                       .timeout_s = 60,
                                       .opening = 128,
                                       .from = "load@bench.invalid",
                                       .rcpt = "sink@bench.invalid",
                                       .helo = "bench.invalid"};
    int code = BENCH_OK;
    int err = options_read(rows, sizeof(rows) / sizeof(rows[0]), argc, argv, &l->options, error,
                           sizeof(error));
    if (err == ERR_CLOSED) {
        bench_help(argv[0]);
    } else if (err != ERR_OK || options_check(&l->options, error, sizeof(error)) != ERR_OK) {
        fprintf(stderr, "postern-bench: load: %s\n", error);
        code = BENCH_USAGE;
    } else if ((err = load_prepare(l, error, sizeof(error))) != ERR_OK) {
        fprintf(stderr, "postern-bench: load: %s\n", error);
        code = err == ERR_NOTFOUND ? BENCH_NOHOST : BENCH_OSERR;
    } else {
        struct sigaction note = {.sa_handler = interrupt_note};
        sigaction(SIGINT, &note, NULL);
        sigaction(SIGTERM, &note, NULL);
        signal(SIGPIPE, SIG_IGN);
        load_run(l);
        code = load_report(l) == ERR_OK ? load_exit_code(l) : BENCH_IOERR;
    }
    load_free(l);
    return code;
}
