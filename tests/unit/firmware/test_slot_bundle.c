/* SPDX-License-Identifier: Apache-2.0 */
#include "slot_bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define HASH "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define ROOT HASH "  postern_1.2_x86-64.root\n"
#define VERITY HASH "  postern_1.2_x86-64.verity\n"
#define UKI HASH "  postern_1.2_x86-64.efi\n"

static void test_list(void **state)
{
    struct slot_bundle_list list;

    assert_int_equal(slot_bundle_list_parse(span_str(ROOT VERITY UKI), &list), ERR_OK);
    assert_string_equal(list.version, "1.2");
    assert_string_equal(list.architecture, "x86-64");
    assert_string_equal(list.files[SLOT_BUNDLE_ROOT].name, "postern_1.2_x86-64.root");
    assert_string_equal(list.files[SLOT_BUNDLE_UKI].name, "postern_1.2_x86-64.efi");
    assert_int_equal(list.files[SLOT_BUNDLE_VERITY].sha256[1], 0x11);
    assert_int_equal(list.files[SLOT_BUNDLE_VERITY].sha256[31], 0xff);
    assert_int_equal(slot_bundle_list_parse(span_str(HASH "  postern_1_arm64.root\n" HASH
                                                          "  postern_1_arm64.verity\n" HASH
                                                          "  postern_1_arm64.efi\n"),
                                            &list),
                     ERR_OK);
    assert_string_equal(list.architecture, "arm64");
}

static void test_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        ROOT VERITY,
        ROOT VERITY HASH "  postern_1.2_x86-64.efi", /* its last line has no end */
        ROOT VERITY UKI UKI,
        ROOT VERITY UKI "\n",
        VERITY ROOT UKI,
        ROOT VERITY HASH "  postern_1.3_x86-64.efi\n",
        ROOT VERITY HASH "  postern_1.2_arm64.efi\n",
        ROOT VERITY HASH "  postern_1.2_x86-64.efi.efi\n",
        ROOT VERITY HASH " *postern_1.2_x86-64.efi\n",
        ROOT VERITY HASH "  ../postern_1.2_x86-64.efi\n",
        ROOT VERITY HASH "  postern_1.2_x86/64.efi\n",
        ROOT VERITY HASH "  postern_1.2_.efi\n",
        ROOT VERITY HASH "  postern__x86-64.efi\n",
        ROOT VERITY HASH "  postern_v1_x86-64.efi\n",
        ROOT VERITY HASH "  postern_1.2.efi\n",
        ROOT VERITY HASH "  \n",
        ROOT VERITY HASH "0  postern_1.2_x86-64.efi\n",
        ROOT VERITY "0  postern_1.2_x86-64.efi\n",
        "g" ROOT,
        ROOT VERITY "A0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
                    "  postern_1.2_x86-64.efi\n",
    };
    struct slot_bundle_list list;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (slot_bundle_list_parse(span_str(texts[i]), &list) != ERR_SYNTAX)
            fail_msg("row %zu", i);
}

/* Each start of a good list, and each with a byte that is another. */
static void test_bytes(void **state)
{
    static const char text[] = ROOT VERITY UKI;
    struct slot_bundle_list list;

    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        char *exact = malloc(len + 1); /* so that a look behind its end shows */
        assert_non_null(exact);
        memcpy(exact, text, len);
        assert_int_equal(slot_bundle_list_parse(span_make(exact, len), &list), ERR_SYNTAX);
        free(exact);
    }
    for (size_t at = 0; at < sizeof(text) - 1; at++) {
        char changed[sizeof(text)];
        memcpy(changed, text, sizeof(text));
        changed[at] = '\0';
        assert_int_equal(slot_bundle_list_parse(span_make(changed, sizeof(text) - 1), &list),
                         ERR_SYNTAX);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
