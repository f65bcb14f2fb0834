/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posternctl system health: whether this machine does what it is for. At a start it decides whether
 * a version that is on trial is good (its exit code blesses it, by boot-complete.target), and where
 * it is not, restarts the machine, so that the boot loader comes to the end of that version's
 * tries.
 */
#include "appliance.h"
#include "clock.h"
#include "ctl_print.h"
#include "ctl_slots.h"
#include "ctl_system.h"
#include "self_test.h"
#include "server_check.h"
#include "settings.h"
#include "slot_efi.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

enum {
    ROWS_MAX = 80,
    STEP_S = 20,  /* of one answer */
    BOOT_S = 180, /* until which a start may come to itself; emulated machines are slow */
    AGAIN_MS = 2000,
    SSH_PORT = 22,
};

struct row {
    char name[128];
    bool good;
    char seen[384];
};

struct health {
    const struct ctl_system *sys;
    struct slots slots;
    bool waits; /* for its settings: there is nothing to check yet */
    size_t len;
    struct row rows[ROWS_MAX];
};

static struct row *row_add(struct health *h, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static struct row *row_add(struct health *h, const char *format, ...)
{
    struct row *row = &h->rows[h->len < ROWS_MAX ? h->len++ : ROWS_MAX - 1];
    va_list args;

    *row = (struct row){0};
    va_start(args, format);
    vsnprintf(row->name, sizeof(row->name), format, args);
    va_end(args);
    return row;
}

static bool all_good(const struct health *h)
{
    for (size_t i = 0; i < h->len; i++)
        if (!h->rows[i].good)
            return false;
    return true;
}

/* --- checks --- */

/* As the world reaches it, from here. */
static union net_addr address_of(const struct conf_listener *l)
{
    union net_addr addr = l->addr;

    if (addr.any.sa_family == AF_INET && addr.v4.sin_addr.s_addr == htonl(INADDR_ANY))
        addr.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (addr.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&addr.v6.sin6_addr))
        addr.v6.sin6_addr = in6addr_loopback;
    return addr;
}

static enum smtp_client_tls tls_of(const struct conf_listener *l)
{
    switch (l->tls) {
    case CONF_LISTENER_STARTTLS:
        return SMTP_CLIENT_TLS_DEMAND;
    case CONF_LISTENER_IMPLICIT:
        return SMTP_CLIENT_TLS_IMPLICIT;
    case CONF_LISTENER_NONE:
        return SMTP_CLIENT_TLS_NEVER;
    }
    return SMTP_CLIENT_TLS_NEVER;
}

static bool wants_proxy_header(const struct conf_listener *l, const union net_addr *addr)
{
    for (size_t i = 0; i < l->proxy_clients_len; i++)
        if (net_prefix_contains(&l->proxy_clients[i], addr))
            return true;
    return false;
}

static void listener_check(struct health *h, const struct conf_listener *l)
{
    static const char name[] = "health.postern.invalid"; /* whatever the certificate says */
    const struct server_check_conf conf = {.helo = name, .name = name, .timeout_s = STEP_S};
    struct row *row = row_add(h, "listener %s, %s", l->name, l->address);
    union net_addr addr = address_of(l);

    /* It answers nothing before such a header, and who else speaks is not ours to say. */
    if (wants_proxy_header(l, &addr)) {
        row->good = true;
        snprintf(row->seen, sizeof(row->seen),
                 "not tried: it wants a PROXY header from this machine");
        return;
    }
    row->good = server_check_answers(&conf, &addr, tls_of(l), row->seen, sizeof(row->seen));
}

static struct conf *gateway_check(struct health *h)
{
    static struct conf_errors errors;
    struct row *row = row_add(h, "settings");
    struct conf *conf = NULL;
    int err = settings_gateway_load(h->sys->root, &conf, &errors);

    h->waits = err == ERR_NOTFOUND;
    row->good = !err || h->waits;
    if (h->waits)
        snprintf(row->seen, sizeof(row->seen), "none yet: the machine waits for them");
    else
        snprintf(row->seen, sizeof(row->seen), "%.*s",
                 err ? (int)strcspn(errors.text, "\n") : (int)strlen("accepted"),
                 err ? errors.text : "accepted");
    return conf;
}

static void message_check(struct health *h, const struct conf *conf)
{
    const struct self_test test = {.root = h->sys->root, .conf = conf, .timeout_s = STEP_S};
    struct row *row = row_add(h, "message");

    row->good = self_test_run(&test, row->seen, sizeof(row->seen));
}

/* Without it an administrator could not mend what is wrong, nor go back. */
static void ssh_check(struct health *h)
{
    const union net_addr addr = {.v4 = {.sin_family = AF_INET,
                                        .sin_port = htons(SSH_PORT),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    const struct timeval patience = {.tv_sec = STEP_S};
    char path[PATH_MAX], greeting[64];
    ssize_t n = -1;

    snprintf(path, sizeof(path), "%s/run/" APPLIANCE_SSH_KEYS, h->sys->root);
    if (access(path, F_OK) != 0)
        return; /* nobody has a key: it is off */
    struct row *row = row_add(h, "ssh");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) == 0 &&
        connect(fd, &addr.any, sizeof(addr.v4)) == 0)
        n = recv(fd, greeting, sizeof(greeting), 0);
    row->good = n >= 4 && memcmp(greeting, "SSH-", 4) == 0;
    bool silent = n == 0 || (n < 0 && errno == EAGAIN);
    snprintf(row->seen, sizeof(row->seen), "%s",
             row->good ? "answers"
             : silent  ? "no greeting came"
             : n > 0   ? "what answers is not SSH"
                       : strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void check(struct health *h)
{
    h->len = 0;
    struct conf *conf = gateway_check(h);

    for (size_t i = 0; conf && i < conf->listeners_len; i++)
        listener_check(h, &conf->listeners[i]);
    /* What is heavier only where the rest is well: a start comes here again and again. */
    if (conf && all_good(h))
        message_check(h, conf);
    ssh_check(h);
    conf_free(conf);
}

/* --- what follows --- */

static void rows_print(const struct health *h)
{
    if (h->sys->json) {
        json_t *rows = json_array();
        for (size_t i = 0; i < h->len; i++)
            json_array_append_new(rows, json_pack("{s:s, s:b, s:s}", "check", h->rows[i].name, "ok",
                                                  h->rows[i].good, "seen", h->rows[i].seen));
        ctl_print_json(json_pack("{s:s, s:b, s:b, s:b, s:o}", "version", h->slots.running, "ok",
                                 all_good(h), "trial", h->slots.trial, "waits", h->waits, "checks",
                                 rows));
        return;
    }
    for (size_t i = 0; i < h->len; i++)
        printf("%-7s %s: %s\n", h->rows[i].good ? "ok" : "failed", h->rows[i].name,
               h->rows[i].seen);
    fflush(stdout);
}

static void notices_write(const struct health *h)
{
    char text[SYSTEM_NOTICE_TEXT];

    for (size_t i = 0; i < h->len; i++)
        if (!h->rows[i].good) {
            snprintf(text, sizeof(text), "%s: %s%s", h->rows[i].name, h->rows[i].seen,
                     h->slots.trial ? " (this version is on trial)" : "");
            system_notice_clear(h->sys->root, "ready");
            ctl_notice(h->sys, "health", SYSTEM_NOTICE_ERROR, text);
            return;
        }
    system_notice_clear(h->sys->root, "health");
    snprintf(text, sizeof(text), "postern %s %s", h->slots.running,
             h->waits ? "runs, and waits for its settings" : "ready");
    ctl_notice(h->sys, "ready", SYSTEM_NOTICE_OK, text);
}

/* An older version that was installed on purpose was tried once (ctl_system_update.c): now that it
 * is healthy, it is the one that starts, although the other is newer. */
static void choice_keep(const struct health *h)
{
    const struct slot *running = slots_running(&h->slots), *other = slots_other(&h->slots);
    char entry[SLOT_ENTRY_TEXT + 8];

    if (!h->slots.trial || !running || !other || other->state != SLOT_GOOD ||
        slot_version_compare(running->version, other->version) >= 0)
        return;
    snprintf(entry, sizeof(entry), "postern_%s.efi", running->version);
    if (slot_efi_write(h->sys->root, SLOT_EFI_LOADER, "LoaderEntryDefault", entry) != ERR_OK)
        fprintf(stderr, "posternctl: the firmware does not take %s as the next: %s\n", entry,
                strerror(errno));
}

/* The boot loader counts no start of a kernel whose name has no counter: what systemd-bless-boot
 * does, whose package wants to install a boot loader. */
static bool bless(const struct health *h)
{
    const struct slot *running = slots_running(&h->slots);
    char folder[PATH_MAX], good[SLOT_ENTRY_TEXT + 8];

    if (!h->slots.trial)
        return true;
    snprintf(folder, sizeof(folder), "%s%s/EFI/Linux", h->sys->root, h->slots.esp);
    int fd = h->slots.esp[0] && running && running->has_uki
                 ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                 : -1;
    snprintf(good, sizeof(good), "postern_%s.efi", h->slots.running);
    bool done = fd >= 0 && renameat(fd, running->uki_file, fd, good) == 0 && syncfs(fd) == 0;
    if (!done)
        fprintf(stderr, "posternctl: version %s can't be marked as good: %s\n", h->slots.running,
                fd < 0 ? "its kernel is not found in the EFI partition" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return done;
}

/* Whether the boot loader comes to another version when this one's tries are at their end. Who
 * can't read the EFI partition can't bless either: he is taken at the counter's word. */
static bool has_other(const struct slots *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (!s->slots[i].runs &&
            (s->slots[i].state == SLOT_GOOD || s->slots[i].state == SLOT_TRIAL))
            return true;
    return s->esp[0] == '\0';
}

static int fall_back(const struct health *h)
{
    if (!h->slots.trial)
        return 0; /* the notice is there: no restart mends a version that was healthy */
    if (!has_other(&h->slots)) {
        fprintf(stderr,
                "posternctl: version %s is on trial and not healthy, and there is no other one: "
                "it is left as it is\n",
                h->slots.running);
        return 0;
    }
    fprintf(stderr, "posternctl: version %s is on trial and not healthy: restarting\n",
            h->slots.running);
    return ctl_system_reboot_hard(h->sys);
}

int ctl_system_health(const struct ctl_system *sys, char **arguments)
{
    static struct health h;
    int64_t deadline = (int64_t)clock_ms() + BOOT_S * 1000ll;

    h = (struct health){.sys = sys};
    if (!ctl_slots_read(sys, &h.slots))
        return EX_UNAVAILABLE;
    if (sys->fall_back)
        return fall_back(&h);
    check(&h);
    while (sys->boot && !all_good(&h) && (int64_t)clock_ms() < deadline) {
        (void)poll(NULL, 0, AGAIN_MS);
        check(&h);
    }
    rows_print(&h);
    notices_write(&h);
    if (!all_good(&h))
        return EX_SOFTWARE;
    if (!sys->boot)
        return 0;
    choice_keep(&h);
    return bless(&h) ? 0 : EX_IOERR;
}
