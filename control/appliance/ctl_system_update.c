/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system update: a bundle into the slot that does not run. Nothing of a bundle is kept
 * before its signature is checked, and the slot is not touched before all of it has come and is
 * what was signed. Then, in this order, each step on the disk before the next: the old kernel of
 * that slot goes, so that nothing starts what is about to be overwritten; partitions; the new
 * kernel, which makes it a version that can be started. Cut off anywhere, the version that runs
 * starts again.
 */
#include "bundle.h"
#include "ctl_print.h"
#include "ctl_slots.h"
#include "slot_efi.h"
#include "system_notice.h"
#include "system_run.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sysexits.h>
#include <unistd.h>

#define KEYS "/usr/lib/postern/update-keys"
#define STAGE "/var/lib/postern-system/update" /* also in images/tree/usr/lib/sysupdate.d */
#define SYSUPDATE "/usr/lib/systemd/systemd-sysupdate"

enum { SPARE_BYTES = 64 << 20, STEP_TIMEOUT_S = 1800, TOLD_MAX = 8 };

struct update {
    const struct ctl_system *sys;
    struct slots slots;
    uint64_t root_bytes, verity_bytes; /* room in the other slot */
    struct bundle bundle;
    int stage; /* folder */
    char why[BUNDLE_WHY + 128];
    char told[TOLD_MAX][SYSTEM_RUN_LINE]; /* what systemd-sysupdate said last */
    size_t told_len;
    int percent; /* last shown */
};

__attribute__((format(printf, 3, 4))) static int fail(struct update *u, int code,
                                                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(u->why, sizeof(u->why), format, args);
    va_end(args);
    return code;
}

static void say(const struct update *u, const char *text)
{
    if (!u->sys->json) {
        puts(text);
        fflush(stdout);
    }
}

/* --- before anything is read --- */

static int slots_check(struct update *u)
{
    const struct slot *running = slots_running(&u->slots);

    if (!u->slots.disk[0] || !running || running->root_bytes == 0)
        return fail(
            u, EX_UNAVAILABLE,
            "the slot that runs can't be found on a disk, and so not the other one; is this "
            "the installer, or a system started from elsewhere?");
    if (!u->slots.esp[0])
        return fail(u, EX_UNAVAILABLE, "the EFI partition is not mounted");
    if (!slots_room(&u->slots, &u->root_bytes, &u->verity_bytes))
        return fail(u, EX_UNAVAILABLE, "%s has no second slot", u->slots.disk);
    return 0;
}

/* Made where it is missing, and ours alone as long as this runs. */
static int stage_open(struct update *u)
{
    char path[PATH_MAX];

    for (const char *at = STAGE; (at = strchr(at + 1, '/'));) {
        snprintf(path, sizeof(path), "%s%.*s", u->sys->root, (int)(at - STAGE), STAGE);
        (void)mkdir(path, 0755);
    }
    snprintf(path, sizeof(path), "%s" STAGE, u->sys->root);
    (void)mkdir(path, 0700);
    u->stage = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (u->stage < 0)
        return fail(u, EX_CANTCREAT, "%s: %s", STAGE, strerror(errno));
    if (flock(u->stage, LOCK_EX | LOCK_NB) != 0)
        return fail(u, EX_TEMPFAIL, "another update is at work");
    return 0;
}

/* --- what it is --- */

static int version_check(struct update *u)
{
    const struct slot_bundle_list *list = &u->bundle.list;
    const struct slot *other = slots_other(&u->slots);
    int order = slot_version_compare(list->version, u->slots.running);

    if (strcmp(list->architecture, SLOT_ARCHITECTURE) != 0)
        return fail(u, EX_DATAERR, "the bundle is for %s, this machine is %s", list->architecture,
                    SLOT_ARCHITECTURE);
    if (order == 0)
        return fail(u, EX_DATAERR, "version %s runs already", list->version);
    if (other && (other->state == SLOT_GOOD || other->state == SLOT_TRIAL) &&
        slot_version_compare(list->version, other->version) == 0)
        return fail(u, EX_DATAERR, "version %s is in the other slot already: %s", list->version,
                    other->state == SLOT_GOOD ? "posternctl system rollback starts it"
                                              : "a restart starts it");
    if (order < 0 && !u->sys->allow_older)
        return fail(
            u, EX_DATAERR,
            "version %s is older than %s, which runs; --allow-older installs it all the same",
            list->version, u->slots.running);
    return 0;
}

static void progress_show(void *user, enum slot_bundle_part part, uint64_t done, uint64_t all)
{
    struct update *u = user;
    int percent = all > 0 ? (int)(done * 100 / all) : 100;

    if (u->sys->json || !isatty(STDOUT_FILENO) || percent == u->percent)
        return;
    u->percent = percent;
    printf("\r  unpacking part %d of %d: %3d %%", part + 1, SLOT_BUNDLE_PARTS, percent);
    if (part + 1 == SLOT_BUNDLE_PARTS && done == all)
        putchar('\n');
    fflush(stdout);
}

/* Room of the EFI partition: free, and what the kernel that goes has. */
static uint64_t esp_room(const struct update *u)
{
    char path[PATH_MAX];
    struct statvfs fs;
    struct stat st;
    uint64_t room = 0;

    snprintf(path, sizeof(path), "%s%s", u->sys->root, u->slots.esp);
    if (statvfs(path, &fs) == 0)
        room = (uint64_t)fs.f_bavail * fs.f_frsize;
    for (size_t i = 0; i < u->slots.len; i++) {
        const struct slot *slot = &u->slots.slots[i];
        if (!slot->has_uki || slot->runs)
            continue;
        snprintf(path, sizeof(path), "%s%s/EFI/Linux/%s", u->sys->root, u->slots.esp,
                 slot->uki_file);
        if (stat(path, &st) == 0)
            room += (uint64_t)st.st_size;
    }
    return room;
}

static int bundle_take(struct update *u, const char *file)
{
    char keys[PATH_MAX];
    bool is_stdin = strcmp(file, "-") == 0;
    const char *name = is_stdin ? "standard input" : file;
    int fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return fail(u, EX_NOINPUT, "%s: %s", file, strerror(errno));
    snprintf(keys, sizeof(keys), "%s" KEYS, u->sys->root);
    int err = bundle_open(&u->bundle, fd, keys);
    int code = err ? fail(u, err == ERR_IO ? EX_IOERR : EX_DATAERR, "%s: %s", name, u->bundle.why)
                   : version_check(u);
    if (code == 0) {
        const struct bundle_room room = {.part_max = {u->root_bytes, u->verity_bytes, esp_room(u)},
                                         .spare = SPARE_BYTES};
        char text[128];
        snprintf(text, sizeof(text), "%s: version %s, signed by a key of this appliance", name,
                 u->bundle.list.version);
        say(u, text);
        err = bundle_unpack(&u->bundle, u->stage, &room, progress_show, u);
        if (err)
            code = fail(u,
                        err == ERR_IO     ? EX_IOERR
                        : err == ERR_FULL ? EX_CANTCREAT
                                          : EX_DATAERR,
                        "%s: %s", name, u->bundle.why);
    }
    if (!is_stdin)
        close(fd);
    return code;
}

/* --- into the slot --- */

static void line_keep(void *user, const char *text)
{
    struct update *u = user;

    if (u->told_len == TOLD_MAX) {
        memmove(u->told[0], u->told[1], sizeof(u->told) - sizeof(u->told[0]));
        u->told_len--;
    }
    snprintf(u->told[u->told_len++], sizeof(u->told[0]), "%s", text);
}

static int sysupdate(struct update *u, const char *const *words)
{
    const struct system_run run = {.root = u->sys->root,
                                   .words = words,
                                   .timeout_s = STEP_TIMEOUT_S,
                                   .line = line_keep,
                                   .user = u};

    u->told_len = 0;
    int status = system_run(&run);
    if (status == 0)
        return 0;
    for (size_t i = 0; i < u->told_len; i++)
        fprintf(stderr, "  systemd-sysupdate: %s\n", u->told[i]);
    if (status < 0)
        return fail(u, EX_OSERR, "systemd-sysupdate: %s", err_text(status));
    return fail(u, EX_OSERR,
                "systemd-sysupdate failed with status %d: the other slot holds no version "
                "that can be started; this one is as it was",
                status);
}

/* Every kernel but the one that runs: synced before a partition is touched. */
static int kernels_remove(struct update *u)
{
    const struct slot *running = slots_running(&u->slots);
    char path[PATH_MAX];
    struct dirent *entry;
    int code = 0;

    snprintf(path, sizeof(path), "%s%s/EFI/Linux", u->sys->root, u->slots.esp);
    DIR *dir = opendir(path);
    if (!dir)
        return fail(u, EX_IOERR, "%s: %s", path, strerror(errno));
    while (code == 0 && (entry = readdir(dir))) {
        struct slot_uki uki;
        if (slot_uki_parse(span_str(entry->d_name), &uki) == ERR_OK &&
            strcmp(uki.version, running->version) != 0 &&
            unlinkat(dirfd(dir), entry->d_name, 0) != 0)
            code = fail(u, EX_IOERR, "%s/%s: %s", path, entry->d_name, strerror(errno));
    }
    if (code == 0 && syncfs(dirfd(dir)) != 0)
        code = fail(u, EX_IOERR, "%s: %s", path, strerror(errno));
    closedir(dir);
    return code;
}

static int slot_fill(struct update *u)
{
    const char *const empty[] = {SYSUPDATE, "--instances-max=1", "vacuum", NULL};
    const char *const fill[] = {SYSUPDATE, "update", u->bundle.list.version, NULL};
    int code = kernels_remove(u);

    /* Also what an update of the same version left that was cut off: its parts may be of another
     * build. */
    if (code == 0)
        code = sysupdate(u, empty);
    if (code != 0)
        return code;
    say(u, "  writing it to the other slot");
    return sysupdate(u, fill);
}

/* The newest version starts by itself; an older one is tried once, and chosen for good by the
 * health check (ctl_system_health.c). */
static int next_choose(struct update *u, const struct slot *filled)
{
    bool older = slot_version_compare(filled->version, u->slots.running) < 0;
    char entry[SLOT_ENTRY_TEXT];
    size_t i = 0;

    /* The boot loader compares in lower case. */
    do
        entry[i] = (char)tolower((unsigned char)filled->uki_file[i]);
    while (filled->uki_file[i++]);
    if (slot_efi_write(u->sys->root, SLOT_EFI_LOADER, "LoaderEntryDefault", "") != ERR_OK ||
        slot_efi_write(u->sys->root, SLOT_EFI_LOADER, "LoaderEntryOneShot", older ? entry : "") !=
            ERR_OK)
        return older || u->slots.chosen[0]
                   ? fail(u, EX_IOERR,
                          "version %s is installed, and the firmware does not take it as "
                          "the next one: %s",
                          filled->version, strerror(errno))
                   : 0;
    return 0;
}

static int filled_check(struct update *u)
{
    static struct slots now;
    const char *version = u->bundle.list.version;

    sync();
    if (slots_read(u->sys->root, &now) == ERR_OK)
        for (size_t i = 0; i < now.len; i++)
            if (strcmp(now.slots[i].version, version) == 0 && now.slots[i].state == SLOT_TRIAL)
                return next_choose(u, &now.slots[i]);
    return fail(u, EX_SOFTWARE,
                "systemd-sysupdate is done, and version %s is not in a slot as it should be",
                version);
}

static int told(struct update *u)
{
    const char *version = u->bundle.list.version;
    char text[256];

    snprintf(text, sizeof(text), "version %s is installed: a restart starts it", version);
    ctl_notice(u->sys, "slot", SYSTEM_NOTICE_WARNING, text);
    if (u->sys->json)
        ctl_print_json(json_pack("{s:s, s:s, s:b}", "version", u->slots.running, "next", version,
                                 "reboot", u->sys->reboot));
    else
        printf("Version %s is installed; %s runs until the machine restarts%s\n", version,
               u->slots.running,
               u->sys->reboot ? ". Restarting."
                              : ". Reboot to use it: systemctl start reboot.target");
    return u->sys->reboot ? ctl_system_reboot(u->sys) : 0;
}

int ctl_system_update(const struct ctl_system *sys, char **arguments)
{
    static struct update u;

    u = (struct update){.sys = sys, .stage = -1, .percent = -1};
    if (!ctl_slots_read(sys, &u.slots))
        return EX_UNAVAILABLE;
    int code = slots_check(&u);
    if (code == 0)
        code = stage_open(&u);
    if (code == 0)
        code = bundle_take(&u, arguments[0]);
    if (code == 0)
        code = slot_fill(&u);
    if (code == 0)
        code = filled_check(&u);
    if (u.stage >= 0) {
        if (code != EX_TEMPFAIL) /* what is there is another update's */
            bundle_clear(u.stage);
        close(u.stage);
    }
    return code == 0 ? told(&u) : ctl_failed(sys->json, u.why, code);
}
