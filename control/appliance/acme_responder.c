/* SPDX-License-Identifier: Apache-2.0 */
#include "acme_responder.h"

#include "ascii.h"
#include "clock.h"
#include "state_folder.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLACE "/.well-known/acme-challenge/"

enum {
    REQUEST_MAX = 4096,
    ANSWER_MAX = 4096,
    REQUEST_MS = 5000, /* a request takes no longer: they are answered one by one */
    NOBODY = 65534,
};

bool acme_responder_token(const char *line, char ret_token[ACME_TOKEN])
{
    static const char begin[] = "GET " PLACE;
    size_t len = 0;

    if (strncmp(line, begin, sizeof(begin) - 1) != 0)
        return false;
    line += sizeof(begin) - 1;
    while ((line[len] >= 'a' && line[len] <= 'z') || (line[len] >= 'A' && line[len] <= 'Z') ||
           (line[len] >= '0' && line[len] <= '9') || line[len] == '-' || line[len] == '_')
        len++;
    if (len == 0 || len >= ACME_TOKEN || line[len] != ' ')
        return false;
    memcpy(ret_token, line, len);
    ret_token[len] = '\0';
    return true;
}

/* Up to the empty line; false: it does not come in time, or is too long. */
static bool request_read(int fd, char out[REQUEST_MAX])
{
    int64_t deadline = (int64_t)clock_ms() + REQUEST_MS;
    size_t len = 0;

    out[0] = '\0';
    while (!strstr(out, "\r\n\r\n") && !strstr(out, "\n\n")) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int64_t left = deadline - (int64_t)clock_ms();
        if (left <= 0 || len + 1 >= REQUEST_MAX || poll(&p, 1, (int)left) <= 0)
            return false;
        ssize_t n = recv(fd, out + len, REQUEST_MAX - 1 - len, MSG_DONTWAIT);
        if (n <= 0 && errno != EAGAIN)
            return false;
        len += n > 0 ? (size_t)n : 0;
        out[len] = '\0';
        if (strlen(out) != len) /* a NUL is in it */
            return false;
    }
    return true;
}

static void answer(int fd, int folder)
{
    char request[REQUEST_MAX], head[160], token[ACME_TOKEN];
    struct buf body;

    buf_init(&body, ANSWER_MAX);
    bool there = request_read(fd, request) && acme_responder_token(request, token) &&
                 state_folder_read(folder, token, &body) == ERR_OK;
    if (!there)
        buf_clear(&body);
    int len = snprintf(head, sizeof(head),
                       "HTTP/1.1 %s\r\nContent-Type: application/octet-stream\r\n"
                       "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                       there ? "200 OK" : "404 Not Found", buf_len(&body));
    if (send(fd, head, (size_t)len, MSG_NOSIGNAL) == len && buf_len(&body) > 0)
        (void)!send(fd, buf_span(&body).ptr, buf_len(&body), MSG_NOSIGNAL);
    buf_release(&body);
    close(fd);
}

__attribute__((noreturn)) static void serve(int listening, int folder)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    (void)signal(SIGTERM, SIG_DFL);
    if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        _exit(1);
    for (;;) {
        int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            answer(fd, folder);
    }
}

/* Of both families where there is IPv6. */
static int port_open(unsigned short port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(port)};
    int on = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has_six = fd >= 0;

    if (!has_six)
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    int bound = has_six ? bind(fd, (struct sockaddr *)&six, sizeof(six))
                        : bind(fd, (struct sockaddr *)&four, sizeof(four));
    if (bound == 0 && listen(fd, 16) == 0)
        return fd;
    int why = errno;
    close(fd);
    errno = why;
    return -1;
}

pid_t acme_responder_start(int folder, unsigned short port)
{
    int listening = port_open(port);

    if (listening < 0)
        return ERR_SYSTEM;
    pid_t pid = fork();
    if (pid == 0)
        serve(listening, folder);
    int why = errno;
    close(listening);
    errno = why;
    return pid > 0 ? pid : ERR_SYSTEM;
}
