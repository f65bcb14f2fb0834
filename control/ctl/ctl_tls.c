/* SPDX-License-Identifier: Apache-2.0 */
#include "ctl_tls.h"

#include "ctl.h"
#include "explain_priv.h"
#include "resolver_ask.h"
#include "server_check.h"

#include <netdb.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

enum { SMTP_PORT = 25, ADDRESSES_MAX = 8, TIMEOUT_S = 30 };

struct target {
    char host[DNS_NAME_MAX + 1];
    uint16_t port;
    bool is_addr;
    union net_addr addr;
};

/* "host", "host:port", an address, "[address]:port". */
static bool target_read(const char *text, struct target *ret)
{
    const char *colon = strrchr(text, ':');
    size_t len = strlen(text);
    uint64_t port = SMTP_PORT;

    *ret = (struct target){.port = SMTP_PORT};
    if (net_addr_parse_ip(span_str(text), SMTP_PORT, &ret->addr) == ERR_OK ||
        net_addr_parse(span_str(text), &ret->addr) == ERR_OK) {
        ret->is_addr = true;
        ret->port = net_addr_port(&ret->addr);
        net_addr_ip_text(&ret->addr, ret->host);
        return true;
    }
    if (colon) {
        len = (size_t)(colon - text);
        if (span_to_u64(span_str(colon + 1), UINT16_MAX, &port) != ERR_OK || port == 0)
            return false;
    }
    ret->port = (uint16_t)port;
    if (len > 0 && text[len - 1] == '.')
        len--;
    return len > 0 && span_to_cstr(span_make(text, len), ret->host, sizeof(ret->host)) == ERR_OK &&
           ret->host[strspn(ret->host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789-_.")] == '\0';
}

/* --- DNS, as this machine has it --- */

static int addresses_find(const struct target *t, union net_addr ret[ADDRESSES_MAX],
                          unsigned *ret_len, unsigned *ret_more)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *list = NULL;

    *ret_len = *ret_more = 0;
    if (t->is_addr) {
        ret[(*ret_len)++] = t->addr;
        return 0;
    }
    int err = getaddrinfo(t->host, NULL, &hints, &list);
    for (const struct addrinfo *i = err ? NULL : list; i; i = i->ai_next) {
        if (i->ai_addrlen > sizeof(*ret) || *ret_len == ADDRESSES_MAX) {
            (*ret_more)++;
            continue;
        }
        ret[*ret_len] = (union net_addr){0};
        memcpy(&ret[*ret_len], i->ai_addr, i->ai_addrlen);
        net_addr_set_port(&ret[(*ret_len)++], t->port);
    }
    if (list)
        freeaddrinfo(list);
    return err;
}

/* Not validated: this is about what its servers do, and no mail depends on it. */
static void mx_find(const char *domain, struct dns_mx_answer *ret)
{
    struct ub_ctx *ctx = ub_ctx_create();
    struct ub_result *result = NULL;
    int err = ctx ? ub_ctx_resolvconf(ctx, NULL) : UB_NOMEM;

    if (!err)
        err = ub_ctx_set_option(ctx, "do-not-query-localhost:", "no");
    if (!err)
        err = ub_resolve(ctx, domain, DNS_TYPE_MX, DNS_CLASS_IN, &result);
    resolver_mx_answer(err, result, ret);
    if (result)
        ub_resolve_free(result);
    if (ctx)
        ub_ctx_delete(ctx);
}

/* --- what is said --- */

static json_t *checks_json(const struct server_check_report *report)
{
    json_t *list = json_array();

    for (enum server_check c = 0; c < SERVER_CHECK_COUNT; c++) {
        const struct server_check_row *row = &report->rows[c];
        json_t *item =
            json_pack("{s:s, s:s, s:o}", "check", server_check_text(c), "result",
                      server_check_result_text(row->result), "seen", explain_text("%s", row->seen));
        if (row->result == SERVER_CHECK_FAILED || row->result == SERVER_CHECK_WARNING)
            json_object_set_new(item, "advice", json_string(server_check_advice(c)));
        json_array_append_new(list, item);
    }
    return list;
}

struct tally {
    unsigned failed, warned, skipped, unreachable;
};

static void tally_add(struct tally *t, const struct server_check_report *report)
{
    t->unreachable += report->rows[SERVER_CHECK_CONNECT].result == SERVER_CHECK_FAILED;
    for (enum server_check c = SERVER_CHECK_STARTTLS; c < SERVER_CHECK_COUNT; c++) {
        t->failed += report->rows[c].result == SERVER_CHECK_FAILED;
        t->warned += report->rows[c].result == SERVER_CHECK_WARNING;
        t->skipped += report->rows[c].result == SERVER_CHECK_SKIPPED;
    }
}

static json_t *host_check(const struct target *t, const struct ctl_tls_request *request,
                          struct tally *tally)
{
    static struct server_check_report report;
    char helo[256] = "localhost", text[NET_ADDR_TEXT];
    union net_addr addrs[ADDRESSES_MAX];
    unsigned len, more;
    json_t *list = json_array();
    const char *name = request->name ? request->name : t->host;
    union net_addr unused;
    bool sni = net_addr_parse_ip(span_str(name), 0, &unused) != ERR_OK;
    const struct server_check_conf conf = {.name = name,
                                           .sni = sni ? name : NULL,
                                           .ca = request->ca,
                                           .helo = helo,
                                           .timeout_s = TIMEOUT_S};
    json_t *host = json_pack("{s:s, s:i, s:o, s:o}", "host", t->host, "port", t->port, "name",
                             explain_text("%s", name), "addresses", list);

    if (gethostname(helo, sizeof(helo) - 1) != 0 || !helo[0])
        snprintf(helo, sizeof(helo), "localhost");
    int err = addresses_find(t, addrs, &len, &more);
    if (err) {
        json_object_set_new(host, "why", explain_text("no address: %s", gai_strerror(err)));
        tally->unreachable++;
    }
    for (unsigned i = 0; i < len; i++) {
        server_check_run(&conf, &addrs[i], &report);
        tally_add(tally, &report);
        json_array_append_new(list,
                              json_pack("{s:s, s:o}", "address", net_addr_text(&addrs[i], text),
                                        "checks", checks_json(&report)));
    }
    if (more > 0)
        json_object_set_new(host, "addresses_omitted", json_integer(more));
    return host;
}

static int exit_of(const struct tally *t)
{
    if (t->failed > 0)
        return EX_PROTOCOL;
    return t->unreachable > 0 || t->skipped > 0 ? EX_TEMPFAIL : EX_OK;
}

/* The domain's hosts, in the order of their preference; how many, or -1 with why. */
static int mx_targets(const struct target *domain, struct target ret[DNS_MX_MAX], int *ret_exit,
                      char *why, size_t why_room)
{
    static struct dns_mx_answer answer;

    mx_find(domain->host, &answer);
    *ret_exit = answer.status == DNS_OK || answer.status == DNS_NXDOMAIN ? EX_NOHOST : EX_TEMPFAIL;
    switch (answer.status) {
    case DNS_NODATA: /* RFC 5321 section 5.1: the domain is its own host */
        ret[0] = *domain;
        return 1;
    case DNS_NXDOMAIN:
        snprintf(why, why_room, "%s does not exist", domain->host);
        return -1;
    case DNS_FAILED:
    case DNS_BOGUS:
        snprintf(why, why_room, "the MX records of %s can't be looked up", domain->host);
        return -1;
    case DNS_OK:
        break;
    }
    if (answer.len > 0 && answer.mx[0].host[0] == '\0') {
        snprintf(why, why_room, "%s takes no mail: its MX record says so (RFC 7505)", domain->host);
        return -1;
    }
    for (unsigned i = 0; i < answer.len; i++) {
        ret[i] = (struct target){.port = domain->port};
        snprintf(ret[i].host, sizeof(ret[i].host), "%s", answer.mx[i].host);
    }
    return (int)answer.len;
}

json_t *ctl_tls_check(const struct ctl_tls_request *request, int *ret_exit, char *why,
                      size_t why_room)
{
    static struct target targets[DNS_MX_MAX];
    struct tally tally = {0};
    struct target given;
    int len = 1;

    *ret_exit = EX_USAGE;
    if (!target_read(request->target, &given) || (request->mx && given.is_addr)) {
        snprintf(why, why_room, "%.200s is no %s, with or without a port", request->target,
                 request->mx ? "domain" : "host name or address");
        return NULL;
    }
    targets[0] = given;
    if (request->mx)
        len = mx_targets(&given, targets, ret_exit, why, why_room);
    if (len < 0)
        return NULL;
    json_t *hosts = json_array();
    for (int i = 0; i < len; i++)
        json_array_append_new(hosts, host_check(&targets[i], request, &tally));
    return json_pack("{s:o, s:i, s:i, s:i, s:i, s:i}", "hosts", hosts, "failed", (int)tally.failed,
                     "warnings", (int)tally.warned, "skipped", (int)tally.skipped, "unreachable",
                     (int)tally.unreachable, "exit", exit_of(&tally));
}

/* --- for people --- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static int number_of(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static void print_host(const json_t *host)
{
    const json_t *address, *row;
    size_t i, k;
    char text[512];

    if (*text_of(host, "why"))
        printf("%s: %s\n\n", text_of(host, "host"), text_of(host, "why"));
    json_array_foreach(json_object_get(host, "addresses"), i, address)
    {
        printf("%s at %s\n", text_of(host, "host"), text_of(address, "address"));
        json_array_foreach(json_object_get(address, "checks"), k, row)
        {
            snprintf(text, sizeof(text), "%s: %s", text_of(row, "result"), text_of(row, "seen"));
            ctl_say(2, text_of(row, "check"), text);
            if (*text_of(row, "advice"))
                ctl_say(2, "  to do", text_of(row, "advice"));
        }
        putchar('\n');
    }
    if (number_of(host, "addresses_omitted") > 0)
        printf("%d more addresses of %s are left out.\n", number_of(host, "addresses_omitted"),
               text_of(host, "host"));
}

void ctl_print_tls_check(const json_t *data)
{
    const json_t *host;
    size_t i;

    json_array_foreach(json_object_get(data, "hosts"), i, host) print_host(host);
    if (number_of(data, "exit") == EX_OK && number_of(data, "warnings") == 0)
        puts("All checks passed.");
    else
        printf("Checks that failed: %d; warnings: %d; not done: %d; addresses that nobody answers "
               "at: %d.\n",
               number_of(data, "failed"), number_of(data, "warnings"), number_of(data, "skipped"),
               number_of(data, "unreachable"));
}
