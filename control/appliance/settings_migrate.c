/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_migrate.h"

#include "folder_copy.h"
#include "settings.h"
#include "slot.h"
#include "state_folder.h"
#include "system_notice.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define NAME "postern"
#define NEXT ".postern.next" /* is made here; nobody's where a start finds one */
#define WRITTEN_BY "written-by"

struct migration {
    const struct settings_migrate *m;
    struct settings_result *result;
    int parent; /* folder */
};

__attribute__((format(printf, 3, 4))) static int fail(struct migration *g, int err,
                                                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(g->result->why, sizeof(g->result->why), format, args);
    va_end(args);
    return err;
}

static int failed(struct migration *g, const char *what, int err)
{
    return fail(g, ERR_IO, "%s: %s", what, err == ERR_IO ? strerror(errno) : err_text(err));
}

static void snapshot_name(char out[NAME_MAX], const char *version)
{
    snprintf(out, NAME_MAX, NAME ".%s", version);
}

/* --- written-by --- */

/* "" where it is missing, or no version. */
static void written_read(int parent, char ret[SLOT_VERSION_TEXT])
{
    int folder = openat(parent, NAME, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct buf text;

    ret[0] = '\0';
    if (folder < 0)
        return;
    buf_init(&text, 2 * SLOT_VERSION_TEXT);
    if (state_folder_read(folder, WRITTEN_BY, &text) == ERR_OK) {
        struct span rest = buf_span(&text), version = span_cut(&rest, '\n');
        if (!slot_version_valid(version) || span_to_cstr(version, ret, SLOT_VERSION_TEXT) != ERR_OK)
            ret[0] = '\0';
    }
    buf_release(&text);
    close(folder);
}

static int written_write(int parent, const char *name, const char *version)
{
    char line[SLOT_VERSION_TEXT + 1];
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0)
        return ERR_IO;
    int len = snprintf(line, sizeof(line), "%s\n", version);
    int err = state_folder_write_synced(folder, WRITTEN_BY, span_make(line, (size_t)len));
    close(folder);
    return err;
}

/* --- snapshots --- */

/* The settings as they are now are those of that version. */
static int snapshot_take(struct migration *g, const char *version)
{
    char name[NAME_MAX];

    snapshot_name(name, version);
    int err = folder_remove(g->parent, NEXT);
    if (!err)
        err = folder_copy(g->parent, NAME, NEXT);
    if (!err)
        err = folder_remove(g->parent, name);
    if (!err && (renameat(g->parent, NEXT, g->parent, name) != 0 || fsync(g->parent) != 0))
        err = ERR_IO;
    return err ? failed(g, "a snapshot of the settings can't be made", err) : ERR_OK;
}

struct names {
    size_t len;
    char name[64][SLOT_VERSION_TEXT];
};

static int version_order(const void *a, const void *b)
{
    return slot_version_compare(a, b);
}

/* The oldest go, but never those of the two versions that are at hand. */
static void snapshots_prune(struct migration *g, const char *keep_a, const char *keep_b)
{
    int fd = openat(g->parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    static struct names names;
    struct dirent *entry;

    names.len = 0;
    while (dir && names.len < 64 && (entry = readdir(dir))) {
        const char *version = entry->d_name + strlen(NAME ".");
        if (strncmp(entry->d_name, NAME ".", strlen(NAME ".")) == 0 &&
            slot_version_valid(span_str(version)))
            snprintf(names.name[names.len++], SLOT_VERSION_TEXT, "%.63s", version);
    }
    if (dir)
        closedir(dir);
    else if (fd >= 0)
        close(fd);
    qsort(names.name, names.len, sizeof(names.name[0]), version_order);
    for (size_t i = 0, left = names.len; i < names.len && left > SETTINGS_SNAPSHOTS_MAX; i++) {
        char name[NAME_MAX];
        if (strcmp(names.name[i], keep_a) == 0 || strcmp(names.name[i], keep_b) == 0)
            continue;
        snapshot_name(name, names.name[i]);
        if (folder_remove(g->parent, name) == ERR_OK)
            left--;
    }
}

/* --- the two ways --- */

static bool accepted(struct migration *g, const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s" SETTINGS_PARENT "/%s", g->m->root, name);
    return g->m->accepted(g->m->user, path, g->result->why, sizeof(g->result->why));
}

/* What was made takes the settings' place, at once; what had it goes: a snapshot has it. */
static int next_take(struct migration *g)
{
    if (renameat2(g->parent, NEXT, g->parent, NAME, RENAME_EXCHANGE) != 0 || fsync(g->parent) != 0)
        return failed(g, "the settings can't be put in place", ERR_IO);
    int err = folder_remove(g->parent, NEXT);
    return err ? failed(g, "the old settings can't be removed", err) : ERR_OK;
}

static int steps_run(struct migration *g, const char *written)
{
    int folder = openat(g->parent, NEXT, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = ERR_OK;

    if (folder < 0)
        return failed(g, NEXT, ERR_IO);
    for (size_t i = 0; i < g->m->steps_len && !err; i++) {
        const struct settings_step *step = &g->m->steps[i];
        if (slot_version_compare(step->version, written) > 0 &&
            slot_version_compare(step->version, g->m->running) <= 0 &&
            !step->act(folder, g->result->why, sizeof(g->result->why)))
            err = ERR_CONFIG;
    }
    close(folder);
    return err;
}

static int forward(struct migration *g, const char *written)
{
    int err = snapshot_take(g, written);

    if (err)
        return err;
    err = folder_copy(g->parent, NAME, NEXT);
    if (err)
        return failed(g, "the settings can't be copied", err);
    err = steps_run(g, written);
    if (!err && !accepted(g, NEXT))
        err = ERR_CONFIG;
    if (!err && written_write(g->parent, NEXT, g->m->running) != ERR_OK)
        err = failed(g, WRITTEN_BY, ERR_IO);
    if (!err)
        err = next_take(g);
    else if (folder_remove(g->parent, NEXT) != ERR_OK)
        err = failed(g, NEXT, ERR_IO);
    g->result->what = err ? SETTINGS_SAME : SETTINGS_FORWARD;
    return err;
}

static int back(struct migration *g, const char *written)
{
    char own[NAME_MAX], why_not[SETTINGS_WHY];

    g->result->what = SETTINGS_KEPT;
    if (accepted(g, NAME))
        return ERR_OK;
    snprintf(why_not, sizeof(why_not), "%s", g->result->why);
    snapshot_name(own, g->m->running);
    if (faccessat(g->parent, own, F_OK, 0) != 0)
        return fail(g, ERR_CONFIG, "%.480s; and there are none of %.20s's own", why_not,
                    g->m->running);
    if (!accepted(g, own))
        return ERR_CONFIG;
    int err = snapshot_take(g, written);
    if (err)
        return err;
    err = folder_copy(g->parent, own, NEXT);
    if (err)
        return failed(g, "the settings can't be copied", err);
    if (written_write(g->parent, NEXT, g->m->running) != ERR_OK)
        return failed(g, WRITTEN_BY, ERR_IO);
    err = next_take(g);
    if (!err) {
        g->result->what = SETTINGS_BACK;
        snprintf(g->result->why, sizeof(g->result->why), "%s", why_not);
    }
    return err;
}

int settings_migrate(const struct settings_migrate *m, struct settings_result *ret)
{
    struct migration g = {.m = m, .result = ret};
    char path[PATH_MAX], written[SLOT_VERSION_TEXT];
    int err;

    *ret = (struct settings_result){.what = SETTINGS_NONE};
    snprintf(path, sizeof(path), "%s" SETTINGS_PARENT, m->root);
    g.parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* The console runs already, and may have the lock (settings.c). */
    if (g.parent < 0 || flock(g.parent, LOCK_EX) != 0 || faccessat(g.parent, NAME, F_OK, 0) != 0) {
        if (g.parent >= 0)
            close(g.parent);
        return ERR_OK;
    }
    written_read(g.parent, written);
    snprintf(ret->written, sizeof(ret->written), "%s", written);
    ret->what = SETTINGS_SAME;
    int order = written[0] ? slot_version_compare(m->running, written) : 0;
    err = folder_remove(g.parent, NEXT);
    if (err)
        err = failed(&g, NEXT, err);
    else if (order > 0)
        err = forward(&g, written);
    else if (order < 0)
        err = back(&g, written);
    else if (strcmp(written, m->running) != 0)
        err = written_write(g.parent, NAME, m->running);
    if (!err && order != 0)
        snapshots_prune(&g, written, m->running);
    close(g.parent);
    return err;
}

/* --- at the machine's start --- */

static bool both_accepted(void *user, const char *folder, char *why, size_t why_room)
{
    static struct settings_report report;
    const char *root = user;
    bool good = settings_check(root, folder, &report) == ERR_OK;

    snprintf(why, why_room, "%.*s", (int)strcspn(report.errors.text, "\n"), report.errors.text);
    return good;
}

static void told(const char *root, const char *running, const struct settings_result *r, int err)
{
    char text[SYSTEM_NOTICE_TEXT] = "";
    enum system_notice_level level = SYSTEM_NOTICE_WARNING;

    if (err) {
        level = SYSTEM_NOTICE_ERROR;
        snprintf(text, sizeof(text), "the settings of version %s are not taken by %s: %.340s",
                 r->written, running, r->why);
    } else if (r->what == SETTINGS_BACK) {
        snprintf(
            text, sizeof(text),
            "%s does not accept the settings of version %s, and has its own from before again; "
            "the others are in " SETTINGS_FOLDER ".%s: %.200s",
            running, r->written, r->written, r->why);
    } else {
        system_notice_clear(root, "settings-version");
        return;
    }
    fprintf(stderr, "posternctl: %s\n", text);
    if (system_notice_set(root, "settings-version", level, text) != ERR_OK)
        fprintf(stderr, "posternctl: the notice can't be written: %s\n", strerror(errno));
}

int settings_migrate_boot(const char *root)
{
    static struct settings_result result;
    static struct slots slots;

    if (slots_read(root, &slots) != ERR_OK)
        return EX_OK;
    /* No version has changed the settings' form yet: there are no steps. */
    const struct settings_migrate m = {.root = root,
                                       .running = slots.running,
                                       .accepted = both_accepted,
                                       .user = (void *)(uintptr_t)root};
    int err = settings_migrate(&m, &result);
    told(root, slots.running, &result, err);
    return err == ERR_CONFIG ? EX_CONFIG : err ? EX_IOERR : EX_OK;
}

int settings_written_by_set(const char *root)
{
    static struct slots slots;
    char path[PATH_MAX];

    if (slots_read(root, &slots) != ERR_OK)
        return ERR_NOTFOUND;
    snprintf(path, sizeof(path), "%s" SETTINGS_PARENT, root);
    int parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return ERR_IO;
    int err = written_write(parent, NAME, slots.running);
    close(parent);
    return err;
}
