/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asks a resolver process, confined as in the product, and prints its whole answers, among them
 * what no SMTP reply shows: whether they were validated. tests/peers/test_resolver.py asks it about
 * zones that it signed.
 *
 *   resolver_ask ANCHOR ZONE=SERVER[,ZONE=SERVER...] KIND:NAME...     KIND: mx, addr, ptr
 */
#include "channel.h"
#include "resolver_process.h"
#include "resolver_wire.h"
#include "sandbox.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STUBS_MAX = 16, ANSWER_MS = 15000 };

static const char *const statuses[] = {
    [DNS_OK] = "ok",         [DNS_NODATA] = "nodata", [DNS_NXDOMAIN] = "nxdomain",
    [DNS_FAILED] = "failed", [DNS_BOGUS] = "bogus",
};

static void process_run(const struct conf_resolver *conf, int channel, pid_t parent)
{
    struct resolver_process *r;
    char why[256];

    if (sandbox_drop_root(65534, 65534, parent, why, sizeof(why)) != 0 ||
        resolver_process_new(conf, &r, why, sizeof(why)) != 0 ||
        sandbox_enter(SANDBOX_RESOLVER, why, sizeof(why)) != 0) {
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
    memcpy(ret->name, name, strlen(name) + 1);
    if (span_equal_nocase(kind, SPAN_LIT("mx")))
        ret->kind = RESOLVER_MX;
    else if (span_equal_nocase(kind, SPAN_LIT("addr")))
        ret->kind = RESOLVER_ADDR;
    else if (span_equal_nocase(kind, SPAN_LIT("ptr")))
        ret->kind = RESOLVER_PTR;
    else
        return false;
    return ret->kind != RESOLVER_PTR || net_addr_parse_ip(span_str(name), 0, &ret->addr) == 0;
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
    }
    printf("\n");
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

int main(int argc, char **argv)
{
    const char *stubs[STUBS_MAX];
    struct conf_resolver conf = {.stub = {stubs, 0}, .timeout_s = 5, .port = 53};
    struct channel_message hello = {.kind = CHANNEL_CLIENT};
    int channel[2], line[2], status;
    pid_t self = getpid(), process;
    bool good = true;

    if (argc < 4)
        return 64;
    conf.trust_anchor = argv[1];
    for (char *stub = argv[2]; stub && conf.stub.len < STUBS_MAX;) {
        char *comma = strchr(stub, ',');
        if (comma)
            *comma++ = '\0';
        stubs[conf.stub.len++] = stub;
        stub = comma;
    }
    if (channel_pair(channel) != 0 || channel_pair(line) != 0 || (process = fork()) < 0)
        return 71;
    if (process == 0) {
        close(channel[0]);
        close(line[0]);
        process_run(&conf, channel[1], self);
    }
    close(channel[1]);
    good = channel_send(channel[0], &hello, line[1]) == 0;
    close(line[1]);
    for (int i = 3; i < argc && good; i++)
        good = ask(line[0], argv[i]);
    close(line[0]);
    close(channel[0]);
    return waitpid(process, &status, 0) == process && status == 0 && good ? 0 : 1;
}
