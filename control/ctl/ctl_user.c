/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_user.h"

#include "auth_exchange.h"
#include "buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <termios.h>
#include <unistd.h>

enum {
    PASSWORD_MAX = 255,
    ITERATIONS =
        AUTH_ITERATIONS_MIN, /* a worker's loop stands still for as long: see auth_exchange.h */
};

/* --- the password --- */

/* One line without its end; false where there is none, or too long a one. */
static bool line_read(char out[PASSWORD_MAX + 2])
{
    if (!fgets(out, PASSWORD_MAX + 2, stdin))
        return false;
    size_t len = strcspn(out, "\r\n");
    bool whole = out[len] != '\0' || feof(stdin);
    out[len] = '\0';
    return whole && len > 0;
}

static bool prompt(const char *text, char out[PASSWORD_MAX + 2])
{
    fputs(text, stderr);
    bool ok = line_read(out);
    fputc('\n', stderr);
    return ok;
}

static const char *terminal_read(char out[PASSWORD_MAX + 2])
{
    struct termios before, quiet;
    char again[PASSWORD_MAX + 2] = "";
    const char *wrong = NULL;

    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return "the terminal can't be asked";
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) != 0)
        return "the terminal can't be kept from showing the password";
    if (!prompt("Password: ", out))
        wrong = "no password, or one of more than 255 bytes";
    else if (!prompt("Once more: ", again) || strcmp(out, again) != 0)
        wrong = "the two passwords differ";
    (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    explicit_bzero(again, sizeof(again));
    return wrong;
}

static const char *password_read(char out[PASSWORD_MAX + 2])
{
    out[0] = '\0';
    if (isatty(STDIN_FILENO))
        return terminal_read(out);
    return line_read(out) ? NULL : "no password in the first line of stdin, or more than 255 bytes";
}

/* --- the file --- */

struct users_file {
    const char *name;
    char next[4096]; /* what it becomes is written here */
    bool exists;
    struct stat st;
    struct buf text;
};

static int file_read(struct users_file *f)
{
    int fd = open(f->name, O_RDONLY | O_CLOEXEC), err = ERR_OK;
    ssize_t n = 1;

    if (fd < 0)
        return errno == ENOENT ? ERR_OK : ERR_IO;
    f->exists = true;
    if (fstat(fd, &f->st) != 0)
        err = ERR_IO;
    while (!err && n > 0) {
        uint8_t *room = buf_reserve(&f->text, 65536);
        n = room ? read(fd, room, 65536) : -1;
        err = n < 0 ? ERR_IO : ERR_OK;
        if (n > 0)
            buf_commit(&f->text, (size_t)n);
    }
    close(fd);
    return err;
}

/* All lines but the user's, then line. */
static int lines_merge(const struct users_file *f, const char *user, const char *line,
                       struct buf *out)
{
    struct span rest = buf_span(&f->text);
    size_t user_len = strlen(user);

    while (rest.len > 0) {
        const uint8_t *end = memchr(rest.ptr, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.ptr) + 1 : rest.len;
        bool own =
            len > user_len && memcmp(rest.ptr, user, user_len) == 0 && rest.ptr[user_len] == ':';
        if (!own && (buf_append(out, rest.ptr, len) != ERR_OK ||
                     (!end && buf_append(out, "\n", 1) != ERR_OK)))
            return ERR_NOMEM;
        rest = span_from(rest, len);
    }
    return buf_append(out, line, strlen(line) + 1); /* with its NUL, for the parser */
}

static int file_write(const struct users_file *f, struct span text)
{
    mode_t mode = f->exists ? f->st.st_mode & 0770 : 0640;
    int fd = open(f->next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return ERR_IO;
    bool ok = (!f->exists || fchown(fd, f->st.st_uid, f->st.st_gid) == 0) && fchmod(fd, mode) == 0;
    for (ssize_t n; ok && text.len > 0; text = span_from(text, (size_t)n)) {
        n = write(fd, text.ptr, text.len);
        ok = n > 0;
    }
    ok = ok && fsync(fd) == 0;
    ok = close(fd) == 0 && ok && rename(f->next, f->name) == 0;
    if (!ok) {
        int saved = errno;
        (void)unlink(f->next);
        errno = saved;
    }
    return ok ? ERR_OK : ERR_IO;
}

/* What a gateway would refuse is not written. */
static int file_change(struct users_file *f, const char *user, const char *line, char *why,
                       size_t why_room)
{
    struct auth_users users;
    struct arena arena;
    struct buf merged;
    int code = EX_IOERR;
    char wrong[128] = "";

    buf_init(&merged, AUTH_FILE_MAX);
    arena_init(&arena, 0);
    if (file_read(f) != ERR_OK) {
        snprintf(why, why_room, "%s can't be read: %s", f->name, strerror(errno));
    } else if (lines_merge(f, user, line, &merged) != ERR_OK) {
        snprintf(why, why_room, "%s gets too long", f->name);
    } else if (auth_users_parse((const char *)buf_span(&merged).ptr, &arena, &users, wrong,
                                sizeof(wrong)) != ERR_OK) {
        snprintf(why, why_room, "%s is no file of users: %s", f->name, wrong);
        code = EX_DATAERR;
    } else if (file_write(f, span_make(buf_span(&merged).ptr, buf_len(&merged) - 1)) != ERR_OK) {
        snprintf(why, why_room, "%s can't be written: %s%s", f->next, strerror(errno),
                 errno == EEXIST ? "; remove it if nobody else is adding users now" : "");
    } else {
        code = 0;
    }
    arena_free(&arena);
    buf_release(&merged);
    return code;
}

int ctl_user_add(const char *name, const char *file, char *why, size_t why_room)
{
    char password[PASSWORD_MAX + 2], line[AUTH_LINE_MAX];
    struct users_file f = {.name = file};
    struct auth_record record;

    if (!auth_name_valid(span_str(name))) {
        snprintf(why, why_room, "a name has 1 to 64 letters, digits and \"._@+-\"");
        return EX_USAGE;
    }
    const char *wrong = password_read(password);
    int err = wrong ? ERR_SYNTAX : auth_record_make(password, ITERATIONS, &record);
    explicit_bzero(password, sizeof(password));
    if (err) {
        snprintf(why, why_room, "%s",
                 wrong               ? wrong
                 : err == ERR_SYNTAX ? "the password has characters that none may have (RFC 4013)"
                                     : "no randomness");
        return err == ERR_SYNTAX ? EX_DATAERR : EX_OSERR;
    }
    auth_line_write(name, &record, line);
    if (!file)
        return fputs(line, stdout) < 0 ? EX_IOERR : 0;
    if ((size_t)snprintf(f.next, sizeof(f.next), "%s.new", file) >= sizeof(f.next)) {
        snprintf(why, why_room, "the file's name is too long");
        return EX_USAGE;
    }
    buf_init(&f.text, AUTH_FILE_MAX);
    int code = file_change(&f, name, line, why, why_room);
    buf_release(&f.text);
    return code;
}
