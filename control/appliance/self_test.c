/* SPDX-License-Identifier: Apache-2.0 */
#include "self_test.h"

#include "clock.h"
#include "folder_copy.h"
#include "state_folder.h"
#include "system_run.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARENT "/run/postern-system"
#define NAME "self-test"
#define DOMAIN "self-test.postern.invalid"
#define GATEWAY "/usr/sbin/posternd"
#define BENCH "/usr/bin/postern-bench"
#define COST "record-cost" /* what the gateway measured: not once more */

enum { STOP_S = 10, SIZE_BYTES = 65536, REPORT_MAX = 65536, CONF_MAX = 16384, PATH = 512 };

struct run {
    const struct self_test *test;
    char *seen;
    size_t seen_room;
    char folder[PATH + 16]; /* with root in front */
    int parent, fd;         /* folders */
    int sink_port, port;
    pid_t sink, gateway;
};

__attribute__((format(printf, 2, 3))) static bool fail(struct run *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->seen, r->seen_room, format, args);
    va_end(args);
    return false;
}

static void folders_close(struct run *r)
{
    if (r->fd >= 0)
        close(r->fd);
    if (r->parent >= 0)
        close(r->parent);
}

static bool folders_open(struct run *r)
{
    char path[PATH];

    snprintf(path, sizeof(path), "%s" PARENT, r->test->root);
    (void)mkdir(path, 0755);
    r->parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    snprintf(r->folder, sizeof(r->folder), "%s/" NAME, path);
    if (r->parent < 0 || folder_remove(r->parent, NAME) != ERR_OK ||
        mkdirat(r->parent, NAME, 0711) != 0)
        return fail(r, "%s: %s", r->folder, strerror(errno));
    r->fd = openat(r->parent, NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r->fd < 0 || mkdirat(r->fd, "state", 0755) != 0)
        return fail(r, "%s: %s", r->folder, strerror(errno));
    return true;
}

/* A port that nobody has now; 0 where there is none. */
static int port_free(void)
{
    union net_addr addr = {
        .v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = 0;

    if (fd >= 0 && bind(fd, &addr.any, sizeof(addr.v4)) == 0 &&
        getsockname(fd, &addr.any, &len) == 0)
        port = net_addr_port(&addr);
    if (fd >= 0)
        close(fd);
    return port;
}

/* --- the configuration --- */

static const struct conf_cert *certificate_of(const struct conf *conf)
{
    if (conf->tls.certificates_len > 0)
        return &conf->tls.certificates[0];
    for (size_t i = 0; i < conf->listeners_len; i++)
        if (conf->listeners[i].certificates_len > 0)
            return &conf->listeners[i].certificates[0];
    return NULL;
}

static int conf_make(const struct run *r, const struct conf_cert *cert, struct buf *out)
{
    const struct conf_gateway *g = &r->test->conf->gateway;
    int err =
        buf_printf(out,
                   "gateway: { hostname = \"" DOMAIN "\"; workers = 1; metrics = \"\";\n"
                   "  dataplane = \"%s\"; kernel_fixes = \"%s\"; drain_timeout_s = 5;\n"
                   "  state_dir = \"%s/state\"; control_socket = \"%s/control.sock\"; user = ",
                   conf_dataplane_text(g->dataplane), conf_kernel_fixes_text(g->kernel_fixes),
                   r->folder, r->folder);

    if (!err)
        err = conf_string_write(g->user, out);
    if (!err)
        err = buf_printf(out, "; };\ntls: { certificates = ( { cert = ");
    if (!err)
        err = conf_string_write(cert->cert, out);
    if (!err)
        err = buf_printf(out, "; key = ");
    if (!err)
        err = conf_string_write(cert->key, out);
    if (!err)
        err = buf_printf(out,
                         "; } ); };\nresolver: { reverse = false; };\n"
                         "listeners = ( { name = \"" NAME
                         "\"; address = \"127.0.0.1:%d\"; tls = \"starttls\";\n"
                         "  require_tls = true; } );\n"
                         "routes = ( { domain = \"" DOMAIN "\"; next_hop = \"127.0.0.1:%d\";\n"
                         "  tls = { level = \"encrypt\"; }; } );\n",
                         r->port, r->sink_port);
    return err;
}

static bool conf_write(struct run *r)
{
    const struct conf_cert *cert = certificate_of(r->test->conf);
    struct buf text, cost;

    if (!cert)
        return fail(r, "no listener has a certificate");
    buf_init(&text, CONF_MAX);
    buf_init(&cost, CONF_MAX);
    int err = conf_make(r, cert, &text);
    if (!err)
        err = state_folder_write(r->fd, "postern.conf", buf_span(&text));
    int state = open(r->test->conf->gateway.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int own = openat(r->fd, "state", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state >= 0 && own >= 0 && state_folder_read(state, COST, &cost) == ERR_OK &&
        state_folder_write(own, COST, buf_span(&cost)) != ERR_OK)
        state_folder_remove(own, COST); /* then it is measured */
    if (state >= 0)
        close(state);
    if (own >= 0)
        close(own);
    buf_release(&text);
    buf_release(&cost);
    return err ? fail(r, "%s: %s", r->folder, err_text(err)) : true;
}

/* --- the programs --- */

static bool port_answers(int port)
{
    union net_addr addr = {.v4 = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && connect(fd, &addr.any, sizeof(addr.v4)) == 0;

    if (fd >= 0)
        close(fd);
    return answers;
}

/* The last line of what it said, without what is no text. */
static void last_line(struct run *r, const char *file, char *out, size_t room)
{
    struct buf said;

    out[0] = '\0';
    buf_init(&said, REPORT_MAX);
    if (state_folder_read(r->fd, file, &said) == ERR_OK) {
        struct span rest = buf_span(&said), last = rest;
        while (rest.len > 0) {
            struct span line = span_cut(&rest, '\n');
            if (line.len > 0)
                last = line;
        }
        size_t len = last.len < room - 1 ? last.len : room - 1;
        for (size_t i = 0; i < len; i++)
            out[i] = last.ptr[i] < 0x20 || last.ptr[i] > 0x7e ? '?' : (char)last.ptr[i];
        out[len] = '\0';
    }
    buf_release(&said);
}

static pid_t start(struct run *r, const char *const *words, const char *log)
{
    int fd = openat(r->fd, log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    pid_t pid = fd >= 0 ? system_start(r->test->root, words, fd) : -1;

    if (fd >= 0)
        close(fd);
    return pid;
}

static bool wait_for(struct run *r, pid_t pid, int port, const char *what, const char *log)
{
    int64_t deadline = (int64_t)clock_ms() + r->test->timeout_s * 1000ll;
    char said[256];

    if (pid < 0)
        return fail(r, "%s can't be started", what);
    while (!port_answers(port)) {
        bool alive = system_alive(pid);
        if (alive && (int64_t)clock_ms() < deadline) {
            (void)poll(NULL, 0, 50);
            continue;
        }
        last_line(r, log, said, sizeof(said));
        return fail(r, "%s %s: %s", what, alive ? "does not answer in time" : "ended", said);
    }
    return true;
}

static bool programs_start(struct run *r)
{
    char listen[32], conf[PATH + 32], seconds[16];

    snprintf(listen, sizeof(listen), "127.0.0.1:%d", r->sink_port);
    snprintf(conf, sizeof(conf), "%s/postern.conf", r->folder);
    snprintf(seconds, sizeof(seconds), "%d", 4 * r->test->timeout_s);
    const char *const sink[] = {BENCH,       "sink",  "--listen", listen, "--starttls",
                                "--seconds", seconds, "--json",   NULL};
    const char *const gateway[] = {GATEWAY, "-c", conf, NULL};
    r->sink = start(r, sink, "sink.log");
    if (!wait_for(r, r->sink, r->sink_port, "the receiver (postern-bench sink)", "sink.log"))
        return false;
    r->gateway = start(r, gateway, "gateway.log");
    return wait_for(r, r->gateway, r->port, "a gateway of the test's own", "gateway.log");
}

static json_int_t number_at(const json_t *report, const char *a, const char *b, const char *c)
{
    const json_t *at = json_object_get(json_object_get(report, a), b);

    return json_integer_value(c ? json_object_get(at, c) : at);
}

static json_t *report_of(struct span text)
{
    const uint8_t *begin = text.len > 0 ? memchr(text.ptr, '{', text.len) : NULL;

    return begin ? json_loadb((const char *)begin, text.len - (size_t)(begin - text.ptr),
                              JSON_DISABLE_EOF_CHECK, NULL)
                 : NULL;
}

static bool message_send(struct run *r)
{
    char target[32], size[16], timeout[16], said[256];
    struct buf out;

    snprintf(target, sizeof(target), "127.0.0.1:%d", r->port);
    snprintf(size, sizeof(size), "%d", SIZE_BYTES);
    snprintf(timeout, sizeof(timeout), "%d", r->test->timeout_s);
    const char *const words[] = {BENCH,        "load",   "--target",     target,   "--starttls",
                                 "--messages", "1",      "--size",       size,     "--timeout",
                                 timeout,      "--rcpt", "test@" DOMAIN, "--json", NULL};
    buf_init(&out, REPORT_MAX);
    const struct system_run run = {
        .root = r->test->root, .words = words, .timeout_s = 3 * r->test->timeout_s, .out = &out};
    int status = system_run(&run);
    json_t *report = report_of(buf_span(&out));
    bool good = number_at(report, "messages", "accepted", NULL) == 1;
    json_decref(report);
    buf_release(&out);
    if (good)
        return true;
    last_line(r, "gateway.log", said, sizeof(said));
    return fail(r, "the message was not accepted (%s %d): %s",
                status < 0 ? err_text(status) : "exit code", status < 0 ? 0 : status, said);
}

/* The sink says so when it is asked to end. */
static bool message_arrived(struct run *r)
{
    struct buf said;

    system_stop(r->sink, STOP_S);
    r->sink = -1;
    buf_init(&said, REPORT_MAX);
    int err = state_folder_read(r->fd, "sink.log", &said);
    json_t *report = err ? NULL : report_of(buf_span(&said));
    json_int_t intact = number_at(report, "messages", "verdicts", "intact");
    json_int_t plain = number_at(report, "messages", "plain", NULL);
    json_decref(report);
    buf_release(&said);
    if (intact != 1 || plain != 0)
        return fail(r, "the message was accepted, and did not arrive as it was sent, over TLS");
    snprintf(r->seen, r->seen_room, "a message of %d KB arrived whole, TLS on both sides",
             SIZE_BYTES / 1024);
    return true;
}

bool self_test_run(const struct self_test *test, char *seen, size_t seen_room)
{
    struct run r = {.test = test,
                    .seen = seen,
                    .seen_room = seen_room,
                    .parent = -1,
                    .fd = -1,
                    .sink = -1,
                    .gateway = -1,
                    .sink_port = port_free()};
    do
        r.port = port_free();
    while (r.port != 0 && r.port == r.sink_port);
    bool good = r.port != 0 && r.sink_port != 0;

    if (!good)
        (void)fail(&r, "there is no free port on 127.0.0.1: %s", strerror(errno));
    good = good && folders_open(&r) && conf_write(&r) && programs_start(&r) && message_send(&r) &&
           message_arrived(&r);
    if (r.gateway > 0)
        system_stop(r.gateway, STOP_S);
    if (r.sink > 0)
        system_stop(r.sink, STOP_S);
    if (r.parent >= 0 && folder_remove(r.parent, NAME) != ERR_OK && good)
        good = fail(&r, "%s can't be removed", r.folder);
    folders_close(&r);
    return good;
}
