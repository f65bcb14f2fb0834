/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What somebody brings to a machine as its settings: a few files with known names, read into memory
 * once, so that what was checked is what is taken. A stick is a stranger's: links, anything but files,
 * names that are odd and files that are too large are refused; what has another name is left alone.
 */
#pragma once

#include "conf.h"

#include <sys/types.h>

enum {
    SETTINGS_FILES_MAX = 300,
    SETTINGS_FILE_BYTES_MAX = CONF_TEXT_MAX,
    SETTINGS_BYTES_MAX = 16 << 20, /* of all */
    SETTINGS_NAME = 96,
};

#define SETTINGS_APPLIANCE "appliance.conf"
#define SETTINGS_GATEWAY "postern.conf"

struct settings_file {
    char name[SETTINGS_NAME]; /* "postern.conf", "tls/mx.pem" */
    uint8_t *data;            /* with a NUL behind it */
    size_t len;
};

struct settings_files {
    struct settings_file items[SETTINGS_FILES_MAX];
    size_t len, bytes;
};

/* A copy of the bytes under a name that is known to be good; what had it is replaced. ERR_NOMEM,
 * ERR_FULL. */
int settings_files_set(struct settings_files *files, const char *name, const void *data,
                       size_t len) ERR_CHECK;
/* Wipes it. */
void settings_files_free(struct settings_files *files);
/* A folder's: appliance.conf, postern.conf, users, and files in tls, partners and secrets. what: how
 * it is called in complaints. Nothing is taken where there is one: ERR_CONFIG. */
int settings_files_read(int folder, const char *what, struct settings_files *ret,
                        struct conf_errors *errors) ERR_CHECK;
/* From a folder of systemd's credentials: postern.appliance, postern.gateway, postern.tls.NAME. */
int settings_credentials_read(int folder, struct settings_files *ret,
                              struct conf_errors *errors) ERR_CHECK;
/* SHA-256 of names and bytes, in hex. ERR_SYSTEM. */
int settings_files_hash(const struct settings_files *files, char out[65]) ERR_CHECK;
/* Into a folder, each on the disk, readable to their owner alone. ERR_IO; errno says why. */
int settings_files_write(const struct settings_files *files, int folder) ERR_CHECK;
