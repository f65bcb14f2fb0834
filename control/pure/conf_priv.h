/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the conf_*.c files share while a configuration is made: the reader, and how a complaint
 * gets its file, line and key path.
 */
#pragma once

#include "conf_schema.h"

#include <libconfig.h>

struct conf_reader {
    const char *file;
    struct span dir; /* of file, with its final '/'; empty for the current one */
    struct arena *arena; /* of the strings that are read */
    struct conf *conf;   /* NULL while another file is read */
    struct appliance *appliance; /* the same */
    struct conf_errors *errors;
    bool out_of_memory;
};

enum { CONF_PATH_TEXT = 192, CONF_FOUND_TEXT = 128 };

/* "parent.key", "parent[3]". Returns out, cut where it does not fit. */
const char *conf_path_key(const char *parent, const char *key, char out[CONF_PATH_TEXT]);
const char *conf_path_index(const char *parent, size_t index, char out[CONF_PATH_TEXT]);
/* A value as it was written, shortened and escaped: "\"abc\"", "50", "a list". Returns out. */
const char *conf_found(const config_setting_t *setting, char out[CONF_FOUND_TEXT]);
/* conf_errors_add at the line of a setting. */
void conf_complain(struct conf_reader *r, const config_setting_t *at, const char *path,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* conf_text.c: what libconfig would get wrong without a word. It finds @include (parsing reads no
 * file), strings and comments without an end (ERR_SYNTAX), and numbers that are too long, all with
 * a complaint, and writes whole numbers so that every libconfig reads the same. *ret
 * is a new string, freed by the caller; ERR_NOMEM. */
int conf_text_prepare(struct conf_reader *r, const char *text, char **ret) ERR_CHECK;

/* conf_value.c: one written value into a field; ERR_SYNTAX, ERR_RANGE (length), ERR_NOMEM. out is
 * of the type that the row's field or list element has. */
int conf_value_convert(struct conf_reader *r, const struct conf_row *row, const char *text,
                       void *out) ERR_CHECK;
/* The bytes of an element of a list type. */
size_t conf_value_size(enum conf_type type);

/* conf_parse.c: the settings of a text into base, a struct of the group, and then what check finds
 * in them (NULL: nothing). max: bytes that the text may have. ERR_CONFIG after a complaint,
 * ERR_NOMEM. */
typedef void conf_checks(struct conf_reader *r, const config_setting_t *root);
int conf_read(struct conf_reader *r, const char *text, size_t max, enum conf_group group, void *base,
              conf_checks *check) ERR_CHECK;

/* appliance_value.c: converters of values that only appliance.conf has. */
int appliance_convert_interface(struct conf_reader *r, struct span s, void *out) ERR_CHECK;
int appliance_convert_member(struct conf_reader *r, struct span s, void *out) ERR_CHECK;
int appliance_convert_time_zone(struct conf_reader *r, struct span s, void *out) ERR_CHECK;
int appliance_convert_crypt(struct conf_reader *r, struct span s, void *out) ERR_CHECK;
int appliance_convert_url(struct conf_reader *r, struct span s, void *out) ERR_CHECK;
int appliance_convert_address(struct conf_reader *r, struct span s, void *out) ERR_CHECK;
int appliance_convert_ssh_key(struct conf_reader *r, struct span s, void *out) ERR_CHECK;

/* conf_place.c: a group while it is checked, and a complaint about one of its settings at the line
 * where that was written. A key may be dotted: "tls.level". */
struct conf_place {
    struct conf_reader *r;
    const config_setting_t *setting; /* NULL: it was not written */
    char path[CONF_PATH_TEXT];
};

struct conf_place conf_place_of(struct conf_reader *r, const config_setting_t *root,
                                const char *list, size_t index);
/* The setting; NULL where it was not written. */
const config_setting_t *conf_written(const struct conf_place *p, const char *key);
/* found: what the setting says; allowed: what would be right. */
void conf_refuse(const struct conf_place *p, const char *key, const char *found,
                 const char *allowed);
/* A setting that would be read and then ignored misleads about what is protected. */
void conf_refuse_unused(const struct conf_place *p, const char *key, const char *needed);

/* conf_check.c: what no single row can say. Fills in what follows from other settings, too. */
void conf_check(struct conf_reader *r, const config_setting_t *root);
