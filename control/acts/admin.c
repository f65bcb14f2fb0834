/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket. A client sends one line of JSON, {"verb": "status"}, and gets one JSON
 * object:
 * {"ok": true, "data": ...} or {"ok": false, "error": "...", "exit": sysexits code}. Nothing here
 * waits: clients, their time and their bytes are bounded, and so is the wait for workers.
 */
#include "admin_json.h"

#include "buf.h"
#include "log.h"
#include "ratchet_show.h"
#include "upstream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    CLIENTS_MAX = 16,
    REQUEST_MAX = 4096,
    CLIENT_TIMEOUT_US = 10 * 1000 * 1000,
    ROWS_TIMEOUT_US = 2 * 1000 * 1000,
    EXPLAIN_TIMEOUT_US = (UPSTREAM_PROBE_S + 2) * 1000 * 1000,
    RELOAD_TIMEOUT_US = 45 * 1000 * 1000,
};

/* One worker's part of an answer. */
struct part {
    pid_t pid;
    int fd; /* -1: answered, or gone */
    char worker[24];
};

struct client {
    TAILQ_ENTRY(client) all;
    struct admin *admin;
    int fd;
    sd_event_source *source, *timer;
    struct buf in, out;
    bool answered;
    bool waits_for_reload;
    uint32_t rows_id; /* 0: waits for no rows, and no explanation */
    enum channel_kind rows_kind;
    struct part *parts;
    size_t parts_len, parts_open, parts_missing;
    json_t *rows;
};

struct admin {
    struct supervisor *supervisor;
    struct sockaddr_un address;
    int fd;
    sd_event_source *source;
    TAILQ_HEAD(, client) clients;
    unsigned len;
    uint32_t next_id;
};

static void client_free(struct client *c)
{
    TAILQ_REMOVE(&c->admin->clients, c, all);
    c->admin->len--;
    sd_event_source_disable_unref(c->source);
    sd_event_source_disable_unref(c->timer);
    for (size_t i = 0; i < c->parts_len; i++)
        if (c->parts[i].fd >= 0)
            close(c->parts[i].fd);
    free(c->parts);
    json_decref(c->rows);
    buf_release(&c->in);
    buf_release(&c->out);
    close(c->fd);
    free(c);
}

/* Writes what the socket takes; frees the client when all is out or it is gone. */
static void client_flush(struct client *c)
{
    while (buf_len(&c->out) > 0) {
        struct span s = buf_span(&c->out);
        ssize_t n = send(c->fd, s.ptr, s.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            sd_event_source_set_io_events(c->source, EPOLLOUT);
            return;
        }
        if (n < 0)
            break;
        buf_consume(&c->out, (size_t)n);
    }
    client_free(c);
}

/* Takes json. The client may be gone afterwards. */
static void client_answer(struct client *c, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    json_decref(json);
    c->answered = true;
    c->rows_id = 0;
    c->waits_for_reload = false;
    if (!text || buf_append(&c->out, text, strlen(text)) != 0 || buf_append(&c->out, "\n", 1) != 0)
        buf_clear(&c->out);
    free(text);
    client_flush(c);
}

static void client_data(struct client *c, json_t *data)
{
    client_answer(c, json_pack("{s:b, s:o}", "ok", 1, "data", data));
}

static void client_error(struct client *c, int code, const char *text)
{
    client_answer(c, json_pack("{s:b, s:s, s:i}", "ok", 0, "error", text, "exit", code));
}

/* --- rows of workers ---------------------------------------------------------------------- */

/* One process answers, with all that there is. */
static bool answers_object(enum channel_kind kind)
{
    return kind == CHANNEL_EXPLAIN || kind == CHANNEL_RATCHET || kind == CHANNEL_TLSRPT;
}

static void rows_end(struct client *c)
{
    if (answers_object(c->rows_kind)) {
        client_error(c, EX_TEMPFAIL,
                     c->rows_kind == CHANNEL_RATCHET
                         ? "the ratchet's process did not answer in time; try again"
                     : c->rows_kind == CHANNEL_TLSRPT
                         ? "the resolver process did not answer in time; try again"
                         : "no worker answered in time; try again");
        return;
    }
    json_t *rows = c->rows;
    const char *name = c->rows_kind == CHANNEL_SESSIONS ? "sessions" : "hosts";

    c->rows = NULL;
    client_data(c, json_pack("{s:o, s:I}", name, rows, "workers_missing",
                             (json_int_t)(c->parts_open + c->parts_missing)));
}

/* The rest of message is set. */
static bool part_ask(struct client *c, const struct member *m, struct channel_message *message)
{
    struct part *part = &c->parts[c->parts_len];
    int fd = memfd_create("rows", MFD_CLOEXEC);

    message->kind = c->rows_kind;
    message->id = c->rows_id;
    if (fd < 0)
        return false;
    if (channel_send(m->channel, message, fd) != 0) {
        close(fd);
        return false;
    }
    *part = (struct part){.pid = m->pid, .fd = fd};
    memcpy(part->worker, m->name, sizeof(part->worker));
    c->parts_len++;
    c->parts_open++;
    return true;
}

static void rows_begin(struct client *c, enum channel_kind kind)
{
    const struct supervisor *s = c->admin->supervisor;
    const struct generation *g;
    size_t workers = 0;

    TAILQ_FOREACH (g, &s->generations, all)
        workers += g->plan.workers;
    c->rows_kind = kind;
    c->rows_id = c->admin->next_id++;
    c->rows = json_array();
    c->parts = calloc(workers + 1, sizeof(*c->parts));
    if (!c->rows || !c->parts) {
        client_error(c, EX_OSERR, err_text(ERR_NOMEM));
        return;
    }
    TAILQ_FOREACH (g, &s->generations, all) {
        for (unsigned i = 0; i < g->plan.workers; i++) {
            const struct member *m = &g->workers[i];
            bool serves = m->state == MEMBER_READY || m->state == MEMBER_DRAINING;
            struct channel_message message = {0};
            if (serves && m->pid > 0 && !part_ask(c, m, &message))
                c->parts_missing++;
        }
    }
    if (c->parts_open == 0)
        rows_end(c);
    else
        sd_event_source_set_time_relative(c->timer, ROWS_TIMEOUT_US);
}

static struct part *part_find(struct client *c, const struct member *m)
{
    for (size_t i = 0; i < c->parts_len; i++)
        if (c->parts[i].fd >= 0 && c->parts[i].pid == m->pid)
            return &c->parts[i];
    return NULL;
}

static void part_close(struct client *c, struct part *part)
{
    close(part->fd);
    part->fd = -1;
    c->parts_open--;
    if (c->parts_open == 0)
        rows_end(c);
}

/* The process says how the question itself is wrong, or all that was found. */
static void object_answer(struct client *c, struct part *part, uint64_t bytes)
{
    json_t *answer = admin_object_json(part->fd, bytes);
    const char *error = json_string_value(json_object_get(answer, "error"));

    if (!answer) {
        client_error(c, EX_SOFTWARE, "the answer makes no sense, or there was no memory for it");
        return;
    }
    if (!error) {
        client_data(c, answer);
        return;
    }
    client_error(c, (int)json_integer_value(json_object_get(answer, "exit")), error);
    json_decref(answer);
}

void admin_rows(struct admin *a, const struct member *m, const struct channel_message *message)
{
    struct client *c;

    TAILQ_FOREACH (c, &a->clients, all) {
        struct part *part = c->rows_id && c->rows_id == message->id ? part_find(c, m) : NULL;
        if (!part)
            continue;
        if (answers_object(c->rows_kind)) {
            object_answer(c, part, message->number);
        } else {
            admin_rows_json(c->rows, c->rows_kind, part->worker, part->fd, message->number);
            part_close(c, part);
        }
        return;
    }
}

void admin_member_gone(struct admin *a, pid_t pid)
{
    const struct member gone = {.pid = pid};
    struct client *c, *next;

    for (c = TAILQ_FIRST(&a->clients); c; c = next) {
        struct part *part = c->rows_id ? part_find(c, &gone) : NULL;
        next = TAILQ_NEXT(c, all);
        if (!part)
            continue;
        c->parts_missing++;
        part_close(c, part);
    }
}

/* --- explanations -------------------------------------------------------------------------- */

/* One worker answers: all have the same configuration, and ask the same resolver. */
static const struct member *worker_ready(const struct supervisor *s)
{
    const struct generation *g = s->serving;

    for (unsigned i = 0; g && i < g->plan.workers; i++)
        if (g->workers[i].state == MEMBER_READY && g->workers[i].pid > 0)
            return &g->workers[i];
    return NULL;
}

static void explain_begin_at(struct client *c, const json_t *request, bool probe)
{
    const struct member *m = worker_ready(c->admin->supervisor);
    const char *address = json_string_value(json_object_get(request, "address"));
    const char *listener = json_string_value(json_object_get(request, "listener"));
    struct channel_message message = {.number = probe};
    int len = snprintf(message.text, sizeof(message.text), "%s\n%s", address ? address : "",
                       listener ? listener : "");

    if (!address || strchr(address, '\n') || len < 0 || (size_t)len >= sizeof(message.text)) {
        client_error(c, EX_USAGE, "an address is needed: user@domain");
        return;
    }
    c->rows_kind = CHANNEL_EXPLAIN;
    c->rows_id = c->admin->next_id++;
    c->parts = calloc(1, sizeof(*c->parts));
    if (!c->parts)
        client_error(c, EX_OSERR, err_text(ERR_NOMEM));
    else if (!m || !part_ask(c, m, &message))
        client_error(c, EX_TEMPFAIL, "no worker is ready; posternctl status says why");
    else
        sd_event_source_set_time_relative(c->timer, EXPLAIN_TIMEOUT_US);
}

/* --- the ratchet -------------------------------------------------------------------------- */

static const char *text_of(const json_t *request, const char *key)
{
    const char *text = json_string_value(json_object_get(request, key));

    return text ? text : "";
}

static void ratchet_ask(struct client *c, const json_t *request)
{
    const struct member *m = &c->admin->supervisor->ratchet;
    struct channel_message message = {0};

    if (!ratchet_request_write(text_of(request, "act"), text_of(request, "destination"),
                               text_of(request, "host"), message.text, sizeof(message.text))) {
        client_error(c, EX_USAGE, "a name is too long");
        return;
    }
    c->rows_kind = CHANNEL_RATCHET;
    c->rows_id = c->admin->next_id++;
    c->parts = calloc(1, sizeof(*c->parts));
    if (!c->parts)
        client_error(c, EX_OSERR, err_text(ERR_NOMEM));
    else if (m->state != MEMBER_READY || !part_ask(c, m, &message))
        client_error(c, EX_TEMPFAIL,
                     "the ratchet's process is not ready; posternctl status says why");
    else
        sd_event_source_set_time_relative(c->timer, ROWS_TIMEOUT_US);
}

/* --- TLS reports -------------------------------------------------------------------------- */

/* The resolver process counts, and its own sums have what those of other generations wrote. */
static void verb_tlsrpt(struct client *c, const json_t *request)
{
    const struct generation *g = c->admin->supervisor->serving;
    struct channel_message message = {.number =
                                          json_is_true(json_object_get(request, "yesterday"))};
    bool ready = g && g->resolver.state == MEMBER_READY && g->resolver.pid > 0;

    if (span_to_cstr(span_str(text_of(request, "domain")), message.text, sizeof(message.text)) !=
        ERR_OK) {
        client_error(c, EX_USAGE, "that is longer than a domain can be");
        return;
    }
    c->rows_kind = CHANNEL_TLSRPT;
    c->rows_id = c->admin->next_id++;
    c->parts = calloc(1, sizeof(*c->parts));
    if (!c->parts)
        client_error(c, EX_OSERR, err_text(ERR_NOMEM));
    else if (!ready || !part_ask(c, &g->resolver, &message))
        client_error(c, EX_TEMPFAIL,
                     "the resolver process is not ready; posternctl status says why");
    else
        sd_event_source_set_time_relative(c->timer, ROWS_TIMEOUT_US);
}

/* --- verbs -------------------------------------------------------------------------------- */

static void verb_status(struct client *c, const json_t *request)
{
    client_data(c, admin_status_json(c->admin->supervisor));
}

static void verb_sessions(struct client *c, const json_t *request)
{
    rows_begin(c, CHANNEL_SESSIONS);
}

static void verb_routes(struct client *c, const json_t *request)
{
    rows_begin(c, CHANNEL_HOSTS);
}

static void reload_wait(struct client *c, int err)
{
    if (err == ERR_STATE)
        client_error(c, EX_TEMPFAIL, "a reload is under way, or the gateway is stopping");
    else if (err)
        client_error(c, EX_OSERR, "the check of the configuration can't be started");
    else {
        c->waits_for_reload = true;
        sd_event_source_set_time_relative(c->timer, RELOAD_TIMEOUT_US);
    }
}

static void verb_reload(struct client *c, const json_t *request)
{
    reload_wait(c, supervisor_reload(c->admin->supervisor));
}

static void verb_check(struct client *c, const json_t *request)
{
    reload_wait(c, supervisor_check(c->admin->supervisor));
}

static void verb_explain(struct client *c, const json_t *request)
{
    explain_begin_at(c, request, false);
}

static void verb_probe(struct client *c, const json_t *request)
{
    explain_begin_at(c, request, true);
}

static void verb_ratchet(struct client *c, const json_t *request)
{
    ratchet_ask(c, request);
}

static const struct verb {
    const char *name;
    void (*act)(struct client *c, const json_t *request);
} verbs[] = {
    {"status", verb_status}, {"sessions", verb_sessions}, {"routes", verb_routes},
    {"reload", verb_reload}, {"check", verb_check},       {"explain", verb_explain},
    {"probe", verb_probe},   {"ratchet", verb_ratchet},   {"tlsrpt", verb_tlsrpt},
};

void admin_reload_done(struct admin *a, const char *error)
{
    const struct supervisor *s = a->supervisor;
    struct client *c, *next;

    for (c = TAILQ_FIRST(&a->clients); c; c = next) {
        next = TAILQ_NEXT(c, all);
        if (!c->waits_for_reload)
            continue;
        if (error)
            client_error(c, EX_CONFIG, error);
        else
            client_data(c, json_pack("{s:s, s:i}", "config", s->conf_file, "generation",
                                     s->serving ? (int)s->serving->number : 0));
    }
}

static void request_take(struct client *c, struct span line)
{
    json_t *request = json_loadb((const char *)line.ptr, line.len, 0, NULL);
    const char *name = json_string_value(json_object_get(request, "verb"));
    const struct verb *verb = NULL;

    for (size_t i = 0; name && i < sizeof(verbs) / sizeof(verbs[0]); i++)
        if (strcmp(verbs[i].name, name) == 0)
            verb = &verbs[i];
    if (verb)
        verb->act(c, request);
    else
        client_error(c, EX_USAGE, "no such verb; versions of posternctl and posternd may differ");
    json_decref(request);
}

/* --- the socket --------------------------------------------------------------------------- */

static int client_timeout(sd_event_source *source, uint64_t usec, void *user)
{
    struct client *c = user;

    if (c->rows_id)
        rows_end(c);
    else if (c->waits_for_reload)
        client_error(c, EX_TEMPFAIL, "it takes longer than expected; the log says how it ends");
    else
        client_free(c);
    return 0;
}

static int client_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
    struct client *c = user;
    uint8_t *room;
    ssize_t n;

    if (c->answered) {
        client_flush(c);
        return 0;
    }
    room = buf_reserve(&c->in, 1024);
    n = room ? recv(fd, room, 1024, MSG_DONTWAIT) : -1;
    if (n < 0 && room && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return 0;
    if (n <= 0) { /* gone, or more than a request may have */
        client_free(c);
        return 0;
    }
    buf_commit(&c->in, (size_t)n);
    struct span all = buf_span(&c->in);
    const uint8_t *end = memchr(all.ptr, '\n', all.len);
    if (!end || c->rows_id || c->waits_for_reload)
        return 0;
    request_take(c, span_make(all.ptr, (size_t)(end - all.ptr)));
    return 0;
}

static int accept_ready(sd_event_source *source, int fd, uint32_t events, void *user)
{
    struct admin *a = user;
    sd_event *event = a->supervisor->event;
    int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    struct client *c = got >= 0 && a->len < CLIENTS_MAX ? calloc(1, sizeof(*c)) : NULL;

    if (!c) {
        if (got >= 0)
            close(got);
        return 0;
    }
    c->admin = a;
    c->fd = got;
    buf_init(&c->in, REQUEST_MAX);
    buf_init(&c->out, 0);
    TAILQ_INSERT_TAIL(&a->clients, c, all);
    a->len++;
    if (sd_event_add_io(event, &c->source, got, EPOLLIN, client_ready, c) < 0 ||
        sd_event_add_time_relative(event, &c->timer, CLOCK_MONOTONIC, CLIENT_TIMEOUT_US, 0,
                                   client_timeout, c) < 0)
        client_free(c);
    return 0;
}

/* 0 where the path is free, or was left by a process that is gone. */
static int path_clear(const struct sockaddr_un *address, char *why, size_t why_room)
{
    struct stat st;
    int fd, error;

    if (lstat(address->sun_path, &st) != 0)
        return 0;
    if (!S_ISSOCK(st.st_mode)) {
        snprintf(why, why_room, "gateway.control_socket: %s is there and is no socket",
                 address->sun_path);
        return ERR_CONFIG;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return ERR_SYSTEM;
    error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
    close(fd);
    if (error != ECONNREFUSED) {
        snprintf(why, why_room,
                 "gateway.control_socket: another posternd serves %s; stop it first, or give this "
                 "one a socket of its own",
                 address->sun_path);
        return ERR_STATE;
    }
    unlink(address->sun_path);
    return 0;
}

static int socket_open(struct admin *a)
{
    /* From its first moment on only its owner may connect. */
    mode_t before = umask(0177);
    int result = -1;

    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (a->fd >= 0)
        result = bind(a->fd, (const struct sockaddr *)&a->address, sizeof(a->address));
    umask(before);
    return result == 0 ? listen(a->fd, CLIENTS_MAX) : result;
}

int admin_new(struct supervisor *s, const char *path, char *why, size_t why_room,
              struct admin **ret)
{
    struct admin *a = calloc(1, sizeof(*a));
    int err;

    *ret = NULL;
    if (!a) {
        snprintf(why, why_room, "%s", err_text(ERR_NOMEM));
        return ERR_NOMEM;
    }
    a->supervisor = s;
    a->next_id = 1;
    a->fd = -1;
    TAILQ_INIT(&a->clients);
    a->address.sun_family = AF_UNIX;
    snprintf(a->address.sun_path, sizeof(a->address.sun_path), "%s", path);
    err = path_clear(&a->address, why, why_room);
    if (!err && (socket_open(a) != 0 ||
                 sd_event_add_io(s->event, &a->source, a->fd, EPOLLIN, accept_ready, a) < 0)) {
        snprintf(why, why_room, "gateway.control_socket: %s: %s", path, strerror(errno));
        err = ERR_SYSTEM;
    }
    if (err) {
        if (a->fd >= 0)
            close(a->fd);
        free(a);
        return err;
    }
    *ret = a;
    return 0;
}

void admin_free(struct admin *a)
{
    if (!a)
        return;
    while (!TAILQ_EMPTY(&a->clients))
        client_free(TAILQ_FIRST(&a->clients));
    sd_event_source_disable_unref(a->source);
    close(a->fd);
    unlink(a->address.sun_path);
    free(a);
}
