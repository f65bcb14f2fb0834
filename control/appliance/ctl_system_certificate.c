/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system certificate: asks an authority for a certificate by ACME, or for the next one,
 * when it is time (uacme knows). The request is made by the key that the gateway has: TLSA records
 * and pins that name it stay right. Port 80 is open, and answered, only meanwhile.
 */
#include "acme_request.h"
#include "acme_responder.h"
#include "ctl_print.h"
#include "ctl_slots.h"
#include "ctl_system.h"
#include "settings.h"
#include "state_folder.h"
#include "system_run.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#define UACME "/usr/bin/uacme"
#define HOOK "/usr/lib/postern/acme-hook"
#define NFT "/usr/sbin/nft"
#define KEEP "/var/lib/postern-system/acme"  /* account, requests, certificates */
#define MEANWHILE "/run/postern-system/acme" /* answers to challenges; also in acme-hook */
#define POSTERNCTL "/usr/bin/posternctl"

enum { HTTP_PORT = 80, TIMEOUT_S = 300, CERT_MAX = 256 << 10, STOP_S = 5, UACME_NOT_DUE = 1 };

struct renewal {
    const struct ctl_system *sys;
    const struct appliance *appliance;
    const struct conf_cert *cert;
    int keep, meanwhile; /* folders */
    char request[64];    /* names in keep */
    char issued[64];
    char why[1024];
};

__attribute__((format(printf, 3, 4))) static int fail(struct renewal *r, int code,
                                                      const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, sizeof(r->why), format, args);
    va_end(args);
    return code;
}

static int folder_make(struct renewal *r, const char *folder, mode_t mode, int *ret)
{
    char path[PATH_MAX];

    for (const char *at = folder; (at = strchr(at + 1, '/'));) {
        snprintf(path, sizeof(path), "%s%.*s", r->sys->root, (int)(at - folder), folder);
        (void)mkdir(path, 0755);
    }
    snprintf(path, sizeof(path), "%s%s", r->sys->root, folder);
    (void)mkdir(path, mode);
    *ret = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return *ret >= 0 ? 0 : fail(r, EX_CANTCREAT, "%s: %s", folder, strerror(errno));
}

static int request_write(struct renewal *r)
{
    char id[ACME_REQUEST_ID], why[256] = "";
    struct buf request;

    buf_init(&request, CERT_MAX);
    int err =
        acme_request_make(r->cert->key, &r->appliance->acme.names, &request, id, why, sizeof(why));
    snprintf(r->request, sizeof(r->request), "%s.csr", id);
    snprintf(r->issued, sizeof(r->issued), "%s-cert.pem", id);
    if (!err)
        err = state_folder_write_synced(r->keep, r->request, buf_span(&request));
    buf_release(&request);
    return err ? fail(r, EX_CONFIG, "%s: %s", r->cert->key, why[0] ? why : err_text(err)) : 0;
}

static void firewall(const struct renewal *r, bool open)
{
    const char *const words[] = {NFT,
                                 open ? "add" : "delete",
                                 "element",
                                 "inet",
                                 "postern",
                                 "meanwhile",
                                 open ? "{ 80 timeout 10m }" : "{ 80 }",
                                 NULL};
    const struct system_run run = {.root = r->sys->root, .words = words, .timeout_s = 30};

    if (system_run(&run) != 0 && open)
        fprintf(stderr, "posternctl: the firewall can't be opened for port 80\n");
}

/* uacme with these words behind the usual ones; its exit code. */
static int uacme(struct renewal *r, const char *const *words, struct buf *said)
{
    const struct appliance_acme *acme = &r->appliance->acme;
    char keep[PATH_MAX], hook[PATH_MAX], ca[PATH_MAX + 16];
    const char *all[24] = {UACME, "-y", "-c", keep, "-a", acme->directory, "-h", hook};
    size_t len = 8;

    snprintf(keep, sizeof(keep), "%s" KEEP, r->sys->root);
    snprintf(hook, sizeof(hook), "%s" HOOK, r->sys->root);
    snprintf(ca, sizeof(ca), "UACME_CAINFO=%s", acme->ca ? acme->ca : "");
    for (; *words; words++)
        all[len++] = *words;
    all[len] = NULL;
    const struct system_run run = {.root = r->sys->root,
                                   .words = all,
                                   .timeout_s = TIMEOUT_S,
                                   .out = said,
                                   .with_errors = true,
                                   .variable = acme->ca ? ca : NULL};
    buf_clear(said);
    return system_run(&run);
}

static int last_words(struct renewal *r, const char *what, int status, const struct buf *said)
{
    struct span text = span_trim(buf_span(said));

    return fail(r, EX_TEMPFAIL, "%s: uacme: %s%.*s", what, status < 0 ? err_text(status) : "",
                (int)(text.len < 700 ? text.len : 700),
                text.len < 700 ? (const char *)text.ptr : (const char *)text.ptr + text.len - 700);
}

static int ask(struct renewal *r, bool *ret_new)
{
    const char *email = r->appliance->acme.email;
    char csr[PATH_MAX];
    const char *const account[] = {"new", email, NULL}, *const issue[] = {"issue", csr, NULL};
    struct buf said;
    int code = 0;

    snprintf(csr, sizeof(csr), "%s" KEEP "/%s", r->sys->root, r->request);
    buf_init(&said, CERT_MAX);
    int status = 0;
    if (faccessat(r->keep, "private/key.pem", F_OK, 0) != 0)
        status = uacme(r, account, &said);
    if (status != 0)
        code = last_words(r, "no account", status, &said);
    if (code == 0)
        status = uacme(r, issue, &said);
    *ret_new = status == 0;
    if (code == 0 && status != 0 && status != UACME_NOT_DUE)
        code = last_words(r, "no certificate", status, &said);
    buf_release(&said);
    return code;
}

/* With port 80 open, and answered. */
static int ask_openly(struct renewal *r, bool *ret_new)
{
    pid_t responder = acme_responder_start(r->meanwhile, HTTP_PORT);

    if (responder < 0)
        return fail(r, EX_OSERR, "port %d can't be had: %s", HTTP_PORT, strerror(errno));
    firewall(r, true);
    int code = ask(r, ret_new);
    firewall(r, false);
    system_stop(responder, STOP_S);
    return code;
}

/* Puts what was issued where the gateway reads it, whole. *ret_changed: it was another before. */
static int install(struct renewal *r, bool *ret_changed)
{
    char path[PATH_MAX];
    struct buf now, issued;
    int code = 0;

    snprintf(path, sizeof(path), "%s", r->cert->cert);
    char *name = strrchr(path, '/');
    *name++ = '\0';
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    buf_init(&now, CERT_MAX);
    buf_init(&issued, CERT_MAX);
    if (folder < 0 || state_folder_read(r->keep, r->issued, &issued) != ERR_OK)
        code = fail(r, EX_IOERR, "%s: %s", r->issued, strerror(errno));
    *ret_changed = code == 0 && (state_folder_read(folder, name, &now) != ERR_OK ||
                                 !span_equal(buf_span(&now), buf_span(&issued)));
    if (*ret_changed && (state_folder_write_synced(folder, name, buf_span(&issued)) != ERR_OK ||
                         fchmodat(folder, name, 0644, 0) != 0))
        code = fail(r, EX_IOERR, "%s: %s", r->cert->cert, strerror(errno));
    buf_release(&now);
    buf_release(&issued);
    if (folder >= 0)
        close(folder);
    return code;
}

static int reload(struct renewal *r)
{
    static const char *const words[] = {POSTERNCTL, "reload", NULL};
    struct buf said;

    buf_init(&said, 65536);
    const struct system_run run = {
        .root = r->sys->root, .words = words, .timeout_s = 90, .out = &said, .with_errors = true};
    int status = system_run(&run);
    struct span text = span_trim(buf_span(&said));
    int code = status == 0
                   ? 0
                   : fail(r, EX_TEMPFAIL, "the gateway does not take the new certificate: %.*s",
                          (int)(text.len < 700 ? text.len : 700), (const char *)text.ptr);
    buf_release(&said);
    return code;
}

static int renew(struct renewal *r, bool *ret_changed)
{
    bool fresh = false;
    int code = folder_make(r, KEEP, 0700, &r->keep);

    if (code == 0)
        code = folder_make(r, MEANWHILE, 0755, &r->meanwhile);
    if (code == 0)
        code = request_write(r);
    if (code == 0)
        code = ask_openly(r, &fresh);
    if (code == 0)
        code = install(r, ret_changed);
    if (code == 0 && *ret_changed)
        code = reload(r);
    if (r->keep >= 0)
        close(r->keep);
    if (r->meanwhile >= 0)
        close(r->meanwhile);
    return code;
}

static int told(struct renewal *r, int code, bool changed)
{
    char text[SYSTEM_NOTICE_TEXT];

    if (code != 0) {
        snprintf(text, sizeof(text), "no certificate by ACME: %.400s", r->why);
        ctl_notice(r->sys, "certificate", SYSTEM_NOTICE_WARNING, text);
        return ctl_failed(r->sys->json, r->why, code);
    }
    system_notice_clear(r->sys->root, "certificate");
    if (r->sys->json)
        ctl_print_json(json_pack("{s:b, s:s}", "renewed", changed, "file", r->cert->cert));
    else
        printf("%s: %s\n", r->cert->cert, changed ? "a new certificate, in use" : "not due yet");
    return 0;
}

int ctl_system_certificate(const struct ctl_system *sys, char **arguments)
{
    static struct conf_errors errors;
    struct renewal r = {.sys = sys, .keep = -1, .meanwhile = -1};
    struct appliance *appliance = NULL;
    bool changed = false;
    int code;

    errors = (struct conf_errors){0};
    if (settings_appliance_read(sys->root, &appliance, &errors) != ERR_OK)
        return ctl_failed(sys->json, errors.text, EX_CONFIG);
    if (!appliance->acme.directory) {
        appliance_free(appliance);
        if (!sys->json)
            puts("appliance.conf has no group acme: no certificate is asked for");
        return 0;
    }
    struct conf *conf = NULL;
    int err = settings_gateway_load(sys->root, &conf, &errors);
    r.appliance = appliance;
    r.cert = !err && conf->tls.certificates_len > 0 ? &conf->tls.certificates[0] : NULL;
    code = r.cert ? renew(&r, &changed)
                  : fail(&r, EX_CONFIG, "postern.conf is not accepted, or has no tls.certificates");
    code = told(&r, code, changed);
    conf_free(conf);
    appliance_free(appliance);
    return code;
}
