/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor needs to know of a configuration, and nothing more: it holds no secrets, and
 * never parses a configuration itself. A child reads and checks the file (conf_load), and hands
 * back the plan by value and the accepted text in a sealed memory file, from which every worker of
 * the generation reads it again: an edit in progress never reaches a worker that is restarted.
 */
#pragma once

#include "aead_choice.h"
#include "conf.h"
#include "record_choice.h"

#include <sys/types.h>

enum {
    PLAN_WORKERS_MAX = 256,
    PLAN_LISTENERS_MAX = 64,
};

struct plan_listener {
    char name[64];
    union net_addr addr;
};

struct plan {
    uint32_t workers;
    uint32_t drain_timeout_s;
    uint32_t log_level;
    uid_t uid;
    gid_t gid;
    struct aead_choice aead;
    struct record_choice records;
    char control_socket[108];
    char metrics[64]; /* "": none */
    char state_dir[1025];
    uint32_t ratchet_expiry_s;
    uint32_t listeners_len;
    struct plan_listener listeners[PLAN_LISTENERS_MAX];
};

/* Where others reach the gateway, for a firewall: its listeners, and its metrics where they are not on
 * loopback alone. Returns how many of PLAN_OPEN_MAX. */
enum { PLAN_OPEN_MAX = PLAN_LISTENERS_MAX + 1 };
size_t plan_open(const struct plan *plan, union net_addr out[PLAN_OPEN_MAX]);

/* Settings that hold until a restart: the rows of conf_schema.def that say RESTART. */
struct plan_restart {
    const char *setting; /* "gateway.metrics" */
    size_t place;        /* of its text in struct plan */
};
enum { PLAN_RESTARTS = 2 };
extern const struct plan_restart plan_restarts[PLAN_RESTARTS];

/* Of a configuration. All three refuse the same. */
enum plan_purpose {
    PLAN_SERVE,     /* for a start or a reload: where cost decides it is measured, and kept */
    PLAN_CHECK,     /* whether this process could serve with it; measures and writes nothing */
    PLAN_CHECK_FOR, /* the same for a gateway that another user may start: what cannot be known
                       without that user's rights is a warning */
};

/* What a check found, as one packet. */
struct plan_verdict {
    bool accepted;
    struct plan plan;
    struct conf_errors errors; /* where it is not accepted */
    struct conf_errors warnings;
};

/* Reads the file, parses it, tries each file that it names, looks its user up, and asks what the
 * processor and the kernel can do. This process uses the AEADs that were chosen from then on.
 * keep: where the accepted text, and when its certificates end (expiry.h), are kept, in memory files
 * that are sealed then; NULL: nowhere, and certificates that end soon are warned of. */
struct plan_files {
    int text, expiry;
};
void plan_try(const char *file, enum plan_purpose purpose, const struct plan_files *keep,
              struct plan_verdict *ret);

struct plan_check {
    pid_t pid;
    int result_fd; /* readable when the verdict is there */
    struct plan_files files;
};

/* Starts a child that tries file. ERR_SYSTEM. */
int plan_check_start(const char *file, enum plan_purpose purpose, struct plan_check *ret) ERR_CHECK;
/* Takes the verdict (waits for it), and the child's end. *ret_files are the caller's where
 * accepted, else -1. A child that died is a verdict that is not accepted. */
void plan_check_finish(struct plan_check *check, struct plan_verdict *ret,
                       struct plan_files *ret_files);
void plan_files_close(struct plan_files *files);

/* A worker's way back from the memory file to the configuration; file is the name it came from. */
int plan_conf_load(int text_fd, const char *file, struct conf **ret,
                   struct conf_errors *errors) ERR_CHECK;
