/* SPDX-License-Identifier: Apache-2.0 */
/* Do readers find in the table what its writer put there, and nothing that is another's? And does
 * the line carry what is told, and refuse what is no report? */
#include "ratchet_table.h"

#include "channel.h"
#include "cmocka_all.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct ratchet_known dane = {
    .memory = {true, {CONF_LEVEL_DANE, TLS_SOURCE_DANE}, 1234}};
static const struct ratchet_known dropped = {
    .memory = {true, {CONF_LEVEL_ENCRYPT, TLS_SOURCE_NONE}, INT64_MAX}, .dropped = true};
static const struct ratchet_known nothing;

static struct ratchet_table *table_new(void)
{
    struct ratchet_table *t;

    assert_int_equal(ratchet_table_new(&t), ERR_OK);
    ratchet_table_take(t);
    return t;
}

static void expect(const struct ratchet_table *t, const char *destination, const char *host,
                   const struct ratchet_known *want)
{
    struct ratchet_known known;

    ratchet_table_find(t, destination, host, &known);
    assert_int_equal(known.memory.known, want->memory.known);
    if (!want->memory.known)
        return;
    assert_int_equal(known.memory.best.level, want->memory.best.level);
    assert_int_equal(known.memory.best.source, want->memory.best.source);
    assert_int_equal(known.memory.last, want->memory.last);
    assert_int_equal(known.dropped, want->dropped);
}

static void test_put_and_find(void **state)
{
    struct ratchet_table *t = table_new();

    expect(t, "example.org", "mx", &nothing);
    assert_true(ratchet_table_put(t, "example.org", "mx", &dane));
    assert_true(ratchet_table_put(t, "example.org", NULL, &dropped));
    expect(t, "example.org", "mx", &dane);
    expect(t, "example.org", NULL, &dropped);
    expect(t, "example.org", "", &nothing);
    expect(t, "example.or", "gmx", &nothing);
    expect(t, "example.org\nmx", NULL, &nothing);
    assert_true(ratchet_table_put(t, "example.org", "mx", &dropped));
    expect(t, "example.org", "mx", &dropped);
    assert_true(ratchet_table_put(t, "example.org", "mx", &nothing));
    expect(t, "example.org", "mx", &nothing);
    expect(t, "example.org", NULL, &dropped);
    assert_true(ratchet_table_put(t, "other.example", "mx", &nothing));
    ratchet_table_free(t);
}

/* As many as there ever are, all found; and none that went. */
static void test_full(void **state)
{
    struct ratchet_table *t = table_new();
    char name[32];

    for (int i = 0; i < RATCHET_ENTRIES_MAX; i++) {
        snprintf(name, sizeof(name), "d%d.example", i);
        assert_true(ratchet_table_put(t, name, "mx", &dane));
        assert_true(ratchet_table_put(t, name, NULL, &dane));
    }
    for (int i = 0; i < RATCHET_ENTRIES_MAX; i += 2) {
        snprintf(name, sizeof(name), "d%d.example", i);
        assert_true(ratchet_table_put(t, name, "mx", &nothing));
    }
    for (int i = 0; i < RATCHET_ENTRIES_MAX; i++) {
        snprintf(name, sizeof(name), "d%d.example", i);
        expect(t, name, "mx", i % 2 ? &dane : &nothing);
        expect(t, name, NULL, &dane);
    }
    ratchet_table_free(t);
}

/* The next writer keeps what it knows too, and what it does not goes at its end. */
static void test_next_writer(void **state)
{
    struct ratchet_table *t = table_new();

    assert_true(ratchet_table_put(t, "kept.example", "mx", &dane));
    assert_true(ratchet_table_put(t, "gone.example", "mx", &dane));
    ratchet_table_sweep(t);
    ratchet_table_take(t);
    assert_true(ratchet_table_put(t, "kept.example", "mx", &dane));
    expect(t, "gone.example", "mx", &dane);
    ratchet_table_sweep(t);
    expect(t, "kept.example", "mx", &dane);
    expect(t, "gone.example", "mx", &nothing);
    ratchet_table_free(t);
}

/* The exit code of a child that has the table sealed; -1: a signal killed it. */
static int sealed(struct ratchet_table *t, int (*act)(struct ratchet_table *t))
{
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        ratchet_table_seal(t);
        signal(SIGSEGV, SIG_DFL);
        _exit(act(t));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -1 : WEXITSTATUS(status);
}

static int act_find(struct ratchet_table *t)
{
    struct ratchet_known known;

    ratchet_table_find(t, "example.org", "mx", &known);
    return known.memory.known ? 0 : 1;
}

static int act_put(struct ratchet_table *t)
{
    (void)ratchet_table_put(t, "example.org", "mx", &nothing);
    return 0;
}

static int act_open(struct ratchet_table *t)
{
    return mprotect(t, 4096, PROT_READ | PROT_WRITE) == 0 ? 0 : 1;
}

/* A worker that is taken over changes nothing in it. */
static void test_sealed(void **state)
{
    struct ratchet_table *t = table_new();

    assert_true(ratchet_table_put(t, "example.org", "mx", &dane));
    assert_int_equal(sealed(t, act_find), 0);
    assert_int_equal(sealed(t, act_put), -1);
    assert_int_equal(sealed(t, act_open), 1);
    expect(t, "example.org", "mx", &dane);
    /* And the one that writes goes on to, for those to see. */
    assert_true(ratchet_table_put(t, "example.org", "mx", &nothing));
    assert_int_equal(sealed(t, act_find), 1);
    ratchet_table_free(t);
}

/* Whatever a reader finds while the writer turns it was put so. */
static atomic_bool stop;

static void *reader(void *user)
{
    const struct ratchet_table *t = user;
    struct ratchet_known known;
    uintptr_t wrong = 0;

    while (!atomic_load(&stop)) {
        ratchet_table_find(t, "example.org", "mx", &known);
        if (known.memory.known && known.memory.best.level != CONF_LEVEL_DANE &&
            known.memory.best.level != CONF_LEVEL_ENCRYPT)
            wrong++;
    }
    return (void *)wrong;
}

static void test_reader_beside_writer(void **state)
{
    struct ratchet_table *t = table_new();
    pthread_t thread;
    void *wrong;

    atomic_store(&stop, false);
    assert_int_equal(pthread_create(&thread, NULL, reader, t), 0);
    for (int i = 0; i < 20000; i++)
        (void)ratchet_table_put(t, "example.org", "mx",
                                i % 3 == 0   ? &dane
                                : i % 3 == 1 ? &dropped
                                             : &nothing);
    atomic_store(&stop, true);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    ratchet_table_free(t);
}

static const struct ratchet_report good = {.kind = RATCHET_TOLD_DROP,
                                           .level = CONF_LEVEL_ENCRYPT,
                                           .source = TLS_SOURCE_NONE,
                                           .holds = 1,
                                           .destination = "example.org",
                                           .host = "mx",
                                           .route = "*",
                                           .why = "because"};

static void test_line(void **state)
{
    struct ratchet_report heard;
    int pair[2];

    assert_int_equal(channel_pair(pair), 0);
    const struct ratchet_line line = {.fd = pair[0]};
    assert_int_equal(ratchet_hear(pair[1], &heard), ERR_AGAIN);
    assert_true(ratchet_tell(&line, &good));
    assert_int_equal(ratchet_hear(pair[1], &heard), ERR_OK);
    assert_memory_equal(&heard, &good, sizeof(good));

    struct ratchet_report bad[8];
    for (int i = 0; i < 8; i++)
        bad[i] = good;
    bad[0].kind = 2;
    bad[1].level = CONF_LEVEL_AUTO;
    bad[2].level = 255;
    bad[3].source = TLS_SOURCE_NONE + 1;
    memset(bad[4].destination, 'a', sizeof(bad[4].destination));
    memset(bad[5].host, 'a', sizeof(bad[5].host));
    memset(bad[6].route, 'a', sizeof(bad[6].route));
    memset(bad[7].why, 'a', sizeof(bad[7].why));
    for (int i = 0; i < 8; i++) {
        assert_true(ratchet_tell(&line, &bad[i]));
        assert_int_equal(ratchet_hear(pair[1], &heard), ERR_SYNTAX);
    }
    assert_int_equal(send(pair[0], &good, sizeof(good) - 1, 0), sizeof(good) - 1);
    assert_int_equal(ratchet_hear(pair[1], &heard), ERR_SYNTAX);

    /* A line that nobody reads is full at some time, and then nobody waits. */
    int sent = 0;
    while (sent < 100000 && ratchet_tell(&line, &good))
        sent++;
    assert_in_range(sent, 1, 99999);
    assert_int_equal(ratchet_hear(pair[1], &heard), ERR_OK);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_and_find),         cmocka_unit_test(test_full),
        cmocka_unit_test(test_next_writer),          cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_reader_beside_writer), cmocka_unit_test(test_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
