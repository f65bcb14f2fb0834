/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver process over a real socket pair, asking a name server of our own on loopback. */
#include "../patience.h"
#include "channel.h"
#include "resolver_process.h"
#include "resolver_wire.h"
#include "sandbox.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What the name server says: type, wire name, data. */
struct record {
    uint16_t type;
    const char *name, *data;
    size_t name_len, data_len;
};
#define RECORD(type, name, data)                                                                   \
    {                                                                                              \
        type, name, data, sizeof(name), sizeof(data) - 1                                           \
    }

static const struct record records[] = {
    RECORD(15, "\7example\3org", "\0\12\2mx\7example\3org\0"),
    RECORD(15, "\4null\7example\3org", "\0\0\0"),
    RECORD(1, "\2mx\7example\3org", "\xc0\0\2\31"),
    RECORD(28, "\2mx\7example\3org", "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\31"),
    RECORD(12, "\00225\0012\0010\003192\7in-addr\4arpa", "\2mx\7example\3org\0"),
    /* Its name's address is another: not confirmed. */
    RECORD(12, "\00226\0012\0010\003192\7in-addr\4arpa", "\2mx\7example\3org\0"),
};

static size_t answer_make(uint8_t *packet, size_t len)
{
    size_t name_len = strnlen((const char *)packet + 12, len - 12) + 1;
    uint16_t type = (uint16_t)(packet[12 + name_len] << 8 | packet[13 + name_len]);
    size_t end = 12 + name_len + 4;
    bool known = false;

    packet[2] = 0x84;
    packet[3] = 0x80;
    memset(packet + 6, 0, 6);
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        const struct record *r = &records[i];
        if (r->name_len != name_len || strncasecmp(r->name, (char *)packet + 12, name_len) != 0)
            continue;
        known = true;
        if (r->type != type)
            continue;
        packet[7]++;
        memcpy(packet + end, "\xc0\x0c", 2);
        memcpy(packet + end + 2, packet + 12 + name_len, 4);
        memcpy(packet + end + 6, "\0\0\0\74", 4);
        packet[end + 10] = 0;
        packet[end + 11] = (uint8_t)r->data_len;
        memcpy(packet + end + 12, r->data, r->data_len);
        end += 12 + r->data_len;
    }
    if (!known)
        packet[3] |= 3; /* NXDOMAIN */
    return end;
}

static void name_server(int fd)
{
    for (;;) {
        uint8_t packet[4096];
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t n = recvfrom(fd, packet, 1024, 0, (struct sockaddr *)&from, &from_len);
        if (n < 17)
            _exit(1);
        size_t len = answer_make(packet, (size_t)n);
        if (sendto(fd, packet, len, 0, (struct sockaddr *)&from, from_len) < 0)
            _exit(1);
    }
}

struct fixture {
    pid_t server, process;
    int channel, worker;
};

static struct conf_resolver conf_of(const char *const *forward, const char *const *insecure)
{
    return (struct conf_resolver){.forward = {forward, 1},
                                  .insecure = {insecure, 1},
                                  .trust_anchor = "",
                                  .timeout_s = 5 * patience(),
                                  .port = 53,
                                  .sts_ca = "",
                                  .sts_port = 443,
                                  .sts_timeout_s = 60,
                                  .sts_entries = 100};
}

static void resolver_child(const char *server, const char *unsigned_zone, int channel, pid_t parent)
{
    const char *const forward[] = {server}, *const insecure[] = {unsigned_zone};
    struct conf_resolver conf = conf_of(forward, insecure);
    struct resolver_process *r;
    char why[256];

    /* With the product's own confinement, so that a call missing on its list shows here. */
    if (sandbox_drop_root(65534, 65534, parent, why, sizeof(why)) != 0 ||
        sandbox_write_below(NULL, 0, why, sizeof(why)) != 0 ||
        resolver_process_new(&conf, -1, NULL, NULL, NULL, &r, why, sizeof(why)) != 0 ||
        sandbox_enter(SANDBOX_RESOLVER, why, sizeof(why)) != 0) {
        fprintf(stderr, "%s\n", why);
        _exit(2);
    }
    _exit(resolver_process_run(r, channel) == 0 ? 0 : 3);
}

static int worker_socket(int channel)
{
    struct channel_message message = {.kind = CHANNEL_CLIENT};
    int pair[2];

    assert_int_equal(channel_pair(pair), 0);
    assert_int_equal(channel_send(channel, &message, pair[1]), 0);
    close(pair[1]);
    return pair[0];
}

static int setup_with(void **state, const char *unsigned_zone)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t addr_len = sizeof(addr);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int pair[2];
    char server[64];
    pid_t self = getpid();

    if (!f || udp < 0 || bind(udp, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
        getsockname(udp, (struct sockaddr *)&addr, &addr_len) != 0)
        return -1;
    snprintf(server, sizeof(server), "127.0.0.1:%u", ntohs(addr.sin_port));
    f->server = fork();
    if (f->server == 0)
        name_server(udp);
    close(udp);
    if (channel_pair(pair) != 0)
        return -1;
    f->process = fork();
    if (f->process == 0) {
        close(pair[0]);
        resolver_child(server, unsigned_zone, pair[1], self);
    }
    close(pair[1]);
    f->channel = pair[0];
    f->worker = worker_socket(f->channel);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, ".");
}

/* Everything else must be signed up to the root's real keys, which our name server can't do. */
static int setup_validating(void **state)
{
    return setup_with(state, "mx.example.org");
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    int status;

    close(f->worker);
    close(f->channel);
    waitpid(f->process, &status, 0);
    kill(f->server, SIGKILL);
    waitpid(f->server, NULL, 0);
    free(f);
    return status == 0 ? 0 : -1;
}

static void ask(int worker, const struct resolver_wire_question *q,
                struct resolver_wire_answer *ret)
{
    struct pollfd fd = {worker, POLLIN, 0};
    ssize_t n;

    assert_int_equal(send(worker, q, sizeof(*q), MSG_NOSIGNAL), sizeof(*q));
    assert_int_equal(poll(&fd, 1, 10000 * patience()), 1);
    memset(ret, 0, sizeof(*ret));
    n = recv(worker, ret, sizeof(*ret), 0);
    assert_true(n > 0 && resolver_wire_valid(ret, (size_t)n));
    assert_int_equal(ret->id, q->id);
}

static void answers_mx_addresses_and_names(void **state)
{
    struct fixture *f = *state;
    struct resolver_wire_question q = {.id = 7, .kind = RESOLVER_MX, .name = "Example.org"};
    struct resolver_wire_answer a;
    char text[NET_ADDR_TEXT];

    ask(f->worker, &q, &a);
    assert_int_equal(a.mx.status, DNS_OK);
    assert_int_equal(a.mx.len, 1);
    assert_string_equal(a.mx.mx[0].host, "mx.example.org");
    assert_false(a.mx.secure);
    q = (struct resolver_wire_question){.id = 8, .kind = RESOLVER_MX, .name = "null.example.org"};
    ask(f->worker, &q, &a);
    assert_int_equal(a.mx.len, 1);
    assert_string_equal(a.mx.mx[0].host, "");
    q = (struct resolver_wire_question){.id = 9, .kind = RESOLVER_ADDR, .name = "mx.example.org"};
    ask(f->worker, &q, &a);
    assert_int_equal(a.addr.status, DNS_OK);
    assert_int_equal(a.addr.len, 2);
    assert_string_equal(net_addr_ip_text(&a.addr.addr[0], text), "2001:db8::19");
    assert_string_equal(net_addr_ip_text(&a.addr.addr[1], text), "192.0.2.25");
    q.id = 10;
    q.kind = RESOLVER_MX;
    ask(f->worker, &q, &a);
    assert_int_equal(a.mx.status, DNS_NODATA);
    q = (struct resolver_wire_question){.id = 11, .kind = RESOLVER_MX, .name = "nowhere.example"};
    ask(f->worker, &q, &a);
    assert_int_equal(a.mx.status, DNS_NXDOMAIN);
}

static void localhost_is_known(void **state)
{
    struct fixture *f = *state;
    struct resolver_wire_question q = {.id = 1, .kind = RESOLVER_ADDR, .name = "localhost"};
    struct resolver_wire_answer a;
    char text[NET_ADDR_TEXT];

    ask(f->worker, &q, &a);
    assert_int_equal(a.addr.status, DNS_OK);
    assert_string_equal(net_addr_ip_text(&a.addr.addr[a.addr.len - 1], text), "127.0.0.1");
}

static void a_name_is_confirmed_forward(void **state)
{
    struct fixture *f = *state;
    struct resolver_wire_question q = {.id = 1, .kind = RESOLVER_PTR};
    struct resolver_wire_answer a;

    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.25"), 0, &q.addr), 0);
    ask(f->worker, &q, &a);
    assert_int_equal(a.ptr.status, DNS_OK);
    assert_string_equal(a.ptr.name, "mx.example.org");
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.26"), 0, &q.addr), 0);
    ask(f->worker, &q, &a);
    assert_int_equal(a.ptr.status, DNS_NODATA);
    assert_int_equal(net_addr_parse_ip(SPAN_LIT("192.0.2.27"), 0, &q.addr), 0);
    ask(f->worker, &q, &a);
    assert_int_equal(a.ptr.status, DNS_NXDOMAIN);
}

static void garbage_closes_only_its_sender(void **state)
{
    struct fixture *f = *state;
    struct resolver_wire_question q = {.id = 1, .kind = RESOLVER_ADDR, .name = "localhost"};
    struct resolver_wire_answer a;
    int bad = worker_socket(f->channel), other = worker_socket(f->channel);
    struct pollfd fd = {bad, POLLIN, 0};
    char byte;

    ask(other, &q, &a);
    ask(bad, &q, &a);
    memset(q.name, 'a', sizeof(q.name)); /* no terminator */
    assert_int_equal(send(bad, &q, sizeof(q), MSG_NOSIGNAL), sizeof(q));
    assert_int_equal(poll(&fd, 1, 10000 * patience()), 1);
    assert_int_equal(recv(bad, &byte, 1, 0), 0);
    q = (struct resolver_wire_question){.id = 2, .kind = RESOLVER_MX, .name = "example.org"};
    ask(other, &q, &a);
    assert_int_equal(a.mx.status, DNS_OK);
    assert_int_equal(send(other, "x", 1, MSG_NOSIGNAL), 1);
    ask(f->worker, &q, &a);
    close(bad);
    close(other);
}

static void what_is_not_signed_is_bogus_unless_told(void **state)
{
    struct fixture *f = *state;
    struct resolver_wire_question q = {.id = 1, .kind = RESOLVER_MX, .name = "example.org"};
    struct resolver_wire_answer a;

    ask(f->worker, &q, &a);
    assert_int_equal(a.mx.status, DNS_BOGUS);
    assert_int_equal(a.mx.len, 0);
    q = (struct resolver_wire_question){.id = 2, .kind = RESOLVER_ADDR, .name = "mx.example.org"};
    ask(f->worker, &q, &a);
    assert_int_equal(a.addr.status, DNS_OK);
    assert_false(a.addr.secure);
}

static void a_setting_that_can_not_be_used_is_named(void **state)
{
    const char *const forward[] = {"no.address"}, *const insecure[] = {"."};
    struct conf_resolver conf = conf_of(forward, insecure);
    struct resolver_process *r;
    char why[256] = "";

    assert_int_equal(resolver_process_new(&conf, -1, NULL, NULL, NULL, &r, why, sizeof(why)),
                     ERR_CONFIG);
    assert_null(r);
    assert_non_null(strstr(why, "resolver.forward"));
    conf.forward.len = conf.insecure.len = 0;
    conf.trust_anchor = "/nonexistent/root.key";
    assert_int_equal(resolver_process_new(&conf, -1, NULL, NULL, NULL, &r, why, sizeof(why)),
                     ERR_CONFIG);
    assert_non_null(strstr(why, "resolver.trust_anchor"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(answers_mx_addresses_and_names, setup, teardown),
        cmocka_unit_test_setup_teardown(localhost_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_confirmed_forward, setup, teardown),
        cmocka_unit_test_setup_teardown(garbage_closes_only_its_sender, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_signed_is_bogus_unless_told, setup_validating,
                                        teardown),
        cmocka_unit_test(a_setting_that_can_not_be_used_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
