/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl.h"

#include "buf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    TIMEOUT_S = 60, /* a reload may take most of it */
    ANSWER_MAX = 256 << 20,
};

static int dial(const char *path, int *ret_exit, char *error, size_t room)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (span_to_cstr(span_str(path), address.sun_path, sizeof(address.sun_path)) != 0)
        errno = ENAMETOOLONG;
    else if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) == 0 &&
             connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    *ret_exit = errno == EACCES ? EX_NOPERM : EX_UNAVAILABLE;
    snprintf(error, room, "%s: %s%s", path, strerror(errno),
             errno == ENOENT || errno == ECONNREFUSED
                 ? "; is posternd running? --socket names another"
                 : "");
    if (fd >= 0)
        close(fd);
    return -1;
}

/* One line out, everything in. */
static int exchange(int fd, const char *line, struct buf *answer)
{
    size_t len = strlen(line);

    if (send(fd, line, len, MSG_NOSIGNAL) != (ssize_t)len || send(fd, "\n", 1, MSG_NOSIGNAL) != 1)
        return ERR_IO;
    for (;;) {
        uint8_t *room = buf_reserve(answer, 65536);
        if (!room)
            return ERR_NOMEM;
        ssize_t n = recv(fd, room, 65536, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? ERR_TIMEOUT : ERR_IO;
        if (n == 0)
            return 0;
        buf_commit(answer, (size_t)n);
    }
}

static json_t *answer_open(struct span text, int *ret_exit, char *error, size_t room)
{
    json_t *answer = json_loadb((const char *)text.ptr, text.len, 0, NULL);
    json_t *data = json_object_get(answer, "data");
    const char *said = json_string_value(json_object_get(answer, "error"));

    if (json_is_true(json_object_get(answer, "ok")) && data) {
        json_incref(data);
        json_decref(answer);
        return data;
    }
    *ret_exit = (int)json_integer_value(json_object_get(answer, "exit"));
    if (*ret_exit <= 0)
        *ret_exit = EX_PROTOCOL;
    snprintf(error, room, "%s", said ? said : "posternd's answer was cut short");
    json_decref(answer);
    return NULL;
}

json_t *ctl_ask(const char *socket_path, json_t *request, int *ret_exit, char *error,
                size_t error_room)
{
    json_t *data = NULL;
    struct buf answer;
    int fd = dial(socket_path, ret_exit, error, error_room);
    char *line = request ? json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    int err;

    json_decref(request);
    if (fd < 0) {
        free(line);
        return NULL;
    }
    buf_init(&answer, ANSWER_MAX);
    err = line ? exchange(fd, line, &answer) : ERR_NOMEM;
    free(line);
    close(fd);
    if (err) {
        *ret_exit = err == ERR_TIMEOUT ? EX_TEMPFAIL : EX_IOERR;
        snprintf(error, error_room, "%s: %s", socket_path, err_text(err));
    } else {
        data = answer_open(buf_span(&answer), ret_exit, error, error_room);
    }
    buf_release(&answer);
    return data;
}
