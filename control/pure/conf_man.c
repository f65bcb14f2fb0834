/* SPDX-License-Identifier: Apache-2.0 */
/* postern.conf(5) as mdoc: a fixed introduction, a section for each group of the table, examples.
 */
#include "conf_schema.h"

#include "buf.h"

#include <stdio.h>

struct man {
    struct buf *out;
    int result; /* the first failure */
};

static void put(struct man *m, const char *text)
{
    if (m->result == ERR_OK)
        m->result = buf_append(m->out, text, strlen(text));
}

/* roff takes '.' and '\'' at a line's start and '\\' anywhere for itself. */
static void put_escaped(struct man *m, const char *text, size_t len, bool line_start)
{
    for (size_t i = 0; i < len; i++) {
        if (line_start && (text[i] == '.' || text[i] == '\''))
            put(m, "\\&");
        line_start = text[i] == '\n';
        if (text[i] == '\\')
            put(m, "\\e");
        else if (m->result == ERR_OK)
            m->result = buf_append(m->out, text + i, 1);
    }
}

/* Each sentence begins a line, as mdoc wants. */
static void put_prose(struct man *m, const char *text)
{
    while (*text) {
        const char *end = text;
        while (*end && !(*end == '.' && (end[1] == ' ' || end[1] == '\0')))
            end++;
        if (*end == '.')
            end++;
        put_escaped(m, text, (size_t)(end - text), true);
        put(m, "\n");
        text = end + (*end == ' ');
    }
}

/* An argument of a macro: quoted, with '"' doubled as roff reads it. */
static void put_argument(struct man *m, const char *text)
{
    put(m, "\"");
    for (; *text; text++) {
        if (*text == '"')
            put(m, "\"\"");
        else
            put_escaped(m, text, 1, false);
    }
    put(m, "\"");
}

static const char introduction[] =
    ".Dd $Mdocdate: November 21 2026 $\n"
    ".Dt POSTERN.CONF 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm postern.conf\n"
    ".Nd configuration of the postern mail gateway\n"
    ".Sh DESCRIPTION\n"
    "The file says where mail is accepted, where it goes, and what TLS both legs need.\n"
    "Its syntax is that of libconfig:\n"
    "settings are written\n"
    ".Ql name = value;\n"
    "and are grouped in braces, lists stand in parentheses or square brackets, strings in double\n"
    "quotes, and comments begin with\n"
    ".Ql # .\n"
    "Another file can't be included.\n"
    ".Pp\n"
    "Names of files that do not begin with\n"
    ".Ql /\n"
    "start from the directory that the configuration file is in.\n"
    "Where a list of strings is wanted, a single string stands for a list of one.\n"
    ".Pp\n"
    "The file is checked as a whole by\n"
    ".Ql posternd -n -c FILE\n"
    "or\n"
    ".Ql posternctl config check .\n"
    "Each error names the file, the line, the setting (counting the groups of a list from 0), "
    "what\n"
    "was found and what is allowed.\n"
    "A file with an error never starts a gateway and never changes a running one, and a setting\n"
    "that this version can't honour is an error.\n"
    ".Pp\n"
    "A reload\n"
    ".Pq Ql posternctl reload , No or SIGHUP\n"
    "takes a new file over: sessions that begin later follow it, older ones finish as they began.\n"
    "Settings marked\n"
    ".Dq restart\n"
    "hold from the next start on.\n";

static const char files[] = ".Sh FILES\n"
                            ".Bl -tag -width Ds\n"
                            ".It Pa /etc/postern/postern.conf\n"
                            "The usual place.\n"
                            ".El\n"
                            ".Sh EXAMPLES\n";

static const char ending[] = ".Sh SEE ALSO\n"
                             ".Xr posternctl 1 ,\n"
                             ".Xr posternd 8\n";

static void put_default(struct man *m, const struct conf_row *row)
{
    if (row->must) {
        put(m, "It must be set.\n");
    } else if (!row->fallback) {
        put(m, "Default: none.\n");
    } else if (row->fallback[0] == '=') {
        put(m, "Default: the value of\n.Ic ");
        put(m, row->fallback + 1);
        put(m, " .\n");
    } else if (row->type == CONF_TYPE_UINT || row->type == CONF_TYPE_U64 ||
               row->type == CONF_TYPE_BOOL) {
        put(m, "Default: ");
        put_escaped(m, row->fallback, strlen(row->fallback), false);
        put(m, ".\n");
    } else {
        put(m, "Default:\n.Ql ");
        put_argument(m, row->fallback[0] ? row->fallback : "\"\"");
        put(m, " .\n");
    }
}

static void put_row(struct man *m, const struct conf_row *row)
{
    char allowed[CONF_ALLOWED_TEXT];
    bool section = row->type == CONF_TYPE_SECTION || row->type == CONF_TYPE_SECTIONS;

    put(m, ".It Ic ");
    put(m, row->key);
    put(m, "\n");
    put_prose(m, row->prose);
    put(m, "Allowed: ");
    conf_row_allowed(row, allowed);
    put_escaped(m, allowed, strlen(allowed), false);
    put(m, ".\n");
    if (!section)
        put_default(m, row);
    if (!section && row->reload == CONF_RELOAD_RESTART)
        put(m, "A change needs a restart.\n");
}

/* The group that is written as the key of another one: its prose opens the section. */
static const char *prose_of(enum conf_group group)
{
    for (size_t i = 0; i < conf_rows_len; i++) {
        const struct conf_row *row = &conf_rows[i];
        if ((row->type == CONF_TYPE_SECTION || row->type == CONF_TYPE_SECTIONS) &&
            row->section == group)
            return row->prose;
    }
    return "The file consists of these groups; each has a section below.";
}

static void put_group(struct man *m, enum conf_group group)
{
    put(m, ".Ss ");
    put(m, group == CONF_GROUP_ROOT ? "The file" : conf_group_name(group));
    put(m, "\n");
    put_prose(m, prose_of(group));
    put(m, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < conf_rows_len; i++) {
        if (conf_rows[i].group == group)
            put_row(m, &conf_rows[i]);
    }
    put(m, ".El\n");
}

int conf_write_man(struct buf *out)
{
    struct man m = {.out = out, .result = ERR_OK};
    const char *example;

    put(&m, introduction);
    put(&m, ".Sh SETTINGS\n");
    for (int group = 0; group < CONF_GROUP_COUNT; group++)
        put_group(&m, (enum conf_group)group);
    put(&m, files);
    for (size_t i = 0; (example = conf_example(i)); i++) {
        put(&m, i == 0 ? ".Bd -literal\n" : ".Pp\n.Bd -literal\n");
        put_escaped(&m, example, strlen(example), true);
        put(&m, ".Ed\n");
    }
    put(&m, ending);
    return m.result;
}
