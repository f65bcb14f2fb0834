/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static int fail(char *why, size_t room, const char *what, int error)
{
    snprintf(why, room, "%s: %s", what, strerror(error));
    return ERR_SYSTEM;
}

int sandbox_drop_root(uid_t uid, gid_t gid, pid_t parent, char *why, size_t why_room)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return fail(why, why_room, "no_new_privs", errno);
    capng_clear(CAPNG_SELECT_BOTH);
    if (geteuid() == 0) {
        /* First, because dropping the bounding set needs a capability itself. Where that is not to
         * be had (a container), the set matters little: with no_new_privs nothing draws on it. */
        (void)!capng_apply(CAPNG_SELECT_BOUNDS);
        if (setgroups(0, NULL) != 0 || setresgid(gid, gid, gid) != 0)
            return fail(why, why_room, "setgroups, setresgid", errno);
        if (setresuid(uid, uid, uid) != 0)
            return fail(why, why_room, "setresuid", errno);
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 && errno != EINVAL)
        return fail(why, why_room, "ambient capabilities", errno);
    if (capng_apply(CAPNG_SELECT_CAPS) != 0)
        return fail(why, why_room, "capabilities", errno);
    if (uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
        return fail(why, why_room, "root could be had again", EPERM);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        return fail(why, why_room, "prctl", errno);
    if (getppid() != parent) /* it went while we were here */
        return fail(why, why_room, "supervisor", ESRCH);
    return 0;
}

/* Where the kernel has no Landlock, the filter and the rights of the user are what there is. */
int sandbox_write_below(const int *directories, size_t len, char *why, size_t why_room)
{
    const struct landlock_ruleset_attr rules = {
        .handled_access_fs = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                             LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_CHAR |
                             LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG |
                             LANDLOCK_ACCESS_FS_MAKE_SOCK | LANDLOCK_ACCESS_FS_MAKE_FIFO |
                             LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SYM};
    struct landlock_path_beneath_attr below = {.allowed_access = LANDLOCK_ACCESS_FS_WRITE_FILE |
                                                                 LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                                                 LANDLOCK_ACCESS_FS_MAKE_REG};
    int fd = (int)syscall(SYS_landlock_create_ruleset, &rules, sizeof(rules), 0);
    int err = 0;

    if (fd < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
        return 0;
    if (fd < 0)
        return fail(why, why_room, "landlock", errno);
    for (size_t i = 0; i < len && !err; i++) {
        below.parent_fd = directories[i];
        if (directories[i] >= 0 &&
            syscall(SYS_landlock_add_rule, fd, LANDLOCK_RULE_PATH_BENEATH, &below, 0) != 0)
            err = errno;
    }
    if (!err && syscall(SYS_landlock_restrict_self, fd, 0) != 0)
        err = errno;
    close(fd);
    return err ? fail(why, why_room, "landlock", err) : 0;
}

/* Calls of every process: memory, time, its own descriptors, signals to itself. */
static const int calls_common[] = {
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(pread64),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(close_range),
    SCMP_SYS(lseek),
    SCMP_SYS(fstat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(stat),
    SCMP_SYS(lstat),
    SCMP_SYS(statx),
    SCMP_SYS(fstatfs),
    SCMP_SYS(access),
    SCMP_SYS(faccessat),
    SCMP_SYS(faccessat2),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(getcwd),
    SCMP_SYS(getdents64),
    SCMP_SYS(dup),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(select),
    SCMP_SYS(pselect6),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    SCMP_SYS(futex),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(get_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(nanosleep),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(uname),
    SCMP_SYS(sysinfo),
    SCMP_SYS(getrusage),
    SCMP_SYS(getrlimit),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg),
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
};

static const int calls_worker[] = {
    SCMP_SYS(socket),
    SCMP_SYS(bind),
    SCMP_SYS(connect),
    SCMP_SYS(accept4),
    SCMP_SYS(splice),
    SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register),
    SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmmsg),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(ftruncate),
    SCMP_SYS(memfd_create),
};

static const int calls_resolver[] = {
    SCMP_SYS(socket),   SCMP_SYS(bind),   SCMP_SYS(connect), SCMP_SYS(accept4), SCMP_SYS(recvmmsg),
    SCMP_SYS(sendmmsg), SCMP_SYS(clone3), SCMP_SYS(clone),   SCMP_SYS(listen),  SCMP_SYS(flock),
};

static const int calls_ratchet[] = {
    SCMP_SYS(fsync), SCMP_SYS(ftruncate), /* of the memory file that an answer goes into */
};

static const int calls_metrics[] = {
    SCMP_SYS(accept4),
    SCMP_SYS(accept),
    SCMP_SYS(sendfile),
};

/* Nothing of ours ever calls these: whoever does is not us any more. */
static const int calls_deadly[] = {
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(unshare),
    SCMP_SYS(setns),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(add_key),
    SCMP_SYS(keyctl),
    SCMP_SYS(request_key),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(setuid),
    SCMP_SYS(setgid),
    SCMP_SYS(setresuid),
    SCMP_SYS(setresgid),
    SCMP_SYS(capset),
    SCMP_SYS(unlink),
    SCMP_SYS(rename),
    SCMP_SYS(renameat2),
    SCMP_SYS(chmod),
    SCMP_SYS(fchmodat),
    SCMP_SYS(chown),
    SCMP_SYS(fchownat),
    SCMP_SYS(mkdir),
    SCMP_SYS(mkdirat),
    SCMP_SYS(symlink),
    SCMP_SYS(link),
};

/* And these only in the directory that a process was given. */
static const int calls_directory[] = {
    SCMP_SYS(unlinkat),
    SCMP_SYS(renameat),
};

static int add_all(scmp_filter_ctx ctx, uint32_t action, const int *calls, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int err = seccomp_rule_add(ctx, action, calls[i], 0);
        /* A call that this architecture does not have needs no rule. */
        if (err != 0 && err != -EDOM && err != -EFAULT)
            return err;
    }
    return 0;
}

#define ADD_ALL(ctx, action, calls) add_all(ctx, action, calls, sizeof(calls) / sizeof((calls)[0]))

/* Files may be read (certificates of the system's directory are opened when needed) and never be
 * written, made or cut. */
static int add_read_only_open(scmp_filter_ctx ctx)
{
    const scmp_datum_t writing =
        O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY);
    int err;

    err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
                           SCMP_A2(SCMP_CMP_MASKED_EQ, writing, O_RDONLY));
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(open), 1,
                               SCMP_A1(SCMP_CMP_MASKED_EQ, writing, O_RDONLY));
    return err == -EDOM ? 0 : err;
}

/* Arguments that turn harmless calls into others. */
static int add_narrow(scmp_filter_ctx ctx)
{
    pid_t self = getpid();
    int err;

    err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                           SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)self));
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                               SCMP_A1(SCMP_CMP_LE, F_SETFL));
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                               SCMP_A1(SCMP_CMP_EQ, F_DUPFD_CLOEXEC));
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
                               SCMP_A2(SCMP_CMP_EQ, 0)); /* reads only */
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                               SCMP_A1(SCMP_CMP_EQ, FIONBIO));
    /* No memory becomes code. */
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                               SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return err;
}

/* A relay's pipes: what they hold. */
static int add_pipe_size(scmp_filter_ctx ctx)
{
    int err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                               SCMP_A1(SCMP_CMP_EQ, F_SETPIPE_SZ));

    return err ? err
               : seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                                  SCMP_A1(SCMP_CMP_EQ, F_GETPIPE_SZ));
}

static int add_directory(scmp_filter_ctx ctx, int directory)
{
    const scmp_datum_t fd = (scmp_datum_t)directory;
    const scmp_datum_t making = O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC;
    int err;

    err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(openat), 2, SCMP_A0(SCMP_CMP_EQ, fd),
                           SCMP_A2(SCMP_CMP_MASKED_EQ, making, O_WRONLY | O_CREAT | O_EXCL));
    if (!err)
        err =
            seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(unlinkat), 1, SCMP_A0(SCMP_CMP_EQ, fd));
    if (!err)
        err = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(renameat), 2, SCMP_A0(SCMP_CMP_EQ, fd),
                               SCMP_A2(SCMP_CMP_EQ, fd));
    return err;
}

static int add_directories(scmp_filter_ctx ctx, const int *directories, size_t len)
{
    unsigned added = 0;
    int err = 0;

    for (size_t i = 0; i < len && !err; i++) {
        if (directories[i] < 0)
            continue;
        err = add_directory(ctx, directories[i]);
        added++;
    }
    return err || added > 0 ? err : ADD_ALL(ctx, SCMP_ACT_KILL_PROCESS, calls_directory);
}

static int add_kind(scmp_filter_ctx ctx, enum sandbox kind)
{
    int err;

    switch (kind) {
    case SANDBOX_WORKER:
        err = ADD_ALL(ctx, SCMP_ACT_ALLOW, calls_worker);
        return err ? err : add_pipe_size(ctx);
    case SANDBOX_RESOLVER:
        return ADD_ALL(ctx, SCMP_ACT_ALLOW, calls_resolver);
    case SANDBOX_METRICS:
        return ADD_ALL(ctx, SCMP_ACT_ALLOW, calls_metrics);
    case SANDBOX_RATCHET:
        return ADD_ALL(ctx, SCMP_ACT_ALLOW, calls_ratchet);
    }
    return -EINVAL;
}

int sandbox_enter(enum sandbox kind, char *why, size_t why_room)
{
    return sandbox_enter_with(kind, NULL, 0, why, why_room);
}

int sandbox_enter_with(enum sandbox kind, const int *directories, size_t len, char *why,
                       size_t why_room)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int err;

    if (!ctx)
        return fail(why, why_room, "seccomp", ENOMEM);
    err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
    /* A binary search over the calls: less than 20 comparisons for each. */
    if (!err)
        err = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (!err)
        err = ADD_ALL(ctx, SCMP_ACT_ALLOW, calls_common);
    if (!err)
        err = add_kind(ctx, kind);
    if (!err)
        err = ADD_ALL(ctx, SCMP_ACT_KILL_PROCESS, calls_deadly);
    if (!err)
        err = add_directories(ctx, directories, len);
    if (!err)
        err = add_read_only_open(ctx);
    if (!err)
        err = add_narrow(ctx);
    if (!err)
        err = seccomp_load(ctx);
    seccomp_release(ctx);
    return err ? fail(why, why_room, "seccomp", -err) : 0;
}
