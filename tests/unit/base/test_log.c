/* SPDX-License-Identifier: Apache-2.0 */
#include "../cmocka_all.h"

#include "assertion.h"
#include "errcode.h"
#include "log.h"
#include "session_end.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void assert_line(const struct log_line *l, const char *expected)
{
    assert_int_equal(l->len, strlen(expected));
    assert_memory_equal(l->text, expected, l->len);
}

static void peer_bytes_are_escaped(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_LEVEL_INFO, "id1", "message");
    log_peer(&l, "helo", SPAN_LIT("a\r\nid2 forged=\"\\\xc3\xa9\x7f"));
    assert_line(&l, "id1 message helo=\"a\\x0d\\x0aid2 forged=\\x22\\x5c\\xc3\\xa9\\x7f\"");
}

static void values_are_plain_or_quoted(void **state)
{
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_LEVEL_INFO, "id", "e");
    log_str(&l, "a", "plain");
    log_str(&l, "b", "two words");
    log_str(&l, "c", "");
    log_u64(&l, "d", 18446744073709551615ull);
    log_fixed(&l, "e", 1234, 3);
    log_fixed(&l, "f", 5, 3);
    assert_line(&l, "id e a=plain b=\"two words\" c=\"\" d=18446744073709551615 e=1.234 f=0.005");
}

static void a_long_line_is_cut_not_overrun(void **state)
{
    static const uint8_t zeros[4096];
    struct log_line l;

    (void)state;
    log_begin(&l, LOG_LEVEL_INFO, "id", "e");
    for (int i = 0; i < 20; i++)
        log_peer(&l, "k", span_make(zeros, sizeof(zeros)));
    assert_true(l.len < LOG_LINE_MAX);
}

/* What runs in a process of its own, whose standard error is fd: the test's own is cmocka's. */
static void in_child(int fd, int signal_expected, void (*run)(void))
{
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        unsetenv("JOURNAL_STREAM");
        if (dup2(fd, STDERR_FILENO) < 0)
            _exit(1);
        run();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (signal_expected)
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signal_expected);
    else
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(fd);
}

/* Each write is one packet. */
static int packets(int *ret_write)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    *ret_write = fds[1];
    return fds[0];
}

static void assert_packet(int fd, const char *expected)
{
    char got[2 * LOG_HELD_MAX];
    ssize_t n = recv(fd, got, sizeof(got), MSG_DONTWAIT);

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(got, expected, strlen(expected));
}

static void assert_no_packet(int fd)
{
    char byte;

    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), 0); /* all writers are gone */
    close(fd);
}

static void three_of_two_turns(void)
{
    log_text(LOG_LEVEL_INFO, "id", "before");
    log_collect();
    log_text(LOG_LEVEL_INFO, "id", "one");
    log_text(LOG_LEVEL_DEBUG, "id", "too much to know");
    log_text(LOG_LEVEL_WARNING, "id", "two");
    log_flush();
    log_text(LOG_LEVEL_INFO, "id", "three");
    log_flush();
    log_flush();
    log_text(LOG_LEVEL_INFO, "id", "never flushed");
}

static void collected_lines_are_one_write_in_order(void **state)
{
    int child, fd = packets(&child);

    (void)state;
    in_child(child, 0, three_of_two_turns);
    assert_packet(fd, "id before\n");
    assert_packet(fd, "id one\nid two\n");
    assert_packet(fd, "id three\n");
    assert_no_packet(fd);
}

static void with_an_error(void)
{
    log_collect();
    log_text(LOG_LEVEL_INFO, "id", "one");
    log_text(LOG_LEVEL_ERROR, "id", "two");
    log_text(LOG_LEVEL_INFO, "id", "three");
    log_flush();
}

static void an_error_does_not_wait(void **state)
{
    int child, fd = packets(&child);

    (void)state;
    in_child(child, 0, with_an_error);
    assert_packet(fd, "id one\nid two\n");
    assert_packet(fd, "id three\n");
    assert_no_packet(fd);
}

static void with_a_failed_assertion(void)
{
    log_collect();
    log_text(LOG_LEVEL_INFO, "id", "one");
    ASSERT(getpid() == 0);
}

static void what_waits_comes_before_a_failed_assertion(void **state)
{
    int child, fd = packets(&child);

    (void)state;
    in_child(child, SIGABRT, with_a_failed_assertion);
    assert_packet(fd, "id one\n");
    close(fd);
}

enum { LONG = 1000 };

static void write_long(char letter)
{
    struct log_line l = {.level = LOG_LEVEL_INFO, .len = LONG - 1};

    memset(l.text, letter, l.len);
    log_write(&l);
}

static void more_than_fits(void)
{
    struct log_line largest = {.level = LOG_LEVEL_INFO, .len = LOG_LINE_MAX - 1};

    log_collect();
    for (char letter = 'a'; letter < 'g'; letter++)
        write_long(letter);
    log_flush();
    memset(largest.text, 'z', largest.len);
    log_text(LOG_LEVEL_INFO, "id", "before");
    log_write(&largest);
    log_text(LOG_LEVEL_INFO, "id", "behind");
    log_flush();
}

static void assert_long(int fd, char first, unsigned count)
{
    char got[2 * LOG_HELD_MAX];

    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), count * LONG);
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(got[i * LONG], first + (int)i);
        assert_int_equal(got[(i + 1) * LONG - 2], first + (int)i);
        assert_int_equal(got[(i + 1) * LONG - 1], '\n');
    }
}

static void a_full_buffer_is_written_at_once(void **state)
{
    char got[2 * LOG_HELD_MAX];
    int child, fd = packets(&child);

    (void)state;
    in_child(child, 0, more_than_fits);
    assert_long(fd, 'a', 4);
    assert_long(fd, 'e', 2);
    assert_packet(fd, "id before\n");
    assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), LOG_LINE_MAX);
    assert_packet(fd, "id behind\n");
    assert_no_packet(fd);
}

/* One page of a pipe is full but for room for one of two lines. */
static void two_for_one_place(void)
{
    char filler[LOG_HELD_MAX - LONG - 10];

    memset(filler, '.', sizeof(filler));
    if (write(STDERR_FILENO, filler, sizeof(filler)) != sizeof(filler))
        _exit(2);
    log_collect();
    write_long('a');
    write_long('b');
    log_flush();
    log_text(LOG_LEVEL_INFO, "id", "fits");
    log_flush();
}

static void a_full_pipe_drops_only_what_has_no_room(void **state)
{
    static char got[2 * LOG_HELD_MAX];
    const size_t filler = LOG_HELD_MAX - LONG - 10;
    int fds[2];

    (void)state;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, LOG_HELD_MAX), LOG_HELD_MAX);
    in_child(fds[1], 0, two_for_one_place);
    assert_int_equal(read(fds[0], got, sizeof(got)), filler + LONG + strlen("id fits\n"));
    assert_int_equal(got[filler], 'a');
    assert_memory_equal(got + filler + LONG, "id fits\n", strlen("id fits\n"));
    close(fds[0]);
}

static void tables_have_a_text_in_each_row(void **state)
{
    (void)state;
    for (int code = -ERR_ROW_COUNT; code <= 0; code++)
        assert_true(strlen(err_text(code)) > 0);
    assert_string_equal(err_text(-ERR_ROW_COUNT - 1), "unknown error");
    for (int end = 0; end < SESSION_END_COUNT; end++) {
        assert_true(strlen(session_end_word((enum session_end)end)) > 0);
        assert_true(strlen(session_end_text((enum session_end)end)) > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peer_bytes_are_escaped),
        cmocka_unit_test(values_are_plain_or_quoted),
        cmocka_unit_test(a_long_line_is_cut_not_overrun),
        cmocka_unit_test(collected_lines_are_one_write_in_order),
        cmocka_unit_test(an_error_does_not_wait),
        cmocka_unit_test(what_waits_comes_before_a_failed_assertion),
        cmocka_unit_test(a_full_buffer_is_written_at_once),
        cmocka_unit_test(a_full_pipe_drops_only_what_has_no_room),
        cmocka_unit_test(tables_have_a_text_in_each_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
