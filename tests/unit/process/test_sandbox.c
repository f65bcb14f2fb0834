/* SPDX-License-Identifier: Apache-2.0 */
/* Each try runs in a child of its own: what must work, what must fail, what must kill. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Returns the child's wait status; act's result is its exit code. */
static int run_below(enum sandbox kind, const int *directories, size_t len, int (*act)(void))
{
    pid_t self = getpid();
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        char why[256];
        if (sandbox_drop_root(65534, 65534, self, why, sizeof(why)) != 0 ||
            (len > 0 && sandbox_write_below(directories, len, why, sizeof(why)) != 0) ||
            sandbox_enter_with(kind, directories, len, why, sizeof(why)) != 0) {
            fprintf(stderr, "%s\n", why);
            _exit(99);
        }
        _exit(act());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int run(enum sandbox kind, int (*act)(void))
{
    return run_below(kind, NULL, 0, act);
}

static int exec_shell(void)
{
    execl("/bin/true", "true", (char *)NULL);
    return 1;
}

static int trace_parent(void)
{
    return ptrace(PTRACE_ATTACH, getppid(), NULL, NULL) == 0 ? 0 : 1;
}

static int fork_child(void)
{
    syscall(SYS_fork);
    return 1;
}

static int open_write(void)
{
    static const int flags[] = {O_WRONLY, O_RDWR, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT,
                                O_RDONLY | O_CREAT};

    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (open("/tmp/postern-sandbox-test", flags[i], 0600) >= 0 || errno != ENOSYS)
            return 1;
    return open("/dev/null", O_WRONLY) < 0 && errno == ENOSYS ? 0 : 1;
}

static int open_read(void)
{
    return open("/etc/passwd", O_RDONLY | O_CLOEXEC) >= 0 ? 0 : 1;
}

static int make_code(void)
{
    void *p =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *q = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return p == MAP_FAILED && q != MAP_FAILED && mprotect(q, 4096, PROT_READ | PROT_EXEC) != 0 ? 0
                                                                                               : 1;
}

static int kill_parent(void)
{
    return kill(getppid(), 0) != 0 && errno == ENOSYS ? 0 : 1;
}

static int make_socket(void)
{
    return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 ? 0 : 1;
}

static int ordinary_life(void)
{
    struct timespec t = {0, 1000};
    char *p = malloc(1 << 22);

    if (!p)
        return 1;
    memset(p, 1, 1 << 22);
    free(p);
    return nanosleep(&t, NULL) == 0 && fcntl(0, F_GETFL) >= 0 ? 0 : 1;
}

static int fail_assertion(void)
{
    abort();
}

static void is_killed(int status)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void an_intruder_is_killed(void **state)
{
    for (enum sandbox kind = SANDBOX_WORKER; kind <= SANDBOX_RATCHET; kind++) {
        is_killed(run(kind, exec_shell));
        is_killed(run(kind, trace_parent));
        is_killed(run(kind, fork_child));
    }
}

static void files_can_be_read_and_not_written(void **state)
{
    for (enum sandbox kind = SANDBOX_WORKER; kind <= SANDBOX_METRICS; kind++) {
        assert_int_equal(run(kind, open_write), 0);
        assert_int_equal(run(kind, open_read), 0);
        assert_int_equal(run(kind, make_code), 0);
        assert_int_equal(run(kind, kill_parent), 0);
        assert_int_equal(run(kind, ordinary_life), 0);
    }
}

static void sockets_are_for_those_that_need_them(void **state)
{
    assert_int_equal(run(SANDBOX_WORKER, make_socket), 0);
    assert_int_equal(run(SANDBOX_RESOLVER, make_socket), 0);
    assert_int_not_equal(run(SANDBOX_METRICS, make_socket), 0);
    assert_int_not_equal(run(SANDBOX_RATCHET, make_socket), 0);
}

static void an_assertion_still_aborts(void **state)
{
    int status = run(SANDBOX_WORKER, fail_assertion);

    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static int count_privileges(void)
{
    char line[256];
    int found = 0;
    FILE *f = fopen("/proc/self/status", "re");

    if (!f)
        return 1;
    while (fgets(line, sizeof(line), f)) {
        unsigned long long caps;
        if (sscanf(line, "CapEff: %llx", &caps) == 1 || sscanf(line, "CapPrm: %llx", &caps) == 1 ||
            sscanf(line, "CapInh: %llx", &caps) == 1 || sscanf(line, "CapAmb: %llx", &caps) == 1) {
            if (caps != 0)
                return 2;
            found++;
        }
        if (strcmp(line, "NoNewPrivs:\t1\n") == 0 || strcmp(line, "Seccomp:\t2\n") == 0)
            found++;
    }
    return found == 6 && geteuid() != 0 && getegid() != 0 ? 0 : 3;
}

static void nothing_of_root_is_left(void **state)
{
    if (getuid() != 0)
        skip();
    assert_int_equal(run(SANDBOX_WORKER, count_privileges), 0);
}

static int directory = -1;
static char outside[64];

/* Made, replaced and removed inside; by another descriptor, by path, or for reading and writing:
 * not. */
static int write_in_directory(void)
{
    static const int making = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = openat(directory, "a", making, 0600);

    if (fd < 0 || write(fd, "x", 1) != 1)
        return 1;
    if (renameat(directory, "a", directory, "b") != 0 || unlinkat(directory, "b", 0) != 0)
        return 2;
    if (openat(AT_FDCWD, outside, making, 0600) >= 0 || open(outside, making, 0600) >= 0 ||
        openat(directory, "c", O_RDWR | O_CREAT, 0600) >= 0)
        return 3;
    return 0;
}

static int write_by_path(void)
{
    return openat(directory, outside, O_WRONLY | O_CREAT | O_EXCL, 0600) < 0 && errno == EACCES ? 0
                                                                                                : 1;
}

static int run_with_directory(enum sandbox kind, int (*act)(void))
{
    return run_below(kind, &directory, 1, act);
}

static int kernel_has_landlock(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

static void one_directory_can_be_written_to(void **state)
{
    char name[] = "/tmp/postern-sandbox-XXXXXX";

    assert_non_null(mkdtemp(name));
    assert_int_equal(chmod(name, 0777), 0);
    snprintf(outside, sizeof(outside), "/tmp/postern-outside-%ld", (long)getpid());
    directory = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(directory >= 0);
    static const enum sandbox kinds[] = {SANDBOX_RESOLVER, SANDBOX_RATCHET};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        assert_int_equal(run_with_directory(kinds[i], write_in_directory), 0);
        if (kernel_has_landlock())
            assert_int_equal(run_with_directory(kinds[i], write_by_path), 0);
    }
    close(directory);
    unlink(outside);
    assert_int_equal(rmdir(name), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_intruder_is_killed),
        cmocka_unit_test(files_can_be_read_and_not_written),
        cmocka_unit_test(sockets_are_for_those_that_need_them),
        cmocka_unit_test(an_assertion_still_aborts),
        cmocka_unit_test(nothing_of_root_is_left),
        cmocka_unit_test(one_directory_can_be_written_to),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
