/* SPDX-License-Identifier: Apache-2.0 */
/* Also about slot_efi.c. */
#include "fake_disk.h"
#include "slot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ESP_GUID "8d5ee8a1-0b6f-4a9e-9f6c-0123456789ab"
#define A "8d5ee8a1-0b6f-4a9e-9f6c-0123456789ac"

enum { MB = 2048 };

static void os_release(const char *root, const char *version)
{
    char text[256];

    snprintf(text, sizeof(text), "ID=postern\nIMAGE_ID=postern\nIMAGE_VERSION=\"%s\"\n", version);
    fake_file(root, "/usr/lib/os-release", text, strlen(text));
}

static void uki(const char *root, const char *file)
{
    char path[256];

    snprintf(path, sizeof(path), "/efi/EFI/Linux/%s", file);
    fake_file(root, path, "MZ", 2);
}

/* sda with these labels in its two slots. */
static void disk(const char *root, const char *name, const char *const labels[4])
{
    const struct fake_partition parts[] = {
        {FAKE_ESP, ESP_GUID, "esp", 512 * MB}, {FAKE_ROOT, A, labels[0], 400 * MB},
        {FAKE_VERITY, A, labels[1], 4 * MB},   {FAKE_ROOT, A, labels[2], 300 * MB},
        {FAKE_VERITY, A, labels[3], 3 * MB},
    };

    fake_disk(root, name, parts, 5);
}

static const char *const one[4] = {"postern_1", "postern_1_verity", "_empty", "_empty"};
static const char *const both[4] = {"postern_1", "postern_1_verity", "postern_2",
                                    "postern_2_verity"};

static void test_no_appliance(void **state)
{
    const char *root = fake_root_make();
    static struct slots s;

    assert_int_equal(slots_read(root, &s), ERR_NOTFOUND);
    fake_file(root, "/usr/lib/os-release", "ID=debian\nIMAGE_VERSION=1\n", 26);
    assert_int_equal(slots_read(root, &s), ERR_NOTFOUND);
    os_release(root, "not a version");
    assert_int_equal(slots_read(root, &s), ERR_NOTFOUND);
    assert_string_equal(s.running, "");
    fake_remove(root);
}

/* Nothing but a version is known: no disk, no EFI partition. */
static void test_bare(void **state)
{
    const char *root = fake_root_make();
    static struct slots s;
    uint64_t root_bytes, verity_bytes;

    os_release(root, "1");
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_string_equal(s.running, "1");
    assert_int_equal(s.len, 0);
    assert_string_equal(s.disk, "");
    assert_string_equal(s.esp, "");
    assert_false(s.trial);
    assert_null(slots_running(&s));
    assert_null(slots_other(&s));
    assert_false(slots_room(&s, &root_bytes, &verity_bytes));
    fake_remove(root);
}

/* As first made: one version, one empty slot. */
static void test_first(void **state)
{
    const char *root = fake_root_make();
    static struct slots s;
    uint64_t root_bytes, verity_bytes;

    os_release(root, "1");
    disk(root, "sda", one);
    uki(root, "postern_1+3.efi");
    fake_loader_variable(root, "LoaderBootCountPath", "\\EFI\\Linux\\postern_1+2-1.efi");
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_true(s.efi);
    assert_string_equal(s.disk, "sda");
    assert_string_equal(s.esp, "/efi");
    assert_true(s.trial);
    assert_int_equal(s.len, 2);
    assert_int_equal(s.slots[0].state, SLOT_TRIAL);
    assert_true(s.slots[0].runs);
    assert_true(s.slots[0].next);
    assert_int_equal(s.slots[0].root_bytes, 400 * 1048576);
    assert_int_equal(s.slots[1].state, SLOT_EMPTY);
    assert_null(slots_other(&s));
    assert_true(slots_room(&s, &root_bytes, &verity_bytes));
    assert_int_equal(root_bytes, 300 * 1048576);
    assert_int_equal(verity_bytes, 3 * 1048576);
    fake_remove(root);
}

/* The start was counted, and found healthy since. */
static void test_blessed(void **state)
{
    const char *root = fake_root_make();
    static struct slots s;
    uint64_t root_bytes, verity_bytes;

    os_release(root, "2");
    disk(root, "sda", both);
    uki(root, "postern_1.efi");
    uki(root, "postern_2.efi");
    fake_loader_variable(root, "LoaderBootCountPath", "\\EFI\\Linux\\postern_2+2-1.efi");
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_false(s.trial);
    assert_int_equal(slots_running(&s)->state, SLOT_GOOD);
    assert_string_equal(slots_running(&s)->version, "2");
    assert_true(slots_running(&s)->next);
    assert_string_equal(slots_other(&s)->version, "1");
    assert_true(slots_room(&s, &root_bytes, &verity_bytes));
    assert_int_equal(root_bytes, 400 * 1048576);
    fake_remove(root);
}

/* A row is what the EFI partition has and what was chosen, and what follows from it for version 1,
 * which runs, and 2. */
static void test_states(void **state)
{
    static const struct {
        const char *ukis[3];
        const char *chosen;
        enum slot_state two;
        const char *next;
    } rows[] = {
        {{"postern_1.efi", "postern_2+3.efi"}, NULL, SLOT_TRIAL, "2"},
        {{"postern_1.efi", "postern_2+1-2.efi"}, NULL, SLOT_TRIAL, "2"},
        {{"postern_1.efi", "postern_2+0-3.efi"}, NULL, SLOT_BAD, "1"},
        {{"postern_1.efi", "postern_2.efi"}, NULL, SLOT_GOOD, "2"},
        {{"postern_1.efi", "postern_2.efi"}, "postern_1.efi", SLOT_GOOD, "1"},
        {{"postern_1.efi", "postern_2.efi"}, "postern_3.efi", SLOT_GOOD, "2"},
        {{"postern_1.efi"}, NULL, SLOT_INCOMPLETE, "1"},
        {{"postern_1+0-3.efi", "postern_2+0-3.efi"}, NULL, SLOT_BAD, "2"},
        /* Cut off while it was blessed: the blessed name counts, in either order. */
        {{"postern_1.efi", "postern_2+1-2.efi", "postern_2.efi"}, NULL, SLOT_GOOD, "2"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *root = fake_root_make();
        static struct slots s;

        os_release(root, "1");
        disk(root, "nvme0n1", both);
        for (size_t k = 0; k < 3 && rows[i].ukis[k]; k++)
            uki(root, rows[i].ukis[k]);
        if (rows[i].chosen)
            fake_loader_variable(root, "LoaderEntryDefault", rows[i].chosen);
        assert_int_equal(slots_read(root, &s), ERR_OK);
        assert_int_equal(s.len, 2);
        assert_string_equal(s.slots[0].version, "2");
        assert_int_equal(s.slots[0].state, rows[i].two);
        for (size_t k = 0; k < s.len; k++)
            if (s.slots[k].next != (strcmp(s.slots[k].version, rows[i].next) == 0))
                fail_msg("row %zu, version %s", i, s.slots[k].version);
        fake_remove(root);
    }
}

/* Two disks have a version 1, an installer's stick, say: the boot loader says which it was. */
static void test_two_disks(void **state)
{
    static const struct fake_partition stick[] = {
        {FAKE_ESP, "8d5ee8a1-0b6f-4a9e-9f6c-0000000000ff", "esp", MB},
        {FAKE_ROOT, A, "postern_1", MB},
    };
    const char *root = fake_root_make();
    static struct slots s;
    uint64_t root_bytes, verity_bytes;

    os_release(root, "1");
    fake_disk(root, "sda", stick, 2);
    disk(root, "sdb", one);
    fake_file(root, "/sys/class/block/sdb1/partition", "1\n", 2);
    fake_loader_variable(root, "LoaderDevicePartUUID", "8D5EE8A1-0B6F-4A9E-9F6C-0123456789AB");
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_string_equal(s.disk, "sdb");
    fake_loader_variable(root, "LoaderDevicePartUUID", "8d5ee8a1-0b6f-4a9e-9f6c-0000000000ff");
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_string_equal(s.disk, "sda");
    assert_int_equal(s.len, 1);
    assert_int_equal(s.slots[0].state, SLOT_INCOMPLETE);
    assert_false(slots_room(&s, &root_bytes, &verity_bytes));
    fake_loader_variable(root, "LoaderDevicePartUUID", "00000000-0000-0000-0000-000000000000");
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_string_equal(s.disk, "");
    fake_remove(root);
}

/* An update was cut off between two labels: the partitions without a version are still a place. */
static void test_cut_off(void **state)
{
    static const char *const labels[4] = {"postern_1", "postern_1_verity", "postern_2", "_empty"};
    const char *root = fake_root_make();
    static struct slots s;
    uint64_t root_bytes, verity_bytes;

    os_release(root, "1");
    disk(root, "sda", labels);
    uki(root, "postern_1.efi");
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_int_equal(s.slots[0].state, SLOT_INCOMPLETE);
    assert_true(s.slots[1].runs);
    assert_int_equal(s.slots[2].state, SLOT_EMPTY);
    assert_true(slots_room(&s, &root_bytes, &verity_bytes));
    assert_int_equal(root_bytes, 300 * 1048576);
    assert_int_equal(verity_bytes, 3 * 1048576);
    fake_remove(root);
}

/* A table full of versions is bounded, and what runs never is the target. */
static void test_many(void **state)
{
    struct fake_partition parts[20];
    char labels[20][32];
    const char *root = fake_root_make();
    static struct slots s;
    uint64_t root_bytes, verity_bytes;

    for (size_t i = 0; i < 20; i++) {
        snprintf(labels[i], sizeof(labels[i]), i % 2 ? "postern_%zu_verity" : "postern_%zu",
                 i / 2 + 1);
        parts[i] = (struct fake_partition){i % 2 ? FAKE_VERITY : FAKE_ROOT, A, labels[i], MB};
    }
    os_release(root, "1");
    fake_disk(root, "sda", parts, 20);
    assert_int_equal(slots_read(root, &s), ERR_OK);
    assert_int_equal(s.len, SLOTS_MAX);
    assert_true(slots_room(&s, &root_bytes, &verity_bytes));
    fake_remove(root);
}

static void test_variables(void **state)
{
    const char *root = fake_root_make();
    char text[SLOT_EFI_TEXT], longest[SLOT_EFI_TEXT + 1];

    assert_false(slot_efi_present(root));
    assert_int_equal(slot_efi_write(root, SLOT_EFI_LOADER, "LoaderEntryDefault", "x"), ERR_IO);
    fake_loader_variable(root, "Other", "1");
    assert_true(slot_efi_present(root));
    assert_int_equal(slot_efi_read(root, SLOT_EFI_LOADER, "LoaderEntryDefault", text),
                     ERR_NOTFOUND);
    assert_int_equal(slot_efi_write(root, SLOT_EFI_LOADER, "LoaderEntryDefault", ""), ERR_OK);
    assert_int_equal(slot_efi_write(root, SLOT_EFI_LOADER, "LoaderEntryDefault", "a longer text"),
                     ERR_OK);
    assert_int_equal(slot_efi_write(root, SLOT_EFI_LOADER, "LoaderEntryDefault", "short"), ERR_OK);
    assert_int_equal(slot_efi_read(root, SLOT_EFI_LOADER, "LoaderEntryDefault", text), ERR_OK);
    assert_string_equal(text, "short");
    assert_int_equal(slot_efi_read(root, SLOT_EFI_SYSTEMD, "LoaderEntryDefault", text),
                     ERR_NOTFOUND);
    assert_int_equal(slot_efi_write(root, SLOT_EFI_LOADER, "LoaderEntryDefault", ""), ERR_OK);
    assert_int_equal(slot_efi_read(root, SLOT_EFI_LOADER, "LoaderEntryDefault", text),
                     ERR_NOTFOUND);
    memset(longest, 'x', sizeof(longest));
    longest[SLOT_EFI_TEXT - 1] = '\0';
    assert_int_equal(slot_efi_write(root, SLOT_EFI_SYSTEMD, "Long", longest), ERR_OK);
    assert_int_equal(slot_efi_read(root, SLOT_EFI_SYSTEMD, "Long", text), ERR_OK);
    assert_string_equal(text, longest);
    longest[SLOT_EFI_TEXT - 1] = 'x';
    longest[SLOT_EFI_TEXT] = '\0';
    assert_int_equal(slot_efi_write(root, SLOT_EFI_SYSTEMD, "Long", longest), ERR_IO);
    fake_file(root, "/sys/firmware/efi/efivars/Odd-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
              "\7\0\0\0x", 5);
    assert_int_equal(slot_efi_read(root, SLOT_EFI_LOADER, "Odd", text), ERR_SYNTAX);
    fake_file(root, "/sys/firmware/efi/efivars/Odd-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f", "\7", 1);
    assert_int_equal(slot_efi_read(root, SLOT_EFI_LOADER, "Odd", text), ERR_SYNTAX);
    fake_file(root, "/sys/firmware/efi/efivars/Odd-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
              "\7\0\0\0\x1b\0\xff\xff", 8);
    assert_int_equal(slot_efi_read(root, SLOT_EFI_LOADER, "Odd", text), ERR_OK);
    assert_string_equal(text, "??");
    fake_remove(root);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_appliance), cmocka_unit_test(test_bare),
        cmocka_unit_test(test_first),        cmocka_unit_test(test_blessed),
        cmocka_unit_test(test_states),       cmocka_unit_test(test_two_disks),
        cmocka_unit_test(test_cut_off),      cmocka_unit_test(test_many),
        cmocka_unit_test(test_variables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
