/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_pin_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* NULL, and why, but for a file that is not there: then why is empty. */
static char *text_read(const char *file, char *why, size_t why_room)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    struct stat st;
    char *text = NULL;
    size_t len = 0;
    ssize_t n = 1;

    why[0] = '\0';
    if (fd < 0 && errno == ELOOP)
        snprintf(why, why_room, "%s is a symbolic link: name the file itself", file);
    else if (fd < 0 && errno != ENOENT)
        snprintf(why, why_room, "%s can't be read: %s", file, strerror(errno));
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        snprintf(why, why_room, "%s is there, and is no file", file);
        goto out;
    }
    text = malloc(CONF_PINS_MAX + 2);
    while (text && n > 0 && len <= CONF_PINS_MAX) {
        n = read(fd, text + len, CONF_PINS_MAX + 1 - len);
        if (n > 0)
            len += (size_t)n;
    }
    if (text)
        text[len] = '\0';
    if (!text || n < 0 || strlen(text) != len) {
        snprintf(why, why_room, "%s can't be read: %s", file,
                 n < 0 ? strerror(errno) : "it is no text");
        free(text);
        text = NULL;
    }
out:
    close(fd);
    return text;
}

int ctl_pin_file_read(const char *file, const char *partner, struct arena *arena,
                      struct conf_pins *ret, char *why, size_t why_room)
{
    static struct conf_errors errors;
    char *text = text_read(file, why, why_room);

    *ret = (struct conf_pins){0};
    errors = (struct conf_errors){0};
    if (!text)
        return why[0] ? EX_CANTCREAT : 0;
    int err = conf_pins_parse(text, file, arena, ret, &errors);
    free(text);
    if (err == ERR_NOMEM) {
        snprintf(why, why_room, "%s", err_text(err));
        return EX_OSERR;
    }
    if (!err && strcasecmp(ret->partner, partner) == 0)
        return 0;
    if (err)
        snprintf(why, why_room, "%.*s; it stays as it is: mend it, or move it away",
                 (int)strcspn(errors.text, "\n"), errors.text);
    else
        snprintf(why, why_room, "%s is the pin file of %s: it stays as it is", file, ret->partner);
    return EX_CANTCREAT;
}

static bool all_write(int fd, struct span text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.ptr, text.len);
        if (n <= 0)
            return false;
        text = span_from(text, (size_t)n);
    }
    return true;
}

/* The name itself is on disk only when its folder is. */
static bool folder_sync(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

static int replace(const char *file, struct span text, char *why, size_t why_room)
{
    const char *slash = strrchr(file, '/');
    size_t dir = slash ? (size_t)(slash + 1 - file) : 0;
    char next[PATH_MAX], folder[PATH_MAX];
    struct stat st;

    if ((size_t)snprintf(next, sizeof(next), "%.*s.%s.XXXXXX", (int)dir, file, file + dir) >=
        sizeof(next)) {
        snprintf(why, why_room, "the file's name is too long");
        return EX_USAGE;
    }
    snprintf(folder, sizeof(folder), "%.*s", dir > 1 ? (int)dir - 1 : (int)dir, file);
    bool exists = lstat(file, &st) == 0;
    int fd = mkostemp(next, O_CLOEXEC);
    if (fd < 0) {
        snprintf(why, why_room, "no file can be made beside %s: %s", file, strerror(errno));
        return EX_CANTCREAT;
    }
    bool ok = (!exists || fchown(fd, st.st_uid, st.st_gid) == 0) &&
              fchmod(fd, exists ? st.st_mode & 0644 : 0644) == 0 && all_write(fd, text) &&
              fsync(fd) == 0;
    ok = close(fd) == 0 && ok && rename(next, file) == 0;
    if (!ok) {
        snprintf(why, why_room, "%s can't be written: %s", file, strerror(errno));
        (void)unlink(next);
        return EX_IOERR;
    }
    if (folder_sync(dir ? folder : "."))
        return 0;
    snprintf(why, why_room, "%s is written, and may not outlive a power cut: %s", file,
             strerror(errno));
    return EX_IOERR;
}

/* As the gateway will. */
static int read_back(const char *file, const char *text, char *why, size_t why_room)
{
    static struct conf_errors errors;
    struct conf_pins pins;
    struct arena arena;

    errors = (struct conf_errors){0};
    arena_init(&arena, 0);
    int err = conf_pins_parse(text, file, &arena, &pins, &errors);
    arena_free(&arena);
    if (err == ERR_CONFIG)
        snprintf(why, why_room, "%.*s; nothing is written", (int)strcspn(errors.text, "\n"),
                 errors.text);
    return err == ERR_OK ? 0 : err == ERR_CONFIG ? EX_DATAERR : EX_OSERR;
}

int ctl_pin_file_write(const char *file, const struct conf_pins *pins, char *why, size_t why_room)
{
    struct buf text;

    snprintf(why, why_room, "out of memory");
    buf_init(&text, CONF_PINS_MAX);
    int code = EX_OSERR;
    if (conf_pins_write(pins, &text) == ERR_OK && buf_append(&text, "", 1) == ERR_OK)
        code = read_back(file, (const char *)buf_span(&text).ptr, why, why_room);
    if (code == 0)
        code = replace(file, span_make(buf_span(&text).ptr, buf_len(&text) - 1), why, why_room);
    buf_release(&text);
    return code;
}
