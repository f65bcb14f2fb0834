/* SPDX-License-Identifier: Apache-2.0 */
#include "stick_right.h"

#include "admin_password.h"
#include "system_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PASSWORD "password"
#define RECOVERY_KEY "recovery-key"

/* crypt(3) takes as many bytes of a password, with the NUL. */
enum { LINE_ROOM = 512, KEY_TIMEOUT_S = 60 };

enum found { FOUND_NONE, FOUND_ODD, FOUND_LINE };

/* A file of one line, which may end as any system's lines do. */
static enum found line_read(int folder, const char *name, char line[LINE_ROOM])
{
    int fd = openat(folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    char text[LINE_ROOM + 2]; /* what ends the line, and one byte too many */
    size_t len = 0, room = sizeof(text);
    struct stat st;
    ssize_t n = 1;

    if (fd < 0)
        return errno == ENOENT ? FOUND_NONE : FOUND_ODD;
    while (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && len < room && n > 0) {
        n = read(fd, text + len, room - len);
        len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    bool whole = n == 0;
    len -= len > 0 && text[len - 1] == '\n';
    len -= len > 0 && text[len - 1] == '\r';
    bool good =
        whole && len > 0 && len < LINE_ROOM && !memchr(text, '\n', len) && !memchr(text, '\0', len);
    if (good) {
        memcpy(line, text, len);
        line[len] = '\0';
    }
    explicit_bzero(text, sizeof(text));
    return good ? FOUND_LINE : FOUND_ODD;
}

static bool password_opens(const char *root, int folder, struct conf_errors *errors, bool *wrong)
{
    char line[LINE_ROOM];
    enum found found = line_read(folder, PASSWORD, line);
    bool right = found == FOUND_LINE && admin_password_right(root, line);

    explicit_bzero(line, sizeof(line));
    if (found == FOUND_ODD)
        conf_errors_add(errors, PASSWORD, 0, "",
                        "it is no text of one line of up to %d characters; write the "
                        "administrator's password to it, and start again",
                        LINE_ROOM - 1);
    else if (found == FOUND_LINE && !right)
        conf_errors_add(
            errors, PASSWORD, 0, "",
            "it is not the administrator's password; write that to it, and start again");
    *wrong |= found == FOUND_LINE && !right;
    return right;
}

/* By the program that knows where /var is, and how its key is typed. */
static bool recovery_key_opens(const char *root, int folder, struct conf_errors *errors,
                               bool *wrong)
{
    static const char *const words[] = {"/usr/lib/postern/state", "key-opens", NULL};
    char line[LINE_ROOM];
    enum found found = line_read(folder, RECOVERY_KEY, line);
    const struct system_run run = {
        .root = root, .words = words, .timeout_s = KEY_TIMEOUT_S, .input = line};
    int code = found == FOUND_LINE ? system_run(&run) : -1;

    explicit_bzero(line, sizeof(line));
    *wrong |= code == 1;
    if (found == FOUND_ODD)
        conf_errors_add(errors, RECOVERY_KEY, 0, "",
                        "it is no text of one line; write the recovery key of /var to it, and "
                        "start again");
    else if (code == 1)
        conf_errors_add(errors, RECOVERY_KEY, 0, "",
                        "it does not open /var; write the key that was written down to it, and "
                        "start again");
    else if (code == 2)
        conf_errors_add(errors, RECOVERY_KEY, 0, "",
                        "/var of this machine is not encrypted, and has none; who has forgotten "
                        "the password installs the machine anew");
    else if (found == FOUND_LINE && code != 0)
        conf_errors_add(errors, RECOVERY_KEY, 0, "", "it could not be tried; start again");
    return code == 0;
}

enum stick_right stick_right_check(const char *root, int folder, struct conf_errors *errors)
{
    static struct conf_errors why;
    bool wrong = false;

    if (!admin_password_is_set(root))
        return STICK_RIGHT_FREE;
    why = (struct conf_errors){0};
    if (password_opens(root, folder, &why, &wrong) ||
        recovery_key_opens(root, folder, &why, &wrong))
        return STICK_RIGHT_PROVEN;
    if (why.count == 0)
        conf_errors_add(&why, PASSWORD, 0, "",
                        "this machine takes a stick with the administrator's password: write it to "
                        "a text file " PASSWORD " on the stick, in one line, and start again; who "
                        "has forgotten it writes the recovery key of /var to a file " RECOVERY_KEY);
    if (wrong)
        sleep(ADMIN_PASSWORD_DELAY_S);
    *errors = why;
    return STICK_RIGHT_NONE;
}
