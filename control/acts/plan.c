/* SPDX-License-Identifier: Apache-2.0 */
#include "plan.h"

#include "conf_load.h"
#include "expiry.h"
#include "record_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

const struct plan_restart plan_restarts[PLAN_RESTARTS] = {
    {"gateway.control_socket", offsetof(struct plan, control_socket)},
    {"gateway.metrics", offsetof(struct plan, metrics)},
};

static unsigned cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;

    return count < 1 ? 1 : (unsigned)count;
}

/* Where complaints about a configuration go. */
struct trial {
    const char *file, *text;
    struct plan_verdict *verdict;
};

static void complain(const struct trial *t, struct conf_errors *to, const char *path,
                     const char *why)
{
    conf_errors_add(to, t->file, conf_line_of(t->text, path), path, "%s", why);
}

static void user_find(const struct trial *t, const char *user, enum plan_purpose purpose,
                      struct plan *ret)
{
    bool root = geteuid() == 0;
    const struct passwd *entry;
    char why[256];

    ret->uid = getuid();
    ret->gid = getgid();
    if (!root && purpose != PLAN_CHECK_FOR) /* nobody to change to */
        return;
    entry = getpwnam(user);
    if (!entry || entry->pw_uid == 0) {
        snprintf(why, sizeof(why), "found \"%.64s\", allowed any user of this system but root%s%s",
                 user, entry ? "" : "; this one is not there",
                 root ? "" : " (it matters where root starts the gateway)");
        complain(t, root ? &t->verdict->errors : &t->verdict->warnings, "gateway.user", why);
    } else if (root) {
        ret->uid = entry->pw_uid;
        ret->gid = entry->pw_gid;
    }
}

static void plan_make(const struct trial *t, const struct conf *conf, enum plan_purpose purpose)
{
    const struct conf_gateway *g = &conf->gateway;
    struct plan *ret = &t->verdict->plan;

    ret->workers = g->workers ? g->workers : cores();
    if (ret->workers > PLAN_WORKERS_MAX)
        ret->workers = PLAN_WORKERS_MAX;
    ret->drain_timeout_s = g->drain_timeout_s;
    ret->log_level = (uint32_t)g->log_level;
    ret->ratchet_expiry_s = conf->tls.ratchet_expiry_days * 86400;
    if (span_to_cstr(span_str(g->control_socket), ret->control_socket,
                     sizeof(ret->control_socket)) != 0 ||
        span_to_cstr(span_str(g->metrics), ret->metrics, sizeof(ret->metrics)) != 0 ||
        span_to_cstr(span_str(g->state_dir), ret->state_dir, sizeof(ret->state_dir)) != 0 ||
        conf->listeners_len > PLAN_LISTENERS_MAX) {
        complain(t, &t->verdict->errors, "gateway", "found a value longer than what is allowed");
        return;
    }
    ret->listeners_len = (uint32_t)conf->listeners_len;
    for (size_t i = 0; i < conf->listeners_len; i++) {
        ret->listeners[i].addr = conf->listeners[i].addr;
        if (span_to_cstr(span_str(conf->listeners[i].name), ret->listeners[i].name,
                         sizeof(ret->listeners[i].name)) != 0)
            ret->listeners[i].name[0] = '\0';
    }
    user_find(t, g->user, purpose, ret);
}

static void aead_plan(const struct trial *t, const struct conf *conf)
{
    char why[AEAD_ERROR_TEXT];

    if (aead_choose(&conf->gateway, &t->verdict->plan.aead, why, sizeof(why)) != 0)
        complain(t, &t->verdict->errors, "gateway.aead", why);
}

static void records_plan(const struct trial *t, const struct conf *conf, enum plan_purpose purpose)
{
    struct plan_verdict *v = t->verdict;
    char why[RECORD_ERROR_TEXT + 64];
    bool known = true;
    int err = purpose == PLAN_SERVE
                  ? record_plan(&conf->gateway, &v->plan.records, why, RECORD_ERROR_TEXT)
                  : record_plan_check(&conf->gateway, &known, why, RECORD_ERROR_TEXT);
    bool refuse = known || purpose == PLAN_CHECK;

    if (!err)
        return;
    if (!refuse)
        snprintf(why + strlen(why), 64, " (to root it may be another matter)");
    complain(t, refuse ? &v->errors : &v->warnings, "gateway.dataplane", why);
}

/* The file's mode is kept as the memory file's own. */
static int text_keep(const char *text, mode_t mode, int text_fd)
{
    size_t len = strlen(text);

    if (write(text_fd, text, len) != (ssize_t)len || fchmod(text_fd, mode & 07777) != 0)
        return ERR_SYSTEM;
    if (fcntl(text_fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0)
        return ERR_SYSTEM;
    return 0;
}

static char *text_read(int text_fd, mode_t *ret_mode)
{
    struct stat st;
    char *text;

    if (fstat(text_fd, &st) != 0)
        return NULL;
    text = malloc((size_t)st.st_size + 1);
    if (!text)
        return NULL;
    if (pread(text_fd, text, (size_t)st.st_size, 0) != st.st_size) {
        free(text);
        return NULL;
    }
    text[st.st_size] = '\0';
    *ret_mode = st.st_mode;
    return text;
}

int plan_conf_load(int text_fd, const char *file, struct conf **ret, struct conf_errors *errors)
{
    mode_t mode;
    char *text = text_read(text_fd, &mode);
    int err;

    *ret = NULL;
    if (!text) {
        errors->len = (size_t)snprintf(errors->text, sizeof(errors->text),
                                       "%s: can't be kept in memory\n", file);
        return ERR_SYSTEM;
    }
    err = conf_load_text(text, file, mode, ret, errors);
    explicit_bzero(text, strlen(text));
    free(text);
    return err;
}

static int expiry_plan(const struct conf *conf, const struct plan_files *keep,
                       struct plan_verdict *v)
{
    struct expiry_list *list;
    int err = expiry_gather(conf, &list);

    if (err)
        return err;
    if (keep)
        err = expiry_keep(list, keep->expiry);
    else
        expiry_warn(list, (int64_t)time(NULL), &v->warnings);
    free(list);
    return err;
}

void plan_try(const char *file, enum plan_purpose purpose, const struct plan_files *keep,
              struct plan_verdict *ret)
{
    struct conf *conf = NULL;
    mode_t mode;

    memset(ret, 0, sizeof(*ret));
    char *text = conf_load_read(file, &mode, &ret->errors);
    if (!text)
        return;
    if (conf_load_text(text, file, mode, &conf, &ret->errors) == 0) {
        const struct trial t = {.file = file, .text = text, .verdict = ret};
        plan_make(&t, conf, purpose);
        aead_plan(&t, conf); /* what records cost depends on it */
        records_plan(&t, conf, purpose);
        if (ret->errors.count == 0 && keep && text_keep(text, mode, keep->text) != 0)
            conf_errors_add(&ret->errors, file, 0, "", "%s", strerror(errno));
        if (ret->errors.count == 0 && expiry_plan(conf, keep, ret) != ERR_OK)
            conf_errors_add(&ret->errors, file, 0, "", "%s", err_text(ERR_SYSTEM));
        ret->accepted = ret->errors.count == 0;
    }
    conf_free(conf);
    explicit_bzero(text, strlen(text));
    free(text);
}

static _Noreturn void check_child(const char *file, enum plan_purpose purpose,
                                  const struct plan_files *keep, int result_fd, pid_t parent)
{
    struct plan_verdict v;
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    plan_try(file, purpose, keep, &v);
    _exit(send(result_fd, &v, sizeof(v), MSG_NOSIGNAL) == (ssize_t)sizeof(v) ? 0 : 1);
}

void plan_files_close(struct plan_files *files)
{
    if (files->text >= 0)
        close(files->text);
    if (files->expiry >= 0)
        close(files->expiry);
    *files = (struct plan_files){-1, -1};
}

/* Not dumpable anywhere: the text may name what only root may read. */
static int files_open(struct plan_files *ret)
{
    ret->text = memfd_create("postern.conf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ret->expiry = memfd_create("postern.expiry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (ret->text >= 0 && ret->expiry >= 0)
        return ERR_OK;
    plan_files_close(ret);
    return ERR_SYSTEM;
}

int plan_check_start(const char *file, enum plan_purpose purpose, struct plan_check *ret)
{
    int pair[2];
    pid_t self = getpid();
    if (files_open(&ret->files) != 0)
        return ERR_SYSTEM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        plan_files_close(&ret->files);
        return ERR_SYSTEM;
    }
    ret->pid = fork();
    if (ret->pid == 0)
        check_child(file, purpose, &ret->files, pair[1], self);
    close(pair[1]);
    ret->result_fd = pair[0];
    if (ret->pid < 0) {
        close(pair[0]);
        plan_files_close(&ret->files);
        return ERR_SYSTEM;
    }
    return 0;
}

void plan_check_finish(struct plan_check *check, struct plan_verdict *ret,
                       struct plan_files *ret_files)
{
    ssize_t n;

    *ret_files = (struct plan_files){-1, -1};
    do {
        n = recv(check->result_fd, ret, sizeof(*ret), 0);
    } while (n < 0 && errno == EINTR);
    close(check->result_fd);
    while (waitpid(check->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    if (n != (ssize_t)sizeof(*ret)) {
        memset(ret, 0, sizeof(*ret));
        snprintf(ret->errors.text, sizeof(ret->errors.text),
                 "the check of the configuration died\n");
    }
    ret->errors.text[sizeof(ret->errors.text) - 1] = '\0';
    ret->warnings.text[sizeof(ret->warnings.text) - 1] = '\0';
    if (ret->accepted)
        *ret_files = check->files;
    else
        plan_files_close(&check->files);
}

size_t plan_open(const struct plan *plan, union net_addr out[PLAN_OPEN_MAX])
{
    size_t len = 0;

    for (; len < plan->listeners_len; len++)
        out[len] = plan->listeners[len].addr;
    if (plan->metrics[0] && net_addr_parse(span_str(plan->metrics), &out[len]) == ERR_OK &&
        !net_addr_is_loopback(&out[len]))
        len++;
    return len;
}
