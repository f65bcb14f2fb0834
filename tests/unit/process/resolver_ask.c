/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a resolver process, confined as in the product, and prints its whole answers, among them
 * what no SMTP reply shows: whether they were validated. tests/peers/test_resolver.py asks it about
 * zones that it signed.
 *
 *   resolver_ask ANCHOR ZONE=SERVER[,ZONE=SERVER...] CA PORT TIMEOUT STATE KIND:NAME...
 *
 * KIND: mx, addr, ptr, tlsa (of port 25), sts. CA, PORT, TIMEOUT, STATE: of policies by HTTPS, ""
 * as STATE keeps none. Without questions it takes them from its input, a line each, several at a
 * time, and prints each answer when it comes.
 */
#include "channel.h"
#include "resolver_process.h"
#include "resolver_store.h"
#include "resolver_wire.h"
#include "sandbox.h"
#include "state_folder.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STUBS_MAX = 16, ANSWER_MS = 15000, LINES_MAX = 4096, ENTRIES = 1000 };

static const char *const statuses[] = {
    [DNS_OK] = "ok",         [DNS_NODATA] = "nodata", [DNS_NXDOMAIN] = "nxdomain",
    [DNS_FAILED] = "failed", [DNS_BOGUS] = "bogus",
};

static void process_run(const struct conf_resolver *conf, const char *state, int channel,
                        pid_t parent)
{
    struct resolver_process *r;
    char why[256];
    int store =
        state[0] ? state_folder_open(state, RESOLVER_STORE_FOLDER, 65534, 65534, why, sizeof(why))
                 : -1;

    if ((state[0] && store < 0) || sandbox_drop_root(65534, 65534, parent, why, sizeof(why)) != 0 ||
        sandbox_write_below(&store, 1, why, sizeof(why)) != 0 ||
        resolver_process_new(conf, store, NULL, NULL, NULL, &r, why, sizeof(why)) != 0 ||
        sandbox_enter_with(SANDBOX_RESOLVER, &store, 1, why, sizeof(why)) != 0) {
        fprintf(stderr, "%s\n", why);
        _exit(2);
    }
    _exit(resolver_process_run(r, channel) == 0 ? 0 : 3);
}

static bool question_parse(const char *text, struct resolver_wire_question *ret)
{
    const char *name = strchr(text, ':');
    struct span kind = span_make(text, name ? (size_t)(name - text) : 0);

    if (!name || strlen(name + 1) > DNS_NAME_MAX)
        return false;
    name++;
    memset(ret, 0, sizeof(*ret));
    ret->port = 25;
    memcpy(ret->name, name, strlen(name) + 1);
    if (span_equal_nocase(kind, SPAN_LIT("mx")))
        ret->kind = RESOLVER_MX;
    else if (span_equal_nocase(kind, SPAN_LIT("addr")))
        ret->kind = RESOLVER_ADDR;
    else if (span_equal_nocase(kind, SPAN_LIT("ptr")))
        ret->kind = RESOLVER_PTR;
    else if (span_equal_nocase(kind, SPAN_LIT("tlsa")))
        ret->kind = RESOLVER_TLSA;
    else if (span_equal_nocase(kind, SPAN_LIT("sts")))
        ret->kind = RESOLVER_STS;
    else
        return false;
    return ret->kind != RESOLVER_PTR || net_addr_parse_ip(span_str(name), 0, &ret->addr) == 0;
}

static void tlsa_print(const char *question, const struct dns_tlsa_answer *a)
{
    printf("%s %s base=%s ttl=%u", question, statuses[a->status], a->base, a->ttl_s);
    for (unsigned i = 0; i < a->len; i++) {
        const struct dns_tlsa *r = &a->records[i];
        printf(" %u/%u/%u/", r->usage, r->selector, r->matching);
        for (unsigned k = 0; k < r->len; k++)
            printf("%02x", a->data[r->at + k]);
    }
}

static void sts_print(const char *question, const struct sts_answer *a)
{
    printf("%s %s", question, statuses[a->status]);
    if (a->status == DNS_OK)
        printf(" mode=%s id=%s cached=%d ttl=%u left=%lld mx=", sts_mode_text(a->mode), a->id,
               a->from_cache, a->ttl_s, (long long)(a->expires - (int64_t)time(NULL)));
    for (unsigned i = 0; i < a->mx_len; i++)
        printf("%s%s", i > 0 ? "," : "", a->mx[i]);
    if (a->why[0])
        printf(" why=%s", a->why);
}

static void answer_print(const char *question, const struct resolver_wire_answer *a)
{
    char ip[NET_ADDR_TEXT];

    switch ((enum resolver_kind)a->kind) {
    case RESOLVER_MX:
        printf("%s %s secure=%d ttl=%u", question, statuses[a->mx.status], a->mx.secure,
               a->mx.ttl_s);
        for (unsigned i = 0; i < a->mx.len; i++)
            printf(" %u/%s", a->mx.mx[i].preference, a->mx.mx[i].host);
        break;
    case RESOLVER_ADDR:
        printf("%s %s secure=%d ttl=%u", question, statuses[a->addr.status], a->addr.secure,
               a->addr.ttl_s);
        for (unsigned i = 0; i < a->addr.len; i++)
            printf(" %s", net_addr_ip_text(&a->addr.addr[i], ip));
        break;
    case RESOLVER_PTR:
        printf("%s %s %s", question, statuses[a->ptr.status], a->ptr.name);
        break;
    case RESOLVER_TLSA:
        tlsa_print(question, &a->tlsa);
        break;
    case RESOLVER_STS:
        sts_print(question, &a->sts);
        break;
    }
    printf("\n");
    fflush(stdout);
}

static bool ask(int fd, const char *text)
{
    struct resolver_wire_question q;
    struct resolver_wire_answer a;
    struct pollfd ready = {fd, POLLIN, 0};

    if (!question_parse(text, &q)) {
        fprintf(stderr, "no question: %s\n", text);
        return false;
    }
    if (send(fd, &q, sizeof(q), MSG_NOSIGNAL) < 0 || poll(&ready, 1, ANSWER_MS) != 1)
        return false;
    ssize_t n = recv(fd, &a, sizeof(a), 0);
    if (n <= 0 || !resolver_wire_valid(&a, (size_t)n))
        return false;
    answer_print(text, &a);
    return true;
}

struct asked {
    char lines[LINES_MAX][DNS_NAME_MAX + 8];
    unsigned len; /* of all time; the id of a question is its place */
};

static bool line_ask(int fd, struct asked *asked)
{
    struct resolver_wire_question q;
    char line[DNS_NAME_MAX + 8];

    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    if (!question_parse(line, &q)) {
        fprintf(stderr, "no question: %s\n", line);
        return false;
    }
    memcpy(asked->lines[asked->len % LINES_MAX], line, sizeof(line));
    q.id = asked->len++;
    while (send(fd, &q, sizeof(q), MSG_NOSIGNAL) < 0) {
        struct pollfd room = {fd, POLLOUT, 0};
        if (errno != EAGAIN || poll(&room, 1, ANSWER_MS) != 1)
            return false;
    }
    return true;
}

/* Until the input ends. */
static bool serve_input(int fd)
{
    static struct asked asked;
    static struct resolver_wire_answer a;
    struct pollfd ready[2] = {{STDIN_FILENO, POLLIN, 0}, {fd, POLLIN, 0}};

    setvbuf(stdin, NULL, _IONBF, 0);
    for (;;) {
        if (poll(ready, 2, -1) < 0)
            return false;
        if (ready[0].revents && !line_ask(fd, &asked))
            return true;
        if (!ready[1].revents)
            continue;
        ssize_t n = recv(fd, &a, sizeof(a), 0);
        if (n <= 0 || !resolver_wire_valid(&a, (size_t)n))
            return false;
        answer_print(asked.lines[a.id % LINES_MAX], &a);
    }
}

static bool conf_read(char **argv, struct conf_resolver *conf, const char **stubs)
{
    uint64_t port, timeout_s;

    if (span_to_u64(span_str(argv[4]), 65535, &port) != 0 ||
        span_to_u64(span_str(argv[5]), 300, &timeout_s) != 0)
        return false;
    conf->trust_anchor = argv[1];
    for (char *stub = argv[2]; stub && conf->stub.len < STUBS_MAX;) {
        char *comma = strchr(stub, ',');
        if (comma)
            *comma++ = '\0';
        stubs[conf->stub.len++] = stub;
        stub = comma;
    }
    conf->sts_ca = argv[3];
    conf->sts_port = (unsigned)port;
    conf->sts_timeout_s = (unsigned)timeout_s;
    return true;
}

int main(int argc, char **argv)
{
    const char *stubs[STUBS_MAX];
    struct conf_resolver conf = {
        .stub = {stubs, 0}, .timeout_s = 5, .port = 53, .sts_entries = ENTRIES};
    struct channel_message hello = {.kind = CHANNEL_CLIENT};
    int channel[2], line[2], status;
    pid_t self = getpid(), process;
    bool good = true;

    if (argc < 7 || !conf_read(argv, &conf, stubs))
        return 64;
    if (channel_pair(channel) != 0 || channel_pair(line) != 0 || (process = fork()) < 0)
        return 71;
    if (process == 0) {
        close(channel[0]);
        close(line[0]);
        process_run(&conf, argv[6], channel[1], self);
    }
    close(channel[1]);
    good = channel_send(channel[0], &hello, line[1]) == 0;
    close(line[1]);
    if (argc == 7)
        good = good && serve_input(line[0]);
    for (int i = 7; i < argc && good; i++)
        good = ask(line[0], argv[i]);
    close(line[0]);
    close(channel[0]);
    return waitpid(process, &status, 0) == process && status == 0 && good ? 0 : 1;
}
