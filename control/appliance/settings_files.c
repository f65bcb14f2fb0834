/* SPDX-License-Identifier: Apache-2.0 */
#include "settings_files.h"

#include "ascii.h"
#include "settings_tree.h"
#include "state_folder.h"
#include "tls_openssl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const top_names[] = {SETTINGS_APPLIANCE, SETTINGS_GATEWAY, "users"};
static const char *const folders[] = {"tls", "partners", "secrets"};
enum {
    TOP_NAMES = sizeof(top_names) / sizeof(top_names[0]),
    FOLDERS = sizeof(folders) / sizeof(folders[0]),
    ENTRIES_MAX = 600, /* of a folder, whatever they are called */
};

static void file_free(struct settings_file *f)
{
    if (f->data)
        OPENSSL_cleanse(f->data, f->len);
    free(f->data);
    *f = (struct settings_file){0};
}

void settings_files_free(struct settings_files *files)
{
    for (size_t i = 0; i < files->len; i++)
        file_free(&files->items[i]);
    files->len = files->bytes = 0;
}

static struct settings_file *file_find(struct settings_files *files, const char *name)
{
    for (size_t i = 0; i < files->len; i++) {
        if (strcmp(files->items[i].name, name) == 0)
            return &files->items[i];
    }
    return NULL;
}

/* Takes data. */
static int take(struct settings_files *files, const char *name, uint8_t *data, size_t len)
{
    struct settings_file *f = file_find(files, name);

    if (!f && files->len == SETTINGS_FILES_MAX) {
        free(data);
        return ERR_FULL;
    }
    if (f) {
        files->bytes -= f->len;
        file_free(f);
    } else {
        f = &files->items[files->len++];
    }
    snprintf(f->name, sizeof(f->name), "%s", name);
    f->data = data;
    f->len = len;
    files->bytes += len;
    return ERR_OK;
}

int settings_files_set(struct settings_files *files, const char *name, const void *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);

    if (!copy)
        return ERR_NOMEM;
    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return take(files, name, copy, len);
}

/* Of a file in a folder. */
static bool name_valid(const char *name)
{
    size_t len = strlen(name);

    if (len == 0 || len > 64 || !ascii_is_alnum((uint8_t)name[0]))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!ascii_is_alnum((uint8_t)name[i]) && !strchr("._-", name[i]))
            return false;
    }
    return true;
}

struct reading {
    const char *what;
    struct settings_files *files;
    struct conf_errors *errors;
};

/* A name for people: it may be anything. */
static void complain(struct reading *r, const char *name, const char *why)
{
    char shown[SETTINGS_NAME];

    snprintf(shown, sizeof(shown), "%.64s", name);
    ascii_mask(shown);
    conf_errors_add(r->errors, shown, 0, "", "%s (%s)", why, r->what);
}

static uint8_t *bytes_read(int fd, size_t len)
{
    uint8_t *data = malloc(len + 1);
    size_t done = 0;
    ssize_t n = 1;

    while (data && done < len && n > 0) {
        n = read(fd, data + done, len - done);
        done += n > 0 ? (size_t)n : 0;
    }
    if (data && done < len) {
        free(data);
        errno = EIO;
        return NULL;
    }
    if (data)
        data[len] = '\0';
    return data;
}

/* folder/entry as name. Missing is fine. */
static void file_read(struct reading *r, int folder, const char *entry, const char *name)
{
    int fd = openat(folder, entry, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    uint8_t *data = NULL;
    struct stat st;

    if (fd < 0 && errno == ENOENT)
        return;
    if (fd < 0 && errno == ELOOP) {
        complain(r, name, "found a link, allowed is a file");
    } else if (fd < 0 || fstat(fd, &st) != 0) {
        complain(r, name, strerror(errno));
    } else if (!S_ISREG(st.st_mode)) {
        complain(r, name, "found no file, allowed is one");
    } else if (st.st_size > SETTINGS_FILE_BYTES_MAX ||
               (size_t)st.st_size > SETTINGS_BYTES_MAX - r->files->bytes) {
        complain(r, name, "found more bytes than allowed, which is 4 MiB a file and 16 MiB in all");
    } else if (!(data = bytes_read(fd, (size_t)st.st_size))) {
        complain(r, name, errno == ENOMEM ? "out of memory" : "could not be read whole");
    } else if (take(r->files, name, data, (size_t)st.st_size) != ERR_OK) {
        complain(r, name, "found more files than allowed, which is 300");
    }
    if (fd >= 0)
        close(fd);
}

/* A name that begins with a dot is a system's that wrote to the stick. */
static void entry_read(struct reading *r, int folder, const char *folder_name, const char *entry)
{
    char full[SETTINGS_NAME];

    if (entry[0] == '.')
        return;
    if (!name_valid(entry)) {
        complain(r, entry,
                 "found a name, allowed are ones of up to 64 letters, digits, '.', '_' and '-'");
        return;
    }
    snprintf(full, sizeof(full), "%s/%.64s", folder_name, entry);
    file_read(r, folder, entry, full);
}

/* One of the folders, all of it: nothing may be missing because a stick can't be read to its end.
 */
static void folder_read(struct reading *r, int parent, const char *name)
{
    int folder = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = folder >= 0 ? fdopendir(folder) : NULL;
    struct dirent *entry = NULL;
    size_t seen = 0;

    if (folder < 0 && errno != ENOENT)
        complain(r, name, "found no folder, allowed is one");
    while (dir && (errno = 0, entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (seen++ == ENTRIES_MAX)
            break;
        entry_read(r, folder, name, entry->d_name);
    }
    if (entry)
        complain(r, name, "found more entries than allowed, which is 600");
    else if (folder >= 0 && errno != 0)
        complain(r, name, strerror(errno));
    if (dir)
        closedir(dir);
    else if (folder >= 0)
        close(folder);
}

static int reading_end(struct reading *r, size_t errors_before)
{
    if (r->errors->count == errors_before)
        return ERR_OK;
    settings_files_free(r->files);
    return ERR_CONFIG;
}

int settings_files_read(int folder, const char *what, struct settings_files *ret,
                        struct conf_errors *errors)
{
    struct reading r = {.what = what, .files = ret, .errors = errors};
    size_t before = errors->count;

    ret->len = ret->bytes = 0;
    for (size_t i = 0; i < TOP_NAMES; i++)
        file_read(&r, folder, top_names[i], top_names[i]);
    for (size_t i = 0; i < FOLDERS; i++)
        folder_read(&r, folder, folders[i]);
    return reading_end(&r, before);
}

int settings_credentials_read(int folder, struct settings_files *ret, struct conf_errors *errors)
{
    static const char tls[] = "postern.tls.";
    struct reading r = {.what = "credentials", .files = ret, .errors = errors};
    size_t before = errors->count;
    int again = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    char name[SETTINGS_NAME];
    struct dirent *entry;

    ret->len = ret->bytes = 0;
    file_read(&r, folder, "postern.appliance", SETTINGS_APPLIANCE);
    file_read(&r, folder, "postern.gateway", SETTINGS_GATEWAY);
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, tls, strlen(tls)) != 0)
            continue;
        if (!name_valid(entry->d_name + strlen(tls))) {
            complain(&r, entry->d_name, "found a name, allowed is one such as postern.tls.mx.pem");
            continue;
        }
        snprintf(name, sizeof(name), "tls/%.64s", entry->d_name + strlen(tls));
        file_read(&r, folder, entry->d_name, name);
    }
    if (dir)
        closedir(dir);
    else if (again >= 0)
        close(again);
    return reading_end(&r, before);
}

static int file_order(const void *a, const void *b)
{
    return strcmp((*(const struct settings_file *const *)a)->name,
                  (*(const struct settings_file *const *)b)->name);
}

int settings_files_hash(const struct settings_files *files, char out[65])
{
    const struct settings_file *sorted[SETTINGS_FILES_MAX];
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char digest[EVP_MAX_MD_SIZE];
    bool good = hash && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;

    for (size_t i = 0; i < files->len; i++)
        sorted[i] = &files->items[i];
    qsort(sorted, files->len, sizeof(sorted[0]), file_order);
    for (size_t i = 0; i < files->len && good; i++) {
        char head[SETTINGS_NAME + 32];
        int len = snprintf(head, sizeof(head), "%s\n%zu\n", sorted[i]->name, sorted[i]->len);
        good = EVP_DigestUpdate(hash, head, (size_t)len) == 1 &&
               EVP_DigestUpdate(hash, sorted[i]->data, sorted[i]->len) == 1;
    }
    good = good && EVP_DigestFinal_ex(hash, digest, NULL) == 1;
    for (size_t i = 0; good && i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    EVP_MD_CTX_free(hash);
    return good ? ERR_OK : ERR_SYSTEM;
}

int settings_files_write(const struct settings_files *files, int folder)
{
    int err = ERR_OK;

    for (size_t i = 0; i < files->len && !err; i++) {
        const struct settings_file *f = &files->items[i];
        const char *slash = strchr(f->name, '/');
        char name[SETTINGS_NAME];
        int at = folder;
        if (slash) {
            snprintf(name, sizeof(name), "%.*s", (int)(slash - f->name), f->name);
            at = settings_tree_open(folder, name);
        }
        err = at >= 0 ? state_folder_write_synced(at, slash ? slash + 1 : f->name,
                                                  span_make(f->data, f->len))
                      : ERR_IO;
        int error = errno;
        if (slash && at >= 0)
            close(at);
        errno = error;
    }
    return err;
}
