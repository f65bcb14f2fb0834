/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system diagnostics: what somebody needs to know who helps, as one file. Every part
 * goes through redact.h, and nothing is taken that is a secret as a whole: no keys, no users'
 * hashes, no spool. The journal names senders and recipients: that is said.
 */
#include "ctl_print.h"
#include "ctl_slots.h"
#include "ctl_system.h"
#include "gzip.h"
#include "redact.h"
#include "state_folder.h"
#include "system_run.h"
#include "tar_header.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#define FOLDER "/var/lib/postern-system"
#define FILE_NAME "diagnostics.tgz"

enum {
    PART_MAX = 8 << 20, /* bytes of one part */
    ALL_MAX = 64 << 20,
    TIMEOUT_S = 60, /* of one program */
    WORDS_MAX = 10,
};

/* A program's output, or a file; one of the two. No program that asks D-Bus, which is not there:
 * networkctl status and resolvectl do. */
static const struct part {
    const char *name;
    const char *words[WORDS_MAX];
    const char *file;
} parts[] = {
    {.name = "os-release", .file = "/usr/lib/os-release"},
    {.name = "packages", .file = "/usr/lib/postern/packages"},
    {.name = "kernel", .file = "/proc/version"},
    {.name = "command-line", .file = "/proc/cmdline"},
    {.name = "uptime", .file = "/proc/uptime"},
    {.name = "memory", .file = "/proc/meminfo"},
    {.name = "tls-counters", .file = "/proc/net/tls_stat"},
    {.name = "postern.conf", .file = "/var/etc/postern/postern.conf"},
    {.name = "appliance.conf", .file = "/var/etc/postern/appliance.conf"},
    {.name = "written-by", .file = "/var/etc/postern/written-by"},
    {.name = "probe.json", .words = {"/usr/bin/postern-platform", "probe", "--json"}},
    {.name = "tune.txt", .words = {"/usr/bin/postern-platform", "tune", "--dry-run"}},
    {.name = "status.json", .words = {"/usr/bin/posternctl", "--json", "status"}},
    {.name = "routes.json", .words = {"/usr/bin/posternctl", "--json", "routes"}},
    {.name = "check.txt", .words = {"/usr/sbin/posternd", "-n"}},
    {.name = "notices.json", .words = {"/usr/bin/posternctl", "--json", "system", "notices"}},
    {.name = "journal.txt",
     .words = {"/usr/bin/journalctl", "--boot", "--no-pager", "--output=short-iso",
               "--lines=40000"}},
    {.name = "journal-before.txt",
     .words = {"/usr/bin/journalctl", "--boot=-1", "--no-pager", "--output=short-iso",
               "--lines=10000"}},
    {.name = "boots.txt", .words = {"/usr/bin/journalctl", "--list-boots", "--no-pager"}},
    {.name = "units.txt",
     .words = {"/usr/bin/systemctl", "list-units", "--all", "--no-pager", "--no-legend"}},
    {.name = "boot-time.txt", .words = {"/usr/bin/systemd-analyze", "blame", "--no-pager"}},
    {.name = "boot-loader.txt", .words = {"/usr/bin/bootctl", "status", "--no-pager"}},
    {.name = "links.txt", .words = {"/usr/bin/networkctl", "list", "--no-pager"}},
    {.name = "addresses.txt", .words = {"/usr/sbin/ip", "-d", "address"}},
    {.name = "routes.txt", .words = {"/usr/sbin/ip", "route", "show", "table", "all"}},
    {.name = "names.txt", .file = "/run/systemd/resolve/resolv.conf"},
    {.name = "firewall.txt", .words = {"/usr/sbin/nft", "list", "ruleset"}},
    {.name = "time.txt", .words = {"/usr/bin/chronyc", "-n", "sources", "-v"}},
    {.name = "disks.txt", .words = {"/usr/bin/lsblk", "--output-all"}},
    {.name = "room.txt", .words = {"/usr/bin/df", "--human-readable"}},
    {.name = "processes.txt", .words = {"/usr/bin/systemd-cgls", "--no-pager"}},
};
enum { PARTS = sizeof(parts) / sizeof(parts[0]) };

static int file_take(const struct ctl_system *sys, const char *file, struct buf *out)
{
    char path[PATH_MAX];
    int folder;

    snprintf(path, sizeof(path), "%s%s", sys->root, file);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0)
        return ERR_NOTFOUND;
    int err = state_folder_read(folder, slash + 1, out);
    close(folder);
    return err;
}

/* What it says, or why it says nothing: that is a finding, too. */
static int part_take(const struct ctl_system *sys, const struct part *part, struct buf *out)
{
    if (part->file) {
        int err = file_take(sys, part->file, out);
        return err && buf_len(out) == 0 ? buf_printf(out, "%s: %s\n", part->file, err_text(err))
                                        : ERR_OK;
    }
    const struct system_run run = {.root = sys->root,
                                   .words = part->words,
                                   .timeout_s = TIMEOUT_S,
                                   .out = out,
                                   .with_errors = true};
    int status = system_run(&run);
    if (status == 0 || status == ERR_FULL)
        return ERR_OK;
    int err = buf_printf(out, "\n%s: %s %d\n", part->words[0],
                         status < 0 ? err_text(status) : "exit code", status < 0 ? 0 : status);
    return err == ERR_FULL ? ERR_OK : err;
}

static int member_add(struct buf *tar, const char *name, struct span text)
{
    static const uint8_t zeros[TAR_BLOCK];
    struct tar_header header = {.size = text.len, .mtime = (int64_t)time(NULL)};
    uint8_t block[TAR_BLOCK];

    snprintf(header.name, sizeof(header.name), "%s", name);
    int err = tar_header_write(&header, block);
    if (!err)
        err = buf_append(tar, block, sizeof(block));
    if (!err)
        err = buf_append_span(tar, text);
    return err ? err : buf_append(tar, zeros, tar_padding(text.len));
}

static int part_add(const struct ctl_system *sys, const struct part *part, struct buf *tar)
{
    struct buf raw, clean;

    buf_init(&raw, PART_MAX);
    buf_init(&clean, 2 * PART_MAX);
    int err = part_take(sys, part, &raw);
    if (!err)
        err = redact(buf_span(&raw), &clean);
    if (!err)
        err = member_add(tar, part->name, buf_span(&clean));
    buf_release(&raw);
    buf_release(&clean);
    return err;
}

static int slots_add(const struct slots *s, struct buf *tar)
{
    json_t *json = ctl_slots_json(s);
    char *text = json ? json_dumps(json, JSON_INDENT(2)) : NULL;
    int err = text ? member_add(tar, "slots.json", span_str(text)) : ERR_NOMEM;

    free(text);
    json_decref(json);
    return err;
}

static int collect(const struct ctl_system *sys, const struct slots *s, struct buf *out)
{
    static const uint8_t end[2 * TAR_BLOCK];
    struct buf tar;

    buf_init(&tar, ALL_MAX);
    int err = slots_add(s, &tar);
    for (size_t i = 0; i < PARTS && !err; i++) {
        if (!sys->json && isatty(STDERR_FILENO))
            fprintf(stderr, "\r  %2zu of %d %-20s", i + 1, PARTS, parts[i].name);
        err = part_add(sys, &parts[i], &tar);
    }
    if (!sys->json && isatty(STDERR_FILENO))
        fputc('\n', stderr);
    if (!err)
        err = buf_append(&tar, end, sizeof(end));
    if (!err)
        err = gzip_deflate(buf_span(&tar), out);
    buf_release(&tar);
    return err;
}

static bool write_all(int fd, struct span bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = span_from(bytes, (size_t)n);
    }
    return true;
}

/* For root alone: it has names of others. */
static bool file_write(const char *path, struct span bytes)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    bool good = fd >= 0 && fchmod(fd, 0600) == 0 && write_all(fd, bytes) && fsync(fd) == 0;
    int why = errno;

    if (fd >= 0)
        close(fd);
    errno = why;
    return good;
}

int ctl_system_diagnostics(const struct ctl_system *sys, char **arguments)
{
    static struct slots slots;
    char path[PATH_MAX], why[PATH_MAX + 64];
    const char *file = arguments[0];
    struct buf out;
    int code = 0;

    if (!ctl_slots_read(sys, &slots))
        return EX_UNAVAILABLE;
    if (!file) {
        snprintf(path, sizeof(path), "%s" FOLDER, sys->root);
        (void)mkdir(path, 0755);
        snprintf(path, sizeof(path), "%s" FOLDER "/" FILE_NAME, sys->root);
        file = path;
    }
    buf_init(&out, ALL_MAX);
    int err = collect(sys, &slots, &out);
    bool to_stdout = strcmp(file, "-") == 0;
    if (err) {
        snprintf(why, sizeof(why), "diagnostics: %s", err_text(err));
        code = EX_OSERR;
    } else if (!(to_stdout ? write_all(STDOUT_FILENO, buf_span(&out))
                           : file_write(file, buf_span(&out)))) {
        snprintf(why, sizeof(why), "%s: %s", to_stdout ? "standard output" : file, strerror(errno));
        code = EX_CANTCREAT;
    }
    size_t len = buf_len(&out);
    buf_release(&out);
    if (code != 0)
        return ctl_failed(sys->json, why, code);
    if (sys->json && !to_stdout)
        ctl_print_json(json_pack("{s:s, s:I}", "file", file, "bytes", (json_int_t)len));
    else if (!to_stdout)
        printf("%s: %zu KB. No key and no password is in it; its journal names senders and "
               "recipients.\n",
               file, (len + 1023) / 1024);
    return 0;
}
