/* SPDX-License-Identifier: Apache-2.0 */
/* Is it said rightly which fixes of kernel TLS a kernel has, and is nothing trusted that is not
 * known? */
#include "../cmocka_all.h"

#include "platform.h"

static const struct platform_fix *find(const struct platform_fixes *f, const char *id)
{
    for (size_t i = 0; i < f->len; i++)
        if (strcmp(f->fixes[i].id, id) == 0)
            return &f->fixes[i];
    fail_msg("%s is no row", id);
    return NULL;
}

static void check(const char *release, const char *version, const char *id, bool has,
                  const char *why)
{
    struct platform_fixes f;
    const struct platform_fix *fix;

    platform_fixes_decode(release, version, &f);
    fix = find(&f, id);
    if (fix->has != has || !strstr(fix->why, why))
        fail_msg("%s (%s) %s: has %d, \"%s\"", release, version, id, fix->has, fix->why);
}

#define CLOUD_61 "6.1.0-51-cloud-amd64"
#define DEBIAN(version) "#1 SMP PREEMPT_DYNAMIC Debian " version " (2026-09-07)"

static void debian_is_judged_by_its_package(void **state)
{
    struct platform_fixes f;

    /* The release says 6.1.0 whatever is in the package. */
    check(CLOUD_61, DEBIAN("6.1.187-1"), "CVE-2025-38616", true, "fixed in Debian 6.1.187-1");
    check(CLOUD_61, DEBIAN("6.1.176-1"), "CVE-2025-38616", false, "fixed in Debian 6.1.187-1");
    check(CLOUD_61, DEBIAN("6.1.153-1"), "CVE-2025-39682", true, "Debian 6.1.153-1");
    check(CLOUD_61, DEBIAN("6.1.153-2"), "CVE-2025-39682", true, "Debian 6.1.153-1");
    check(CLOUD_61, DEBIAN("6.1.148-1"), "CVE-2025-39682", false, "Debian 6.1.153-1");
    /* A rebuild for an older Debian has what it was made from. */
    check("6.1.0-0.deb11.51-cloud-amd64", DEBIAN("6.1.153-1~deb11u1"), "CVE-2025-39682", true,
          "Debian 6.1.153-1");
    check("6.12.107+deb13-amd64", DEBIAN("6.12.107-1"), "CVE-2026-23240", true, "Debian 6.12.85-1");
    check("6.12.74+deb13-amd64", DEBIAN("6.12.74-2"), "CVE-2026-23240", false, "6.12.85-1");
    /* Not in any package of its series yet: by the release that it is made from. */
    check("6.18.21+deb14-amd64", DEBIAN("6.18.21-1"), "CVE-2026-23414", true, "6.18.21");
    check("6.18.20+deb14-amd64", DEBIAN("6.18.20-1"), "CVE-2026-23414", false, "6.18.21");
    /* Never given to 6.1. */
    check(CLOUD_61, DEBIAN("6.1.192-2"), "CVE-2026-23240", false, "not known for this series");
    platform_fixes_decode(CLOUD_61, DEBIAN("6.1.187-1"), &f);
    assert_string_equal(f.package, "Debian 6.1.187-1");
    /* Debian 13 of autumn 2026 has them all. */
    platform_fixes_decode("6.12.107+deb13-amd64", DEBIAN("6.12.107-1"), &f);
    assert_int_equal(f.lacking, 0);
}

static void others_are_judged_by_their_release(void **state)
{
    static const char version[] = "#1 SMP PREEMPT_DYNAMIC Sat Jul  4 15:38:16 UTC 2026";
    struct platform_fixes f;

    check("6.12.44", version, "CVE-2025-39682", true, "fixed in 6.12.44");
    check("6.12.43", version, "CVE-2025-39682", false, "fixed in 6.12.44");
    check("6.12.43-custom", version, "CVE-2025-38616", true, "fixed in 6.12.43");
    /* A distribution that keeps the release and adds fixes: not known here. */
    check("6.8.0-124-generic", "#124-Ubuntu SMP", "CVE-2025-38616", false, "not known");
    check("6.12.0-124.el10.x86_64", version, "CVE-2025-38616", false, "fixed in 6.12.43");
    check("7.2.0", version, "commit 7bca91d63341", true, "since 7.2");
    check("10.0.1", version, "commit 7bca91d63341", true, "since 7.2");
    check("7.1.8", version, "commit 7bca91d63341", false, "fixed in 7.1.9");
    platform_fixes_decode("7.3.1", version, &f);
    assert_int_equal(f.lacking, 0);
    assert_true(f.len >= 5);
    assert_string_equal(f.package, "Linux 7.3.1");
}

static void faults_that_came_later_are_not_lacking(void **state)
{
    static const char version[] = "#1 SMP";

    check("6.1.157", version, "CVE-2026-23414", true, "came later");
    check("6.1.158", version, "CVE-2026-23414", false, "6.1.168");
    check("6.1.168", version, "CVE-2026-23414", true, "6.1.168");
    check("6.13.7", version, "CVE-2026-23414", true, "came later");
    check("6.17.4", version, "CVE-2026-23414", true, "came later");
    check("6.17.13", version, "CVE-2026-23414", false, "not known");
    check("5.15.1", version, "CVE-2025-39946", true, "came later");
    /* Of a series that was left without the fix. */
    check("6.15.12", version, "CVE-2025-39682", false, "not known");
}

static void candidates_and_nonsense_lack(void **state)
{
    static const char *const odd[] = {"", "x", "6", "6.", "six.one", "-6.12.1", "99999999999.1"};
    struct platform_fixes f;

    check("6.17.0-rc1", "#1 SMP", "CVE-2025-38616", false, "6.17");
    check("6.18.0-rc1", "#1 SMP", "CVE-2025-38616", true, "6.17");
    check("7.0-rc1-cloud-amd64", DEBIAN("7.0~rc1-1~exp1"), "CVE-2026-23240", false, "7.0");
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        platform_fixes_decode(odd[i], "#1 SMP", &f);
        assert_int_equal(f.lacking, f.len);
        assert_non_null(strstr(f.fixes[0].why, "can't be read"));
    }
    platform_fixes_decode("6.12.107+deb13-amd64", "Debian nonsense", &f);
    assert_int_equal(f.lacking, f.len);
}

/* "rc" is in the names of machines and distributions too. */
static void machines_are_no_candidates(void **state)
{
    check("6.17.9-300.fc43.aarch64", "#1 SMP", "CVE-2025-38616", true, "since 6.17");
    check("6.16.2-arch1-1", "#1 SMP", "CVE-2025-38616", true, "fixed in 6.16.2");
    check("6.16.1-arch1-1", "#1 SMP", "CVE-2025-38616", false, "fixed in 6.16.2");
    check("6.12.43-aarch64", "#1 SMP", "CVE-2025-38616", true, "fixed in 6.12.43");
    check("6.12.0-124.el10.aarch64", "#1 SMP", "CVE-2025-38616", false, "fixed in 6.12.43");
    check("6.17-rc4", "#1 SMP", "CVE-2025-38616", false, "6.17");
    check("6.17.0-0.rc4.36.fc44.aarch64", "#1 SMP", "CVE-2025-38616", false, "6.17");
    check("6.18+unreleased-amd64", DEBIAN("6.17~rc4-1~exp1"), "CVE-2025-38616", false, "6.17");
}

static void releases_are_ordered(void **state)
{
    assert_true(platform_kernel_since("6.12.0-124.el10.aarch64", 6, 12));
    assert_true(platform_kernel_since("6.16.1-arch1-1", 6, 16));
    assert_true(platform_kernel_since("6.5.0", 6, 5));
    assert_true(platform_kernel_since("6.12.0-124.el10.x86_64", 6, 5));
    assert_true(platform_kernel_since("7.0.1", 6, 5));
    assert_false(platform_kernel_since("6.4.16", 6, 5));
    assert_false(platform_kernel_since("6.5.0-rc3", 6, 5));
    assert_false(platform_kernel_since("", 6, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(debian_is_judged_by_its_package),
        cmocka_unit_test(others_are_judged_by_their_release),
        cmocka_unit_test(faults_that_came_later_are_not_lacking),
        cmocka_unit_test(candidates_and_nonsense_lack),
        cmocka_unit_test(machines_are_no_candidates),
        cmocka_unit_test(releases_are_ordered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
