/* SPDX-License-Identifier: Apache-2.0 */
/* postern.conf(5) as mdoc: a fixed introduction, a section for each group of the table, examples.
 */
#include "conf_schema.h"

#include "appliance.h"
#include "buf.h"

#include <stdio.h>

enum { MAN_COLUMNS = 78 };

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

/* One sentence, on lines of its own of a readable length. */
static void put_sentence(struct man *m, const char *text, size_t len)
{
    size_t column = 0;

    while (len > 0) {
        size_t word = 0;
        while (word < len && text[word] != ' ')
            word++;
        if (column > 0 && column + 1 + word > MAN_COLUMNS) {
            put(m, "\n");
            column = 0;
        } else if (column > 0) {
            put(m, " ");
            column++;
        }
        put_escaped(m, text, word, column == 0);
        column += word;
        word += word < len;
        text += word;
        len -= word;
    }
    put(m, "\n");
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
        put_sentence(m, text, (size_t)(end - text));
        text = end + (*end == ' ');
    }
}

static const char introduction[] =
    ".Dd November 21, 2026\n"
    ".Dt POSTERN.CONF 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm postern.conf\n"
    ".Nd configuration of the postern mail gateway\n"
    ".Sh DESCRIPTION\n"
    "The file says where mail is accepted, where it goes, and what TLS both legs\n"
    "need.\n"
    "Its syntax is that of libconfig:\n"
    "a setting is written as\n"
    ".Ql name = value\n"
    "and ends with a semicolon, groups of settings stand in braces, lists in\n"
    "parentheses or square brackets, strings in double quotes, and comments begin\n"
    "with\n"
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
    "Each error names the file, the line, the setting (counting the groups of a\n"
    "list from 0), what was found and what is allowed.\n"
    "A file with an error never starts a gateway and never changes a running one.\n"
    "A setting that this version can't honour is an error, too.\n"
    ".Pp\n"
    "A reload, by\n"
    ".Ql posternctl reload\n"
    "or SIGHUP, takes a new file over: sessions that begin later follow it, older\n"
    "ones finish as they began.\n"
    "Settings whose change needs a restart say so below.\n";

static const char files[] = ".Sh FILES\n"
                            ".Bl -tag -width Ds\n"
                            ".It Pa /etc/postern/postern.conf\n"
                            "The usual place.\n"
                            ".El\n"
                            ".Sh EXAMPLES\n";

static const char ending[] = ".Sh SEE ALSO\n"
                             ".Xr posternctl 1 ,\n"
                             ".Xr posternd 8\n";

static const char appliance_introduction[] =
    ".Dd November 22, 2026\n"
    ".Dt APPLIANCE.CONF 5\n"
    ".Os\n"
    ".Sh NAME\n"
    ".Nm appliance.conf\n"
    ".Nd settings of the postern appliance\n"
    ".Sh DESCRIPTION\n"
    "The file says what a machine that was made from the appliance's image is called,\n"
    "which networks it is in, how it knows the time, and who may administer it.\n"
    "Mail is the matter of\n"
    ".Xr postern.conf 5 ,\n"
    "whose syntax this file has.\n"
    ".Pp\n"
    "It is taken, with\n"
    ".Pa postern.conf ,\n"
    "from a stick or partition that is labelled POSTERN, or from credentials of the\n"
    "machine's firmware, at each boot at which they are new; or the menu on the\n"
    "console writes it.\n"
    ".Xr posternctl-system 1\n"
    "has how, and\n"
    ".Ql posternctl system settings check FILE\n"
    "checks one on any machine.\n"
    "Each error names the file, the line, the setting, what was found and what is\n"
    "allowed.\n"
    "A file with an error changes nothing: the machine goes on with the settings that\n"
    "it had.\n";

static const char appliance_files[] = ".Sh FILES\n"
                                      ".Bl -tag -width Ds\n"
                                      ".It Pa /etc/postern/appliance.conf\n"
                                      "The one that the machine goes by.\n"
                                      ".El\n"
                                      ".Sh EXAMPLES\n";

static const char appliance_ending[] = ".Sh SEE ALSO\n"
                                       ".Xr posternctl-system 1 ,\n"
                                       ".Xr postern.conf 5\n";

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
    } else {
        bool quoted = row->type != CONF_TYPE_UINT && row->type != CONF_TYPE_U64 &&
                      row->type != CONF_TYPE_BOOL;
        put(m, quoted ? "Default: \"" : "Default: ");
        put_escaped(m, row->fallback, strlen(row->fallback), false);
        put(m, quoted ? "\".\n" : ".\n");
    }
}

static void put_row(struct man *m, const struct conf_row *row)
{
    char allowed[CONF_ALLOWED_TEXT], sentence[CONF_ALLOWED_TEXT + 16];
    bool section = row->type == CONF_TYPE_SECTION || row->type == CONF_TYPE_SECTIONS;

    put(m, ".It Ic ");
    put(m, row->key);
    put(m, "\n");
    put_prose(m, row->prose);
    put(m, ".Pp\n");
    snprintf(sentence, sizeof(sentence), "Allowed: %s.", conf_row_allowed(row, allowed));
    put_sentence(m, sentence, strlen(sentence));
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
    return group == CONF_GROUP_ROOT || group == CONF_GROUP_APPLIANCE
               ? "The file consists of these groups; each has a section below."
               : "What pin_file of a route or of a rule of senders names: a file of its own, in "
                 "the same "
                 "syntax, which posternctl(1) partner add writes. "
                 "It is at most 64 KiB long. "
                 "One that is missing or damaged refuses the configuration, as an error in it.";
}

static void put_group(struct man *m, enum conf_group group)
{
    put(m, ".Ss ");
    put(m, group == CONF_GROUP_ROOT        ? "The file"
           : group == CONF_GROUP_APPLIANCE ? "The file"
           : group == CONF_GROUP_PIN_FILE  ? "A pin file"
           : group == CONF_GROUP_PIN       ? "current and next"
                                           : conf_group_name(group));
    put(m, "\n");
    put_prose(m, prose_of(group));
    put(m, ".Bl -tag -width Ds\n");
    for (size_t i = 0; i < conf_rows_len; i++) {
        if (conf_rows[i].group == group)
            put_row(m, &conf_rows[i]);
    }
    put(m, ".El\n");
}

static void put_groups(struct man *m, enum conf_group from, enum conf_group end)
{
    for (int group = (int)from; group < (int)end; group++)
        put_group(m, (enum conf_group)group);
}

static void put_examples(struct man *m, const char *(*example_of)(size_t index))
{
    const char *example;

    for (size_t i = 0; (example = example_of(i)); i++) {
        put(m, ".Bd -literal\n");
        put_escaped(m, example, strlen(example), true);
        put(m, ".Ed\n");
    }
}

int conf_write_man(struct buf *out)
{
    struct man m = {.out = out, .result = ERR_OK};

    put(&m, introduction);
    put(&m, ".Sh SETTINGS\n");
    put_groups(&m, CONF_GROUP_ROOT, CONF_GROUP_PIN_FILE);
    put(&m, ".Sh PIN FILES\n");
    put_groups(&m, CONF_GROUP_PIN_FILE, CONF_GROUP_APPLIANCE);
    put(&m, files);
    put_examples(&m, conf_example);
    put(&m, ending);
    return m.result;
}

int appliance_write_man(struct buf *out)
{
    struct man m = {.out = out, .result = ERR_OK};

    put(&m, appliance_introduction);
    put(&m, ".Sh SETTINGS\n");
    put_groups(&m, CONF_GROUP_APPLIANCE, CONF_GROUP_COUNT);
    put(&m, appliance_files);
    put_examples(&m, appliance_example);
    put(&m, appliance_ending);
    return m.result;
}
