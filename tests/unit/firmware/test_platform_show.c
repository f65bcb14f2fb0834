/* SPDX-License-Identifier: Apache-2.0 */
/* Does a probe of this machine come through, and do text and JSON say what was found? */
#include "../cmocka_all.h"

#include "platform.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static struct platform sample(void)
{
    struct platform p = {.kernel = "Linux 6.12.1",
                         .machine = "x86_64",
                         .cpu = {.model = "Some \"CPU\"", .len = 1},
                         .ktls = {.ulp = true, .rekey = true},
                         .fixes = {.package = "Debian 6.12.1-1", .len = 1, .lacking = 1},
                         .ring = {.available = true, .usable = false, .len = 1},
                         .nics_len = 1,
                         .huge_len = 1};

    p.cpu.features[0] = (struct platform_feature){.name = "vaes", .text = "wide", .has = true};
    p.ktls.ciphers[KTLS_TLS13_AES128].tx = true;
    p.fixes.fixes[0] = (struct platform_fix){.id = "CVE-1", .text = "a crash", .why = "fixed in 9"};
    p.ring.features[0] = (struct platform_feature){.name = "recv", .text = "tried", .needed = true};
    snprintf(p.ring.why, sizeof(p.ring.why), "the kernel lacks recv");
    p.nics[0] = (struct platform_nic){.name = "eth0",
                                      .driver = "mlx5_core",
                                      .can = {true, true, false},
                                      .on = {true, false, false}};
    p.huge[0] = (struct platform_huge){.size_kb = 2048, .total = 8, .free = 3};
    return p;
}

static void text_says_it(void **state)
{
    const struct platform p = sample();
    static const char *const lines[] = {
        "kernel      Linux 6.12.1 (x86_64)\n",
        "  vaes               yes  wide\n",
        "kernel TLS  yes\n",
        "  TLS1.3 AES-128-GCM         send yes  receive no\n",
        "  TLS1.2 AES-128-GCM         send no   receive no\n",
        "  new keys after KeyUpdate   yes\n",
        "  splice without a copy      no\n",
        "fixes       Debian 6.12.1-1 lacks 1 of 1 that kernel TLS needs\n",
        "  CVE-1                lacking  fixed in 9; a crash\n",
        "io_uring    too little for the uring transport: the kernel lacks recv\n",
        "  recv               no   tried, needed\n",
        "  eth0               driver mlx5_core    send on    receive off   whole records none\n",
        "  2048 KB: 3 of 8 free\n",
    };
    char *text;

    assert_int_equal(platform_text(&p, &text), ERR_OK);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        if (!strstr(text, lines[i]))
            fail_msg("\"%s\" is missing in: %s", lines[i], text);
    }
    free(text);
}

static const char *string_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void json_says_it(void **state)
{
    const struct platform p = sample();
    char *text;

    assert_int_equal(platform_json(&p, &text), ERR_OK);
    json_t *root = json_loads(text, 0, NULL);
    assert_non_null(root);
    json_t *cpu = json_object_get(root, "cpu"), *ring = json_object_get(root, "io_uring");
    json_t *ktls = json_object_get(root, "kernel_tls");
    json_t *fixes = json_object_get(root, "kernel_fixes");
    json_t *fix = json_array_get(json_object_get(fixes, "fixes"), 0);
    json_t *cipher = json_array_get(json_object_get(ktls, "ciphers"), 0);
    json_t *nic = json_array_get(json_object_get(root, "interfaces"), 0);
    json_t *huge = json_array_get(json_object_get(root, "huge_pages"), 0);
    assert_string_equal(string_of(root, "kernel"), "Linux 6.12.1");
    assert_string_equal(string_of(cpu, "model"), "Some \"CPU\"");
    assert_true(json_is_true(json_object_get(json_object_get(cpu, "features"), "vaes")));
    assert_true(json_is_true(json_object_get(ktls, "available")));
    assert_string_equal(string_of(cipher, "cipher"), "TLS1.3 AES-128-GCM");
    assert_true(json_is_true(json_object_get(cipher, "tx")));
    assert_true(json_is_false(json_object_get(cipher, "rx")));
    assert_true(json_is_true(json_object_get(ktls, "rekey")));
    assert_true(json_is_false(json_object_get(ktls, "splice_pages")));
    assert_string_equal(string_of(fixes, "package"), "Debian 6.12.1-1");
    assert_int_equal(json_integer_value(json_object_get(fixes, "lacking")), 1);
    assert_string_equal(string_of(fix, "id"), "CVE-1");
    assert_true(json_is_false(json_object_get(fix, "there")));
    assert_string_equal(string_of(fix, "why"), "fixed in 9");
    assert_true(json_is_false(json_object_get(ring, "usable")));
    assert_true(json_is_false(json_object_get(json_object_get(ring, "features"), "recv")));
    assert_string_equal(string_of(nic, "driver"), "mlx5_core");
    assert_string_equal(string_of(json_object_get(nic, "tls"), "tls-hw-tx-offload"), "on");
    assert_string_equal(string_of(json_object_get(nic, "tls"), "tls-hw-rx-offload"), "off");
    assert_string_equal(string_of(json_object_get(nic, "tls"), "tls-hw-record"), "none");
    assert_int_equal(json_integer_value(json_object_get(huge, "free")), 3);
    json_decref(root);
    free(text);
}

static unsigned descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned count = 0;

    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* Whatever this machine has: an answer comes, nothing stays open. */
static void this_machine_is_probed(void **state)
{
    static struct platform p;
    unsigned before = descriptors();
    char *text;

    platform_probe(&p);
    assert_int_equal(descriptors(), before);
    assert_memory_equal(p.kernel, "Linux ", 6);
    assert_true(p.ktls.ulp || p.ktls.why[0] != '\0');
    assert_true(p.fixes.len > 0 && p.fixes.package[0] != '\0');
    assert_true(p.ring.usable || p.ring.why[0] != '\0');
    assert_true(p.nics_len > 0 || p.nics_why[0] != '\0');
    assert_int_equal(platform_text(&p, &text), ERR_OK);
    free(text);
    assert_int_equal(platform_json(&p, &text), ERR_OK);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_says_it),
        cmocka_unit_test(json_says_it),
        cmocka_unit_test(this_machine_is_probed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
