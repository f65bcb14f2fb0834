/* SPDX-License-Identifier: Apache-2.0 */
/* Is every certificate that a configuration names on the list once, told of in time, and again a
 * day later? expiry_watch.c is tested here as well. */
#include "cmocka_all.h"

#include "tls_openssl.h"

#include "expiry.h"
#include "supervisor_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NOW INT64_C(1800000000) /* 2027-01-15T08:00:00Z */
#define DAY INT64_C(86400)

static char directory[] = "/tmp/test_expiry.XXXXXX";

static const char *path_of(const char *name)
{
    static char paths[32][64];
    static unsigned next;
    char *path = paths[next++ % 32];

    snprintf(path, sizeof(paths[0]), "%s/%s", directory, name);
    return path;
}

static void add_certificate(FILE *file, const char *cn, int64_t not_after)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();

    assert_non_null(key);
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    ASN1_TIME_set(X509_getm_notBefore(cert), NOW - 1000 * DAY);
    ASN1_TIME_set(X509_getm_notAfter(cert), not_after);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                               (const unsigned char *)cn, -1, -1, 0);
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    X509_set_pubkey(cert, key);
    assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509(file, cert), 1);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* The file has these two, in this order; cn NULL: no second one. */
static const char *certificates(const char *name, const char *cn, int64_t end, const char *cn2,
                                int64_t end2)
{
    FILE *file = fopen(path_of(name), "w");

    assert_non_null(file);
    add_certificate(file, cn, end);
    if (cn2)
        add_certificate(file, cn2, end2);
    assert_int_equal(fclose(file), 0);
    return path_of(name);
}

static const char *const names[] = {"own", "other", "client", "ca", "sts", "junk"};

static int set_up(void **state)
{
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        unlink(path_of(names[i]));
    return rmdir(directory);
}

static const struct {
    enum expiry_use use;
    int64_t not_after;
    const char *file, *name;
} expected[] = {
    {EXPIRY_CA, NOW - DAY, "ca", "old authority"},
    {EXPIRY_PIN, NOW - 5, "clinic.conf", "mx1"},
    {EXPIRY_LISTENER, NOW + DAY, "own", "intermediate"},
    {EXPIRY_NEXT_HOP, NOW + 20 * DAY, "client", "client"},
    {EXPIRY_LISTENER, NOW + 30 * DAY - 1, "other", "other"},
    {EXPIRY_CA, NOW + 30 * DAY, "sts", "sts"},
    {EXPIRY_PIN, NOW + 300 * DAY, "clinic.conf", "mx\"2"},
};
enum { EXPECTED = sizeof(expected) / sizeof(expected[0]), NEAR = 5 };

static struct expiry_list *gathered(unsigned warning_days)
{
    const char *ca = certificates("ca", "authority", NOW + 900 * DAY, "old authority", NOW - DAY);
    struct conf_cert own[] = {
        {.cert = certificates("own", "own", NOW + 90 * DAY, "intermediate", NOW + DAY)}};
    struct conf_cert other[] = {
        {.cert = certificates("other", "other", NOW + 30 * DAY - 1, NULL, 0)}, own[0]};
    struct conf_pins pins = {.partner = "clinic.example",
                             .current = {.name = "mx1", .not_after = NOW - 5},
                             .next = {.name = "mx\"2", .not_after = NOW + 300 * DAY}};
    struct conf_listener listeners[] = {
        {.certificates = other, .certificates_len = 2, .client_ca = ca}, {.client_ca = NULL}};
    struct conf_route routes[3] = {0};
    struct conf_sender senders[] = {{.pin_file = "clinic.conf", .pins = &pins}};
    struct conf conf = {
        .tls = {.certificates = own, .certificates_len = 1, .expiry_warning_days = warning_days},
        .listeners = listeners,
        .listeners_len = 2,
        .routes = routes,
        .routes_len = 3,
        .senders = senders,
        .senders_len = 1,
        .resolver = {.sts_ca = certificates("sts", "sts", NOW + 30 * DAY, NULL, 0)}};
    struct expiry_list *list;

    routes[0].tls.client.cert = certificates("client", "client", NOW + 20 * DAY, NULL, 0);
    routes[0].tls.ca = ca;
    routes[1].tls.pin_file = "clinic.conf";
    routes[1].tls.pins = &pins;
    routes[2].tls.ca = path_of("nowhere");
    fclose(fopen(path_of("junk"), "w"));
    routes[2].tls.client.cert = path_of("junk");
    assert_int_equal(expiry_gather(&conf, &list), ERR_OK);
    return list;
}

static void each_is_there_once_the_first_to_end_first(void **state)
{
    struct expiry_list *list = gathered(30);

    assert_int_equal(list->len, EXPECTED);
    assert_int_equal(list->omitted, 0);
    for (size_t i = 0; i < EXPECTED; i++) {
        const struct expiry_entry *e = &list->entries[i];
        const char *slash = strrchr(e->file, '/');
        assert_string_equal(slash ? slash + 1 : e->file, expected[i].file);
        assert_string_equal(e->name, expected[i].name);
        assert_int_equal(e->use, expected[i].use);
        assert_int_equal(e->not_after, expected[i].not_after);
        assert_int_equal(expiry_is_near(list, e, NOW), i < NEAR);
    }
    free(list);
}

static void of_too_many_those_that_end_first_are_kept(void **state)
{
    enum { PARTNERS = 700 };
    static struct conf_route routes[PARTNERS];
    static struct conf_pins pins[PARTNERS];
    static char files[PARTNERS][16];
    struct conf conf = {.routes = routes, .routes_len = PARTNERS};
    struct expiry_list *list;

    for (int i = 0; i < PARTNERS; i++) { /* neither in their order nor against it */
        snprintf(files[i], sizeof(files[i]), "%d", i);
        pins[i].current = (struct conf_pin){.name = "a", .not_after = NOW + i * 239 % PARTNERS};
        pins[i].next = (struct conf_pin){.name = "b", .not_after = NOW + PARTNERS + i};
        routes[i].tls.pin_file = files[i];
        routes[i].tls.pins = &pins[i];
    }
    assert_int_equal(expiry_gather(&conf, &list), ERR_OK);
    assert_int_equal(list->len, EXPIRY_MAX);
    assert_int_equal(list->omitted, 2 * PARTNERS - EXPIRY_MAX);
    for (int i = 0; i < EXPIRY_MAX; i++)
        assert_int_equal(list->entries[i].not_after, NOW + i);
    free(list);
}

static void days_are_whole_ones(void **state)
{
    static const struct {
        int64_t left, days;
    } rows[] = {
        {-2 * DAY - 1, -3}, {-2 * DAY, -2}, {-DAY - 1, -2},    {-DAY, -1}, {-1, -1}, {0, 0}, {1, 0},
        {DAY - 1, 0},       {DAY, 1},       {30 * DAY - 1, 29}};
    struct expiry_list *list = calloc(1, sizeof(*list));

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        list->entries[0].not_after = NOW + rows[i].left;
        assert_int_equal(expiry_days(list->entries[0].not_after, NOW), rows[i].days);
        list->warning_days = 0;
        assert_int_equal(expiry_is_near(list, &list->entries[0], NOW), rows[i].left < 0);
        list->warning_days = 1;
        assert_int_equal(expiry_is_near(list, &list->entries[0], NOW), rows[i].left < DAY);
    }
    free(list);
}

/* What goes to stderr in between. */
struct captured {
    int saved, fd;
};

static struct captured capture(void)
{
    struct captured c = {dup(STDERR_FILENO), memfd_create("stderr", 0)};

    assert_true(c.saved >= 0 && c.fd >= 0);
    assert_int_equal(dup2(c.fd, STDERR_FILENO), STDERR_FILENO);
    return c;
}

static const char *captured(const struct captured *c)
{
    static char text[8192];
    ssize_t n;

    dup2(c->saved, STDERR_FILENO);
    close(c->saved);
    n = pread(c->fd, text, sizeof(text) - 1, 0);
    close(c->fd);
    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static void the_log_names_each(void **state)
{
    struct expiry_list *list = gathered(30);
    struct captured c = capture();
    char text[4096];

    expiry_log(list, NOW, "supervisor");
    snprintf(text, sizeof(text),
             "supervisor certificate_expired file=%s/ca name=\"old authority\" use=ca "
             "not_after=2027-01-14T08:00:00Z\n"
             "supervisor certificate_expired file=clinic.conf name=\"mx1\" use=pin "
             "not_after=2027-01-15T07:59:55Z\n"
             "supervisor certificate_expires file=%s/own name=\"intermediate\" use=listener "
             "not_after=2027-01-16T08:00:00Z days_left=1\n"
             "supervisor certificate_expires file=%s/client name=\"client\" use=next_hop "
             "not_after=2027-02-04T08:00:00Z days_left=20\n"
             "supervisor certificate_expires file=%s/other name=\"other\" use=listener "
             "not_after=2027-02-14T07:59:59Z days_left=29\n",
             directory, directory, directory, directory);
    assert_string_equal(captured(&c), text);
    free(list);
}

static void the_log_names_a_next_hop(void **state)
{
    struct tls_facts facts = {.peer_name = "mx.clinic.example", .not_after = NOW + 3 * DAY};
    struct captured c = capture();

    expiry_log_peer("mx1.clinic.example", &facts, NOW, "abc");
    facts.not_after = NOW - 1;
    expiry_log_peer("mx2.clinic.example", &facts, NOW, "abd");
    assert_string_equal(
        captured(&c),
        "abc certificate_expires hop=\"mx1.clinic.example\" name=\"mx.clinic.example\" "
        "use=peer not_after=2027-01-18T08:00:00Z days_left=3\n"
        "abd certificate_expired hop=\"mx2.clinic.example\" name=\"mx.clinic.example\" "
        "use=peer not_after=2027-01-15T07:59:59Z\n");
}

static void metrics_have_all(void **state)
{
    struct expiry_list *list = gathered(30);
    char line[256];
    struct buf out;

    buf_init(&out, 0);
    assert_int_equal(expiry_write_metrics(list, &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    const char *text = (const char *)buf_span(&out).ptr;
    assert_non_null(strstr(text, "# TYPE postern_certificate_not_after_seconds gauge\n"));
    snprintf(line, sizeof(line),
             "\npostern_certificate_not_after_seconds{file=\"%s/own\",name=\"intermediate\","
             "use=\"listener\"} 1800086400\n",
             directory);
    assert_non_null(strstr(text, line));
    assert_non_null(
        strstr(text, "{file=\"clinic.conf\",name=\"mx\\\"2\",use=\"pin\"} 1825920000\n"));
    unsigned lines = 0;
    for (const char *p = text; (p = strchr(p, '\n')); p++)
        lines++;
    assert_int_equal(lines, EXPECTED + 2);
    buf_release(&out);
    free(list);
}

/* A partner's next certificate has the name of the one before, as a rule. */
static void metrics_have_no_two_of_the_same_labels(void **state)
{
    struct conf_pins pins = {.partner = "clinic.example",
                             .current = {.name = "mx", .not_after = NOW + 300 * DAY},
                             .next = {.name = "mx", .not_after = NOW + 5 * DAY}};
    struct conf_sender senders[] = {{.pin_file = "clinic.conf", .pins = &pins},
                                    {.pin_file = "lab.conf", .pins = &pins}};
    struct conf conf = {.senders = senders, .senders_len = 2};
    static const char *const lines[] = {"{file=\"clinic.conf\",name=\"mx\",use=\"pin\"} ",
                                        "{file=\"lab.conf\",name=\"mx\",use=\"pin\"} "};
    struct expiry_list *list;
    struct buf out;

    assert_int_equal(expiry_gather(&conf, &list), ERR_OK);
    assert_int_equal(list->len, 4);
    buf_init(&out, 0);
    assert_int_equal(expiry_write_metrics(list, &out), ERR_OK);
    assert_int_equal(buf_append(&out, "", 1), ERR_OK);
    for (size_t i = 0; i < 2; i++) {
        const char *line = strstr((const char *)buf_span(&out).ptr, lines[i]);
        assert_non_null(line);
        line += strlen(lines[i]);
        assert_int_equal(strtoll(line, NULL, 10), NOW + 5 * DAY);
        assert_null(strstr(line, lines[i]));
    }
    buf_release(&out);
    free(list);
}

static int memory_file(void)
{
    int fd = memfd_create("expiry", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_true(fd >= 0);
    return fd;
}

static void what_is_kept_is_read(void **state)
{
    struct expiry_list *list = gathered(7), *again;
    int fd = memory_file();

    assert_int_equal(expiry_keep(list, fd), ERR_OK);
    assert_int_equal(pwrite(fd, "x", 1, 0), -1); /* sealed */
    assert_int_equal(expiry_read(fd, &again), ERR_OK);
    assert_memory_equal(list, again, sizeof(*list));
    free(again);
    free(list);
    close(fd);
}

static void what_is_no_list_is_not_read(void **state)
{
    struct expiry_list *list = gathered(7), *again;
    size_t whole = offsetof(struct expiry_list, entries) + EXPECTED * sizeof(list->entries[0]);
    static const size_t lens[] = {0, 1, offsetof(struct expiry_list, entries) - 1};
    int fd = memory_file();

    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(ftruncate(fd, (off_t)lens[i]), 0);
        assert_int_equal(expiry_read(fd, &again), ERR_SYNTAX);
        assert_null(again);
    }
    assert_int_equal(pwrite(fd, list, whole, 0), whole);
    assert_int_equal(ftruncate(fd, (off_t)whole - 1), 0);
    assert_int_equal(expiry_read(fd, &again), ERR_SYNTAX);
    list->len = EXPIRY_MAX + 1;
    assert_int_equal(pwrite(fd, list, sizeof(*list), 0), sizeof(*list));
    assert_int_equal(expiry_read(fd, &again), ERR_SYNTAX);
    list->len = EXPECTED;
    list->entries[3].use = EXPIRY_PIN + 1;
    assert_int_equal(ftruncate(fd, (off_t)whole), 0);
    assert_int_equal(pwrite(fd, list, whole, 0), whole);
    assert_int_equal(expiry_read(fd, &again), ERR_SYNTAX);
    list->entries[3].use = EXPIRY_PIN;
    memset(list->entries[3].file, 'x', sizeof(list->entries[3].file));
    assert_int_equal(pwrite(fd, list, whole, 0), whole);
    assert_int_equal(expiry_read(fd, &again), ERR_OK);
    assert_int_equal(strlen(again->entries[3].file), sizeof(again->entries[3].file) - 1);
    free(again);
    free(list);
    close(fd);
}

static unsigned lines_of(const char *text)
{
    unsigned lines = 0;

    for (; (text = strstr(text, "supervisor certificate_expired file=")); text++)
        lines++;
    return lines;
}

/* The timer's own moment, in days from now on, to the nearest. */
static double days_ahead(const struct supervisor *s)
{
    uint64_t at = 0, now = 0;

    assert_true(sd_event_source_get_time(s->expiry_timer, &at) >= 0);
    assert_true(sd_event_now(s->event, CLOCK_MONOTONIC, &now) >= 0);
    return ((double)at - (double)now) / 86400e6;
}

/* All of the list has ended by the real clock, in years. */
static void it_is_told_when_it_serves_and_each_day(void **state)
{
    struct supervisor s = {.expiry_fd = -1, .expiry_next_fd = -1, .metrics.channel = -1};
    struct expiry_list *list = calloc(1, sizeof(*list));
    struct captured c;
    int fd = memory_file();

    list->len = 1;
    snprintf(list->entries[0].file, sizeof(list->entries[0].file), "old.pem");
    assert_int_equal(expiry_keep(list, fd), ERR_OK);
    assert_true(sd_event_new(&s.event) >= 0);
    c = capture();
    expiry_offer(&s, fd);
    assert_null(s.expiry_timer);
    expiry_serve(&s);
    assert_int_equal(lines_of(captured(&c)), 1);
    assert_true(days_ahead(&s) > 0.99 && days_ahead(&s) < 1.01);
    for (int day = 0; day < 2; day++) {
        c = capture();
        assert_true(sd_event_source_set_time(s.expiry_timer, 1) >= 0); /* a day is over */
        assert_true(sd_event_run(s.event, 0) >= 0);
        assert_int_equal(lines_of(captured(&c)), 1);
        assert_true(days_ahead(&s) > 0.99 && days_ahead(&s) < 1.01);
    }
    expiry_close(&s);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    sd_event_unref(s.event);
    free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_there_once_the_first_to_end_first),
        cmocka_unit_test(of_too_many_those_that_end_first_are_kept),
        cmocka_unit_test(days_are_whole_ones),
        cmocka_unit_test(the_log_names_each),
        cmocka_unit_test(the_log_names_a_next_hop),
        cmocka_unit_test(metrics_have_all),
        cmocka_unit_test(metrics_have_no_two_of_the_same_labels),
        cmocka_unit_test(what_is_kept_is_read),
        cmocka_unit_test(what_is_no_list_is_not_read),
        cmocka_unit_test(it_is_told_when_it_serves_and_each_day),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
