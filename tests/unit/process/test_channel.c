/* SPDX-License-Identifier: Apache-2.0 */
#include "channel.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static int setup(void **state)
{
    static int pair[2];

    *state = pair;
    return channel_pair(pair);
}

static int teardown(void **state)
{
    int *pair = *state;

    close(pair[0]);
    close(pair[1]);
    return 0;
}

static void messages_arrive_whole_and_in_order(void **state)
{
    const int *pair = *state;
    struct channel_message message = {.kind = CHANNEL_ROWS, .id = 7, .number = 1 << 20}, got;
    int fd;

    assert_int_equal(channel_receive(pair[1], &got, &fd), ERR_AGAIN);
    assert_int_equal(channel_send(pair[0], &message, -1), 0);
    message.kind = CHANNEL_FAILED;
    memset(message.text, 'x', sizeof(message.text) - 1);
    assert_int_equal(channel_send(pair[0], &message, -1), 0);
    memset(&got, 0xff, sizeof(got));
    assert_int_equal(channel_receive(pair[1], &got, &fd), 0);
    assert_int_equal(got.kind, CHANNEL_ROWS);
    assert_int_equal(got.id, 7);
    assert_int_equal(got.number, 1 << 20);
    assert_string_equal(got.text, "");
    assert_int_equal(fd, -1);
    assert_int_equal(channel_receive(pair[1], &got, &fd), 0);
    assert_string_equal(got.text, message.text);
}

static void descriptors_come_along_close_on_exec(void **state)
{
    const int *pair = *state;
    const struct channel_message message = {.kind = CHANNEL_CLIENT};
    struct channel_message got;
    int pipes[2], fd;
    char byte = 0;

    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(channel_send(pair[0], &message, pipes[1]), 0);
    close(pipes[1]);
    assert_int_equal(channel_receive(pair[1], &got, &fd), 0);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fd, "y", 1), 1);
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(fd);
    close(pipes[0]);
}

static void what_is_no_message_is_refused(void **state)
{
    const int *pair = *state;
    struct channel_message got, unterminated;
    uint8_t large[2 * sizeof(struct channel_message)] = {0};
    int fd;

    memset(&unterminated, 'a', sizeof(unterminated));
    for (size_t len = 1; len <= offsetof(struct channel_message, text); len++) {
        assert_int_equal(send(pair[0], large, len, 0), len);
        assert_int_equal(channel_receive(pair[1], &got, &fd), ERR_SYNTAX);
    }
    assert_int_equal(send(pair[0], &unterminated, sizeof(unterminated), 0), sizeof(unterminated));
    assert_int_equal(channel_receive(pair[1], &got, &fd), ERR_SYNTAX);
    assert_int_equal(send(pair[0], large, sizeof(large), 0), sizeof(large));
    assert_int_equal(channel_receive(pair[1], &got, &fd), ERR_SYNTAX);
    assert_int_equal(channel_receive(pair[1], &got, &fd), ERR_AGAIN);
}

static void nobody_waits_in_a_full_or_closed_channel(void **state)
{
    int *pair = *state;
    const struct channel_message message = {.kind = CHANNEL_PING};
    struct channel_message got;
    int fd, err = 0;
    unsigned sent = 0;

    while (!(err = channel_send(pair[0], &message, -1)))
        assert_in_range(++sent, 1, 100000);
    assert_int_equal(err, ERR_FULL);
    /* A line to each worker must fit before the resolver reads the first one. */
    assert_true(sent >= 256);
    close(pair[1]);
    assert_int_equal(channel_send(pair[0], &message, -1), ERR_CLOSED);
    assert_int_equal(channel_receive(pair[0], &got, &fd), ERR_CLOSED);
    assert_int_equal(channel_pair(pair), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_arrive_whole_and_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(descriptors_come_along_close_on_exec, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_message_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_waits_in_a_full_or_closed_channel, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
