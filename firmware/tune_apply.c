/* SPDX-License-Identifier: Apache-2.0 */
#include "tune.h"

#include <errno.h>
#include <stdio.h>

const char *tune_outcome_text(enum tune_outcome outcome)
{
    static const char *const texts[] = {
        [TUNE_DONE] = "done",       [TUNE_ALREADY] = "already", [TUNE_OTHER] = "other",
        [TUNE_REFUSED] = "refused", [TUNE_GONE] = "gone",
    };

    return texts[outcome];
}

/* What the errno of a refused setting means to a person, where that is not plain. */
static void refusal_text(int error, const char *said, char *out, size_t room)
{
    const char *more = "";

    switch (error) {
    case EPERM:
    case EACCES:
        more = "; root may, outside of containers";
        break;
    case EIO:
        more = "; the kernel itself places this interrupt";
        break;
    case EOPNOTSUPP:
        more = "; this card's driver can't";
        break;
    case EROFS:
        more = "; this container may not";
        break;
    default:
        break;
    }
    if (said[0])
        snprintf(out, room, "%s: %s", strerror(error), said);
    else
        snprintf(out, room, "%s%s", strerror(error), more);
}

static bool is_gone(int error)
{
    return error == ENOENT || error == ENODEV;
}

static void set(const struct tune_io *io, enum tune_kind kind, const char *target,
                const char *value, struct tune_result *ret)
{
    char said[TUNE_WHY_TEXT / 2] = "";
    int error = io->write(io->user, kind, target, value, said, sizeof(said));

    if (error != 0) {
        ret->outcome = is_gone(error) ? TUNE_GONE : TUNE_REFUSED;
        refusal_text(error, said, ret->why, sizeof(ret->why));
        return;
    }
    error = io->read(io->user, kind, target, ret->is, sizeof(ret->is));
    if (error != 0) {
        ret->outcome = TUNE_OTHER;
        snprintf(ret->why, sizeof(ret->why), "it can't be read again: %s", strerror(error));
    } else if (strcmp(ret->is, value) != 0) {
        ret->outcome = TUNE_OTHER;
        snprintf(ret->why, sizeof(ret->why), "the kernel made it %s", ret->is);
    } else {
        ret->outcome = TUNE_DONE;
    }
}

int tune_apply(const struct tune_change *change, const struct tune_io *io,
               struct tune_record *record, struct tune_result *ret)
{
    struct tune_old old = {.kind = change->kind};

    *ret = (struct tune_result){0};
    int error = io->read(io->user, change->kind, change->target, old.value, sizeof(old.value));
    if (error != 0) {
        ret->outcome = is_gone(error) ? TUNE_GONE : TUNE_REFUSED;
        refusal_text(error, "", ret->why, sizeof(ret->why));
        return ERR_OK;
    }
    memcpy(ret->is, old.value, sizeof(ret->is));
    if (strcmp(old.value, change->to) == 0) {
        ret->outcome = TUNE_ALREADY;
        return ERR_OK;
    }
    memcpy(old.target, change->target, sizeof(old.target));
    int result = tune_record_add(record, &old);
    if (result == ERR_OK)
        set(io, change->kind, change->target, change->to, ret);
    return result;
}

void tune_restore(const struct tune_old *old, const struct tune_io *io, struct tune_result *ret)
{
    *ret = (struct tune_result){0};
    int error = io->read(io->user, old->kind, old->target, ret->is, sizeof(ret->is));
    if (error != 0) {
        ret->outcome = is_gone(error) ? TUNE_GONE : TUNE_REFUSED;
        refusal_text(error, "", ret->why, sizeof(ret->why));
    } else if (strcmp(ret->is, old->value) == 0) {
        ret->outcome = TUNE_ALREADY;
    } else {
        set(io, old->kind, old->target, old->value, ret);
    }
}
