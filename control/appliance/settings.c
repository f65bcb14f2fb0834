/* SPDX-License-Identifier: Apache-2.0 */
#include "settings.h"

#include "appliance_gateway.h"
#include "conf_load.h"
#include "folder_copy.h"
#include "plan.h"
#include "settings_cert.h"
#include "settings_tree.h"
#include "state_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NAME_NOW "postern"
#define NAME_NEW "postern-new"
#define NAME_BEFORE "postern-before"
#define NAME_GOOD "postern-good"
#define NAME_REFUSED "postern-refused"
#define NAME_IMPORTED "imported"

static void complain_system(struct conf_errors *errors, const char *what)
{
    conf_errors_add(errors, SETTINGS_FOLDER, 0, "", "%s: %s", what, strerror(errno));
}

/* --- checking --- */

/* Complaints name the file in the folder, wherever that stood while it was checked. */
static void folder_strip(struct conf_errors *errors, const char *folder)
{
    size_t len = strlen(folder);

    for (char *at; len > 0 && (at = strstr(errors->text, folder));) {
        size_t cut = len + strspn(at + len, "/");
        memmove(at, at + cut, strlen(at + cut) + 1);
        errors->len -= errors->len > cut ? cut : errors->len;
    }
}

static int appliance_check(int folder, struct appliance **ret, struct conf_errors *errors)
{
    struct buf text;
    int err;

    *ret = NULL;
    buf_init(&text, APPLIANCE_TEXT_MAX + 2);
    err = state_folder_read(folder, SETTINGS_APPLIANCE, &text);
    if (err == ERR_NOTFOUND) {
        err = appliance_parse(appliance_default_text, SETTINGS_APPLIANCE, ret, errors);
    } else if (err) {
        conf_errors_add(errors, SETTINGS_APPLIANCE, 0, "", "can't be read: %s",
                        err == ERR_FULL ? "it is too long" : strerror(errno));
        err = ERR_CONFIG;
    } else if ((err = buf_append(&text, "", 1)) == ERR_OK) {
        err = appliance_parse((const char *)buf_span(&text).ptr, "/etc/postern/" SETTINGS_APPLIANCE,
                              ret, errors);
        folder_strip(errors, "/etc/postern/");
    }
    buf_release(&text);
    return err;
}

/* In a view of the file system of its own, where folder is in its place. */
static void gateway_try(const char *root, const char *folder, struct plan_verdict *verdict)
{
    char place[PATH_MAX], file[PATH_MAX + 16];
    bool there;

    snprintf(place, sizeof(place), "%s%s", root, SETTINGS_FOLDER);
    there = unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
            mount(folder, place, NULL, MS_BIND, NULL) == 0;
    snprintf(file, sizeof(file), "%s/%s", there ? place : folder, SETTINGS_GATEWAY);
    plan_try(file, PLAN_CHECK_FOR, NULL, verdict);
    folder_strip(&verdict->errors, there ? place : folder);
    folder_strip(&verdict->warnings, there ? place : folder);
    folder_strip(&verdict->errors, "/etc/postern/");
}

static int gateway_check(const char *root, const char *folder, struct settings_report *ret)
{
    struct plan_verdict *verdict =
        mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1, err = ERR_CONFIG;

    if (verdict == MAP_FAILED)
        return ERR_NOMEM;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        gateway_try(root, folder, verdict);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        conf_errors_add(&ret->errors, SETTINGS_GATEWAY, 0, "", "the check of it failed");
    } else {
        for (struct conf_errors *from = &verdict->errors, *to = &ret->errors; from;
             from = from == &verdict->errors ? &verdict->warnings : NULL, to = &ret->warnings) {
            if (from->len < sizeof(to->text) - to->len) {
                memcpy(to->text + to->len, from->text, from->len + 1);
                to->len += from->len;
            }
            to->count += from->count;
        }
        err = verdict->accepted ? ERR_OK : ERR_CONFIG;
    }
    munmap(verdict, sizeof(*verdict));
    return err;
}

int settings_check(const char *root, const char *folder, struct settings_report *ret)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct appliance *a;
    struct stat st;
    int err;

    *ret = (struct settings_report){0};
    if (fd < 0) {
        conf_errors_add(&ret->errors, folder, 0, "", "%s", strerror(errno));
        return ERR_CONFIG;
    }
    err = appliance_check(fd, &a, &ret->errors);
    appliance_free(a);
    if (err == ERR_NOMEM || fstatat(fd, SETTINGS_GATEWAY, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        close(fd);
        return err;
    }
    close(fd);
    int gateway = gateway_check(root, folder, ret);
    return err ? err : gateway;
}

/* --- reading --- */

static int folder_open(const char *root)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s%s", root, SETTINGS_FOLDER);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int settings_appliance_read(const char *root, struct appliance **ret, struct conf_errors *errors)
{
    int folder = folder_open(root), err;

    if (folder < 0)
        return appliance_parse(appliance_default_text, SETTINGS_APPLIANCE, ret, errors);
    err = appliance_check(folder, ret, errors);
    close(folder);
    return err;
}

int settings_gateway_load(const char *root, struct conf **ret, struct conf_errors *errors)
{
    char path[PATH_MAX];
    mode_t mode;

    *ret = NULL;
    *errors = (struct conf_errors){0};
    snprintf(path, sizeof(path), "%s" SETTINGS_GATEWAY_FILE, root);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return ERR_NOTFOUND;
    char *text = conf_load_read(path, &mode, errors);
    int err = text ? conf_load_text(text, path, mode, ret, errors) : ERR_CONFIG;
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    return err;
}

char *settings_text_read(const char *root, const char *name)
{
    int folder = folder_open(root);
    struct buf text;
    int err;

    if (folder < 0)
        return NULL;
    buf_init(&text, CONF_TEXT_MAX + 1);
    err = state_folder_read(folder, name, &text);
    close(folder);
    if (!err && buf_append(&text, "", 1) == ERR_OK)
        return (char *)text.data;
    buf_release(&text);
    return NULL;
}

/* --- changing --- */

struct stage {
    const char *root;
    int parent; /* locked */
    int folder; /* the new one */
    char path[PATH_MAX];
};

static void stage_close(struct stage *s)
{
    if (s->folder >= 0)
        close(s->folder);
    if (s->parent >= 0) {
        (void)!folder_remove(s->parent, NAME_NEW);
        close(s->parent); /* and the lock */
    }
}

/* A copy of from, to be changed and put in place of the settings. ERR_IO; errno says why. */
static int stage_open(struct stage *s, const char *root, const char *from)
{
    *s = (struct stage){.root = root, .folder = -1};
    snprintf(s->path, sizeof(s->path), "%s%s/%s", root, SETTINGS_PARENT, NAME_NEW);
    s->parent = settings_path_open(root, SETTINGS_PARENT);
    if (s->parent < 0 || flock(s->parent, LOCK_EX) != 0 ||
        folder_remove(s->parent, NAME_NEW) != ERR_OK)
        return ERR_IO;
    int err = folder_copy(s->parent, from, NAME_NEW), error = errno;
    /* Where there is none yet, an empty one begins. */
    if (err && (faccessat(s->parent, from, F_OK, 0) == 0 || errno != ENOENT)) {
        errno = error;
        return err;
    }
    s->folder = settings_tree_open(s->parent, NAME_NEW);
    return s->folder >= 0 ? ERR_OK : ERR_IO;
}

/* What was in place becomes kept. The step that counts is one rename. */
static int stage_commit(struct stage *s, const char *kept)
{
    bool first = false;
    int err = ERR_OK;

    if (fsync(s->folder) != 0)
        return ERR_IO;
    if (renameat2(s->parent, NAME_NEW, s->parent, NAME_NOW, RENAME_EXCHANGE) != 0) {
        first = errno == ENOENT;
        err = first && renameat(s->parent, NAME_NEW, s->parent, NAME_NOW) == 0 ? ERR_OK : ERR_IO;
    }
    if (!err && !first && folder_remove(s->parent, kept) == ERR_OK)
        (void)!renameat(s->parent, NAME_NEW, s->parent, kept); /* else it is removed */
    return !err && fsync(s->parent) == 0 ? ERR_OK : ERR_IO;
}

/* "source hash", a line each. */
static bool imported_has(const char *imported, const char *source, const char *hash)
{
    char line[160];

    snprintf(line, sizeof(line), "%s %s\n", source, hash);
    return imported && strstr(imported, line);
}

/* The line of the source anew, and those of others as they are. */
static int imported_write(int folder, const char *imported, const char *source, const char *hash)
{
    struct buf out;
    int err = ERR_OK;

    buf_init(&out, 4096);
    for (const char *at = imported; at && *at && !err; at += strcspn(at, "\n"), at += *at == '\n') {
        size_t len = strcspn(at, "\n");
        if (strncmp(at, source, strlen(source)) != 0 || at[strlen(source)] != ' ')
            err = buf_printf(&out, "%.*s\n", (int)len, at);
    }
    if (!err)
        err = buf_printf(&out, "%s %s\n", source, hash);
    if (!err)
        err = state_folder_write_synced(folder, NAME_IMPORTED, buf_span(&out));
    buf_release(&out);
    return err;
}

/* True: in place. */
static bool take(struct stage *s, const struct settings_files *files, const char *imported,
                 const char *source, const char *hash, struct settings_report *ret)
{
    int err = settings_files_write(files, s->folder);

    if (!err && source)
        err = imported_write(s->folder, imported, source, hash);
    if (err) {
        complain_system(&ret->errors, "could not be written");
        return false;
    }
    /* The place has to be there for the new one to be tried in it. */
    int now = settings_tree_open(s->parent, NAME_NOW);
    if (now < 0) {
        complain_system(&ret->errors, "could not be made");
        return false;
    }
    close(now);
    if (settings_check(s->root, s->path, ret) != ERR_OK)
        return false;
    if (stage_commit(s, NAME_BEFORE) == ERR_OK) {
        (void)!settings_written_by_set(s->root); /* else the next start finds out */
        return true;
    }
    complain_system(&ret->errors, "could not be replaced");
    return false;
}

bool settings_taken_before(const char *root, const struct settings_files *files, const char *source)
{
    char hash[SETTINGS_HASH_TEXT];
    char *imported = settings_text_read(root, NAME_IMPORTED);
    bool same = settings_files_hash(files, hash) == ERR_OK && imported_has(imported, source, hash);

    free(imported);
    return same;
}

enum settings_outcome settings_take(const char *root, const struct settings_files *files,
                                    const char *source, struct settings_report *ret)
{
    enum settings_outcome outcome = SETTINGS_TAKE_REFUSED;
    char hash[SETTINGS_HASH_TEXT] = "";
    char *imported = settings_text_read(root, NAME_IMPORTED);
    struct stage s;

    *ret = (struct settings_report){0};
    if (settings_files_hash(files, hash) != ERR_OK) {
        conf_errors_add(&ret->errors, SETTINGS_FOLDER, 0, "", "no hash could be computed");
    } else if (source && imported_has(imported, source, hash)) {
        outcome = SETTINGS_TAKE_SAME;
    } else {
        if (stage_open(&s, root, NAME_NOW) != ERR_OK)
            complain_system(&ret->errors, "could not be copied");
        else if (take(&s, files, imported, source, hash, ret))
            outcome = SETTINGS_TAKE_DONE;
        stage_close(&s);
    }
    free(imported);
    return outcome;
}

int settings_gateway_make(const char *root, const char *hostname,
                          const struct appliance_route *routes, size_t len,
                          struct settings_files *files)
{
    char *cert = settings_text_read(root, APPLIANCE_CERT);
    bool named = false;
    struct buf out;
    int err;

    buf_init(&out, CONF_TEXT_MAX);
    err = appliance_gateway_write(hostname, routes, len, &out);
    if (!err)
        err = settings_files_set(files, SETTINGS_GATEWAY, buf_span(&out).ptr, buf_len(&out));
    buf_release(&out);
    if (!err &&
        (!cert || (settings_cert_is_self_made(cert, strlen(cert), hostname, &named) && !named)))
        err = settings_cert_make(hostname, (int64_t)time(NULL), files);
    free(cert);
    return err;
}

/* --- at boot --- */

static bool tree_same(int parent, const char *a, const char *b)
{
    char hash_a[SETTINGS_HASH_TEXT] = "a", hash_b[SETTINGS_HASH_TEXT] = "b";
    int fd_a = openat(parent, a, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd_b = openat(parent, b, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool same = fd_a >= 0 && fd_b >= 0 && settings_tree_hash(fd_a, hash_a) == ERR_OK &&
                settings_tree_hash(fd_b, hash_b) == ERR_OK && strcmp(hash_a, hash_b) == 0;

    if (fd_a >= 0)
        close(fd_a);
    if (fd_b >= 0)
        close(fd_b);
    return same;
}

/* Where it fails, the one before stays. */
static void good_keep(const char *root)
{
    struct stage s;

    if (stage_open(&s, root, NAME_NOW) == ERR_OK && !tree_same(s.parent, NAME_NOW, NAME_GOOD) &&
        folder_remove(s.parent, NAME_GOOD) == ERR_OK &&
        renameat(s.parent, NAME_NEW, s.parent, NAME_GOOD) == 0)
        (void)!fsync(s.parent);
    stage_close(&s);
}

static int good_put_back(const char *root)
{
    static struct settings_report report; /* what was wrong with the others is what counts */
    struct stage s;
    int err = stage_open(&s, root, NAME_GOOD);
    struct stat st;

    if (!err && fstatat(s.parent, NAME_GOOD, &st, AT_SYMLINK_NOFOLLOW) != 0)
        err = ERR_NOTFOUND;
    if (!err)
        err = settings_check(root, s.path, &report);
    if (!err)
        err = stage_commit(&s, NAME_REFUSED);
    stage_close(&s);
    return err;
}

int settings_settle(const char *root, bool *ret_back, struct settings_report *ret)
{
    char path[PATH_MAX];

    *ret_back = false;
    snprintf(path, sizeof(path), "%s%s", root, SETTINGS_FOLDER);
    int err = settings_check(root, path, ret);
    if (!err) {
        good_keep(root);
        return ERR_OK;
    }
    if (good_put_back(root) != ERR_OK)
        return ERR_CONFIG;
    *ret_back = true;
    return ERR_OK;
}
