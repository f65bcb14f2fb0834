/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervisor needs to know of a configuration, and nothing more: it holds no secrets, and
 * never parses a configuration itself. A child reads and checks the file (conf_load), and hands
 * back the plan by value and the accepted text in a sealed memory file, from which every worker of
 * the generation reads it again: an edit in progress never reaches a worker that is restarted.
 */
#pragma once

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
    struct record_choice records;
    char control_socket[108];
    char metrics[64]; /* "": none */
    uint32_t listeners_len;
    struct plan_listener listeners[PLAN_LISTENERS_MAX];
};

/* Looks the user up. ERR_CONFIG: why names the setting. */
int plan_make(const struct conf *conf, struct plan *ret, char *why, size_t why_room) ERR_CHECK;

/* What the checking child says, as one packet. */
struct plan_verdict {
    bool accepted;
    struct plan plan;
    char errors[8192]; /* a line each, where it is not accepted */
};

struct plan_check {
    pid_t pid;
    int result_fd; /* readable when the verdict is there */
    int text_fd;   /* the memory file; valid once accepted */
};

/* Starts a child that checks file. ERR_SYSTEM. */
int plan_check_start(const char *file, struct plan_check *ret) ERR_CHECK;
/* Takes the verdict (waits for it), and the child's end. *ret_text_fd is the caller's where
 * accepted, else -1. A child that died is a verdict that is not accepted. */
void plan_check_finish(struct plan_check *check, struct plan_verdict *ret, int *ret_text_fd);

/* A worker's way back from the memory file to the configuration; file is the name it came from. */
int plan_conf_load(int text_fd, const char *file, struct conf **ret,
                   struct conf_errors *errors) ERR_CHECK;
