/* SPDX-License-Identifier: Apache-2.0 */
#include "tune_show.h"

#include "buf.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

int tune_report_add(struct tune_report *report, const struct tune_change *change,
                    const struct tune_result *result)
{
    if (report->len == report->cap) {
        size_t cap = report->cap ? 2 * report->cap : 64;
        struct tune_done *changes = reallocarray(report->changes, cap, sizeof(*changes));
        if (!changes)
            return ERR_NOMEM;
        report->changes = changes;
        report->cap = cap;
    }
    struct tune_done *done = &report->changes[report->len++];
    *done = (struct tune_done){.change = *change, .tried = result != NULL};
    if (result)
        done->result = *result;
    return ERR_OK;
}

void tune_report_notes(struct tune_report *report, const struct tune_plan *plan)
{
    report->notes_len = plan->notes_len;
    memcpy(report->notes, plan->notes, sizeof(report->notes));
}

void tune_report_free(struct tune_report *report)
{
    free(report->changes);
    *report = (struct tune_report){0};
}

const struct tune_done *tune_report_find(const struct tune_report *report,
                                         const struct tune_change *change)
{
    for (size_t i = 0; i < report->len; i++) {
        const struct tune_change *c = &report->changes[i].change;
        if (c->kind == change->kind && strcmp(c->target, change->target) == 0 &&
            strcmp(c->to, change->to) == 0)
            return &report->changes[i];
    }
    return NULL;
}

static size_t count_of(const struct tune_report *report, enum tune_outcome outcome)
{
    size_t count = 0;

    for (size_t i = 0; i < report->len; i++)
        count += report->changes[i].tried && report->changes[i].result.outcome == outcome;
    return count;
}

/* --- text --------------------------------------------------------------------------------- */

static void put_change(struct buf *b, const struct tune_done *d, int *ret)
{
    const struct tune_change *c = &d->change;

    if (*ret == ERR_OK)
        *ret = buf_printf(b, "  %-8s %s: %s -> %s\n",
                          d->tried ? tune_outcome_text(d->result.outcome) : "plan", c->target,
                          c->from[0] ? c->from : "?", c->to);
    if (*ret == ERR_OK && d->tried && d->result.why[0])
        *ret = buf_printf(b, "           not done: %s\n", d->result.why);
}

/* Changes that are made for the same reason stand together. */
static int put_changes(struct buf *b, const struct tune_report *r)
{
    int result = ERR_OK;

    for (size_t i = 0; i < r->len && result == ERR_OK; i++) {
        const struct tune_change *c = &r->changes[i].change;
        bool same = i > 0 && r->changes[i - 1].change.why == c->why;
        if (!same)
            result = buf_printf(b, "%s%s%s\n", r->reverted ? "" : tune_group_name(c->group),
                                r->reverted ? "" : ": ", c->why);
        put_change(b, &r->changes[i], &result);
    }
    return result;
}

static int put_sum(struct buf *b, const struct tune_report *r)
{
    if (r->len == 0)
        return buf_printf(b, r->reverted ? "Nothing was changed that could be brought back.\n"
                                         : "Nothing to change: all is as it should be.\n");
    if (r->dry)
        return buf_printf(b, "%zu changes planned, none made.\n", r->len);
    return buf_printf(b, "%zu %s, %zu as they were, %zu otherwise, %zu refused, %zu gone.\n",
                      count_of(r, TUNE_DONE), r->reverted ? "brought back" : "changed",
                      count_of(r, TUNE_ALREADY), count_of(r, TUNE_OTHER), count_of(r, TUNE_REFUSED),
                      count_of(r, TUNE_GONE));
}

int tune_report_text(const struct tune_report *report, char **ret)
{
    struct buf b;

    buf_init(&b, 0);
    *ret = NULL;
    int result = put_changes(&b, report);
    for (size_t i = 0; i < report->notes_len && result == ERR_OK; i++)
        result = buf_printf(&b, "%s: %s\n", report->notes[i].warns ? "warning" : "note",
                            report->notes[i].text);
    if (result == ERR_OK)
        result = put_sum(&b, report);
    if (result == ERR_OK)
        result = buf_append(&b, "", 1);
    if (result == ERR_OK)
        *ret = (char *)b.data;
    else
        buf_release(&b);
    return result;
}

/* --- JSON --------------------------------------------------------------------------------- */

static json_t *change_json(const struct tune_report *r, const struct tune_done *d)
{
    const struct tune_change *c = &d->change;

    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "group",
                     r->reverted ? "" : tune_group_name(c->group), "kind", tune_kind_name(c->kind),
                     "target", c->target, "from", c->from, "to", c->to, "why", c->why, "outcome",
                     d->tried ? tune_outcome_text(d->result.outcome) : "planned", "is",
                     d->tried ? d->result.is : c->from, "trouble", d->tried ? d->result.why : "");
}

int tune_report_json(const struct tune_report *report, char **ret)
{
    json_t *changes = json_array(), *notes = json_array();
    bool whole = changes && notes;

    for (size_t i = 0; i < report->len; i++)
        whole =
            whole && json_array_append_new(changes, change_json(report, &report->changes[i])) == 0;
    for (size_t i = 0; i < report->notes_len; i++)
        whole = whole && json_array_append_new(notes, json_pack("{s:b, s:s}", "warns",
                                                                report->notes[i].warns, "text",
                                                                report->notes[i].text)) == 0;
    json_t *root =
        json_pack("{s:b, s:o, s:o}", "dry_run", report->dry, "changes", changes, "notes", notes);
    *ret = root && whole ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return *ret ? ERR_OK : ERR_NOMEM;
}

/* --- notice ------------------------------------------------------------------------------- */

bool tune_report_notice(const struct tune_report *report, char *out, size_t room)
{
    size_t refused = count_of(report, TUNE_REFUSED);

    for (size_t i = 0; i < report->notes_len; i++) {
        if (!report->notes[i].warns)
            continue;
        snprintf(out, room, "%s", report->notes[i].text);
        return true;
    }
    for (size_t i = 0; i < report->len && refused > 0; i++) {
        const struct tune_done *d = &report->changes[i];
        if (!d->tried || d->result.outcome != TUNE_REFUSED)
            continue;
        snprintf(out, room, "%zu settings were refused, the first %s: %s", refused,
                 d->change.target, d->result.why);
        return true;
    }
    snprintf(out, room,
             report->reverted ? "the machine is not tuned, %zu settings are as they were before"
                              : "the machine is tuned, %zu settings changed",
             count_of(report, TUNE_DONE));
    return false;
}
