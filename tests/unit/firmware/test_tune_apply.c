/* SPDX-License-Identifier: Apache-2.0 */
/* Is every old value on record before it is changed, and does each come back: after refusals, after
 * a crash half-way, after a second tune? */
#include "../cmocka_all.h"

#include "tree.h"
#include "tune.h"

#include <errno.h>

/* A machine of four settings that a test can make refuse, round, or crash. */
enum { SETTINGS = 4 };

struct fake {
    char values[SETTINGS][TUNE_VALUE_TEXT];
    int refuse[SETTINGS]; /* errno of writing */
    bool round[SETTINGS]; /* takes "100" for whatever is written */
    bool gone[SETTINGS];
    int writes;
    struct tree tree;
    struct tune_record record;
    struct tune_io io;
};

static int fake_read(void *user, enum tune_kind kind, const char *target, char *out, size_t room)
{
    struct fake *f = user;
    int i = target[0] - 'a';

    assert_int_equal(kind, TUNE_KIND_RING);
    if (f->gone[i])
        return ENODEV;
    snprintf(out, room, "%s", f->values[i]);
    return 0;
}

static int fake_write(void *user, enum tune_kind kind, const char *target, const char *value,
                      char *why, size_t room)
{
    struct fake *f = user;
    int i = target[0] - 'a';

    why[0] = '\0';
    f->writes++;
    if (f->refuse[i] == ERANGE)
        snprintf(why, room, "requested ring size exceeds maximum");
    if (f->refuse[i])
        return f->refuse[i];
    snprintf(f->values[i], sizeof(f->values[i]), "%s", f->round[i] ? "100" : value);
    return 0;
}

static void begin(struct fake *f)
{
    *f = (struct fake){.io = {.user = f, .read = fake_read, .write = fake_write}};
    for (int i = 0; i < SETTINGS; i++)
        snprintf(f->values[i], sizeof(f->values[i]), "%d", i);
    tree_make(&f->tree);
    assert_int_equal(tune_record_open(f->tree.path, &f->record), ERR_OK);
    assert_int_equal(f->record.len, 0);
}

/* As after a crash: all that is known is the file. */
static void again(struct fake *f)
{
    tune_record_close(&f->record);
    assert_int_equal(tune_record_open(f->tree.path, &f->record), ERR_OK);
}

static void end(struct fake *f)
{
    tune_record_close(&f->record);
    tree_remove(&f->tree);
}

static struct tune_result change(struct fake *f, const char *target, const char *to)
{
    struct tune_change c = {.kind = TUNE_KIND_RING, .why = "it is a test"};
    struct tune_result result;

    snprintf(c.target, sizeof(c.target), "%s", target);
    snprintf(c.to, sizeof(c.to), "%s", to);
    assert_int_equal(tune_apply(&c, &f->io, &f->record, &result), ERR_OK);
    return result;
}

static void revert(struct fake *f)
{
    for (size_t i = f->record.len; i > 0; i--) {
        struct tune_result result;
        tune_restore(&f->record.olds[i - 1], &f->io, &result);
        assert_true(result.outcome == TUNE_DONE || result.outcome == TUNE_ALREADY);
    }
}

static void old_values_come_back(void **state)
{
    struct fake f;

    begin(&f);
    assert_int_equal(change(&f, "a rx", "10").outcome, TUNE_DONE);
    assert_int_equal(change(&f, "b rx", "11").outcome, TUNE_DONE);
    assert_int_equal(change(&f, "a rx", "10").outcome, TUNE_ALREADY);
    again(&f);
    assert_int_equal(change(&f, "a rx", "12").outcome, TUNE_DONE); /* a second tune */
    assert_int_equal(f.record.len, 2);
    again(&f);
    assert_string_equal(f.record.olds[0].value, "0"); /* of the first */
    revert(&f);
    assert_string_equal(f.values[0], "0");
    assert_string_equal(f.values[1], "1");
    assert_int_equal(tune_record_clear(&f.record), ERR_OK);
    again(&f);
    assert_int_equal(f.record.len, 0);
    end(&f);
}

/* Who has opened the file while another held it waits for that one's end, and then writes to it. */
static void a_record_that_is_empty_is_the_same_file(void **state)
{
    struct fake f;
    struct stat st;

    begin(&f);
    assert_int_equal(change(&f, "a rx", "10").outcome, TUNE_DONE);
    int other = openat(f.tree.root, "tune.state", O_RDWR | O_CLOEXEC);
    assert_true(other >= 0);
    assert_int_equal(tune_record_clear(&f.record), ERR_OK);
    assert_int_equal(fstat(other, &st), 0);
    assert_int_equal(st.st_nlink, 1);
    close(other);
    assert_int_equal(change(&f, "b rx", "11").outcome, TUNE_DONE);
    again(&f);
    assert_int_equal(f.record.len, 1);
    assert_string_equal(f.record.olds[0].target, "b rx");
    end(&f);
}

static void refusals_are_told_and_not_the_end(void **state)
{
    struct fake f;

    begin(&f);
    f.refuse[0] = ERANGE;
    f.refuse[1] = EIO;
    f.round[2] = true;
    f.gone[3] = true;
    struct tune_result result = change(&f, "a rx", "10");
    assert_int_equal(result.outcome, TUNE_REFUSED);
    assert_non_null(strstr(result.why, "requested ring size exceeds maximum"));
    assert_string_equal(f.values[0], "0");
    result = change(&f, "b rx", "10");
    assert_int_equal(result.outcome, TUNE_REFUSED);
    assert_non_null(strstr(result.why, "the kernel itself places this interrupt"));
    result = change(&f, "c rx", "99");
    assert_int_equal(result.outcome, TUNE_OTHER);
    assert_string_equal(result.is, "100");
    assert_string_equal(result.why, "the kernel made it 100");
    result = change(&f, "d rx", "10");
    assert_int_equal(result.outcome, TUNE_GONE);
    /* What was refused is as it was; what was rounded comes back. */
    f.refuse[0] = f.refuse[1] = 0;
    f.round[2] = false;
    again(&f);
    assert_int_equal(f.record.len, 3);
    revert(&f);
    assert_string_equal(f.values[0], "0");
    assert_string_equal(f.values[2], "2");
    end(&f);
}

/* Killed between the record and the change: there is nothing to bring back, and that is no harm. */
static void a_crash_before_the_change_is_no_harm(void **state)
{
    const struct tune_old old = {.kind = TUNE_KIND_RING, .target = "a rx", .value = "0"};
    struct tune_result result;
    struct fake f;

    begin(&f);
    assert_int_equal(tune_record_add(&f.record, &old), ERR_OK);
    again(&f);
    assert_int_equal(f.record.len, 1);
    tune_restore(&f.record.olds[0], &f.io, &result);
    assert_int_equal(result.outcome, TUNE_ALREADY);
    assert_int_equal(f.writes, 0);
    f.gone[0] = true; /* the card was pulled */
    tune_restore(&f.record.olds[0], &f.io, &result);
    assert_int_equal(result.outcome, TUNE_GONE);
    end(&f);
}

/* Killed within the record's write: that change was not made; the next write begins a line. */
static void a_cut_record_is_read(void **state)
{
    struct fake f;

    begin(&f);
    assert_int_equal(change(&f, "a rx", "10").outcome, TUNE_DONE);
    assert_int_equal(write(f.record.fd, "ring\tb rx\t", 10), 10);
    again(&f);
    assert_int_equal(f.record.len, 1);
    assert_int_equal(change(&f, "b rx", "10").outcome, TUNE_DONE);
    again(&f);
    assert_int_equal(f.record.len, 2);
    revert(&f);
    assert_string_equal(f.values[0], "0");
    assert_string_equal(f.values[1], "1");
    end(&f);
}

static void nothing_changes_without_a_record(void **state)
{
    struct tune_change c = {
        .kind = TUNE_KIND_RING, .target = "a rx", .to = "10", .why = "it is a test"};
    struct tune_result result;
    struct fake f;

    begin(&f);
    close(f.record.fd);
    f.record.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_int_equal(tune_apply(&c, &f.io, &f.record, &result), ERR_SYSTEM);
    assert_int_equal(f.writes, 0);
    assert_string_equal(f.values[0], "0");
    end(&f);
}

static void only_one_may_tune(void **state)
{
    struct tune_record second;
    struct fake f;

    begin(&f);
    assert_int_equal(tune_record_open(f.tree.path, &second), ERR_STATE);
    tune_record_close(&second);
    end(&f);
}

static void nonsense_is_not_taken_for_a_record(void **state)
{
    static const char *const bad[] = {
        "x",
        "postern-tune 2\n",
        "postern-tune 1\nring\n",
        "postern-tune 1\nring\ta rx\n",
        "postern-tune 1\nring\ta rx\t\n",
        "postern-tune 1\nother\ta rx\t1\n",
        "postern-tune 1\nfile\t/etc/passwd\t1\n",
        "postern-tune 1\nfile\tsys/../etc/passwd\t1\n",
        "postern-tune 1\nmask\t..\t1\n",
        "postern-tune 1\nring\ta rx\t1\x01\n",
        "postern-tune 1\nring\ta "
        "rx\t1111111111111111111111111111111111111111111111111111111111111111"
        "\n",
    };
    struct tune_record record;
    struct tree tree;

    tree_make(&tree);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        tree_put(&tree, "tune.state", bad[i]);
        if (tune_record_open(tree.path, &record) != ERR_SYNTAX)
            fail_msg("row %zu is taken", i);
        tune_record_close(&record);
    }
    tree_put(&tree, "tune.state", "postern-tu"); /* its first write was cut */
    assert_int_equal(tune_record_open(tree.path, &record), ERR_OK);
    assert_int_equal(record.len, 0);
    const struct tune_old odd = {.kind = TUNE_KIND_RING, .target = "a\nb", .value = "1"};
    assert_int_equal(tune_record_add(&record, &odd), ERR_SYNTAX);
    tune_record_close(&record);
    assert_int_equal(tune_record_open("/proc/nowhere", &record), ERR_SYSTEM);
    tune_record_close(&record);
    tree_remove(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_values_come_back),
        cmocka_unit_test(a_record_that_is_empty_is_the_same_file),
        cmocka_unit_test(refusals_are_told_and_not_the_end),
        cmocka_unit_test(a_crash_before_the_change_is_no_harm),
        cmocka_unit_test(a_cut_record_is_read),
        cmocka_unit_test(nothing_changes_without_a_record),
        cmocka_unit_test(only_one_may_tune),
        cmocka_unit_test(nonsense_is_not_taken_for_a_record),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
