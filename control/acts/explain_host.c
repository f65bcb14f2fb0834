/* SPDX-License-Identifier: Apache-2.0 */
#include "explain_priv.h"

#include "ascii.h"

#include <stdarg.h>
#include <stdio.h>

enum { SENTENCE = 1024 };

json_t *explain_text(const char *format, ...)
{
    char text[SENTENCE];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    ascii_mask(text);
    return json_string(text);
}

const char *explain_dns_text(enum dns_status status)
{
    switch (status) {
    case DNS_OK:
        return "ok";
    case DNS_NODATA:
        return "nodata";
    case DNS_NXDOMAIN:
        return "nxdomain";
    case DNS_FAILED:
        return "failed";
    case DNS_BOGUS:
        return "bogus";
    }
    return "?";
}

/* --- what DNS said of it --- */

static json_t *addresses_json(const struct dns_addr_answer *answer)
{
    json_t *list = json_array();
    char text[NET_ADDR_TEXT];

    for (unsigned i = 0; i < answer->len && i < DNS_ADDRS_MAX; i++)
        json_array_append_new(list, json_string(net_addr_ip_text(&answer->addr[i], text)));
    return json_pack("{s:s, s:b, s:o}", "status", explain_dns_text(answer->status), "secure",
                     answer->secure, "list", list);
}

/* As in a zone file: "3 1 1 8d02...". */
static json_t *record_json(const struct tls_tlsa *record)
{
    static const char digits[] = "0123456789abcdef";
    char data[256];
    size_t n = 0;

    for (size_t i = 0; i < record->len && n + 8 < sizeof(data); i++) {
        data[n++] = digits[record->data[i] >> 4];
        data[n++] = digits[record->data[i] & 15];
    }
    data[n] = '\0';
    return json_pack("{s:o, s:b}", "record",
                     explain_text("%u %u %u %s%s", record->usage, record->selector,
                                  record->matching, data, n / 2 < record->len ? "..." : ""),
                     "usable", tls_tlsa_usable(record));
}

static json_t *tlsa_json(const struct dns_tlsa_answer *answer)
{
    struct tls_tlsa records[DNS_TLSA_MAX];
    size_t len = answer->status == DNS_OK ? tls_verdict_records(answer, records) : 0;
    json_t *list = json_array();

    for (size_t i = 0; i < len; i++)
        json_array_append_new(list, record_json(&records[i]));
    return json_pack("{s:s, s:b, s:o, s:o}", "status", explain_dns_text(answer->status), "secure",
                     answer->status == DNS_OK, "base", explain_text("%s", answer->base), "records",
                     list);
}

/* --- what it must have --- */

static json_t *names_json(const struct upstream_probe_host *host)
{
    json_t *list = json_array();

    for (size_t i = 0; i < host->names_len; i++)
        json_array_append_new(list, host->names[i][0] == '.'
                                        ? explain_text("any name below %s", host->names[i] + 1)
                                        : explain_text("%s", host->names[i]));
    return list;
}

static const char *cas_of(const struct conf_route *route)
{
    return route->tls.ca ? route->tls.ca : "the system's list";
}

static json_t *accepts_json(const struct conf_route *route, const struct tls_verdict *verdict)
{
    const char *version = route->tls.min_version == TLS_VERSION_1_3 ? "TLS 1.3" : "TLS 1.2 or 1.3";
    const char *profile = tls_profile_name(route->tls.profile);

    switch (verdict->level) {
    case CONF_LEVEL_NONE:
        return explain_text(
            "plaintext: the route says that this next hop is spoken to without TLS");
    case CONF_LEVEL_MAY:
        return explain_text("%s (profile %s) with any certificate; where STARTTLS is missing, "
                            "refused or fails, plaintext, and the log says so",
                            version, profile);
    case CONF_LEVEL_ENCRYPT:
        return explain_text("%s (profile %s) with any certificate; never plaintext", version,
                            profile);
    case CONF_LEVEL_VERIFY:
        return explain_text("%s (profile %s) with a certificate that is valid today, from a CA of "
                            "%s, for one of the names; never anything else",
                            version, profile, cas_of(route));
    case CONF_LEVEL_PIN:
        return explain_text("%s (profile %s) with a certificate or key that is pinned in the route "
                            "(%zu spki, %zu fingerprints%s%s); name and date do not count",
                            version, profile, route->tls.spki_len, route->tls.fingerprints_len,
                            route->tls.pin_file ? ", of the file " : "",
                            route->tls.pin_file ? route->tls.pin_file : "");
    case CONF_LEVEL_DANE:
        return explain_text("%s (profile %s) with a certificate that matches a usable TLSA record; "
                            "never anything else",
                            version, profile);
    case CONF_LEVEL_STS:
    case CONF_LEVEL_AUTO:
        break;
    }
    return explain_text("nothing");
}

static json_t *verdict_json(const struct tls_verdict *v)
{
    return json_pack("{s:b, s:s, s:s, s:b, s:b, s:o}", "use", v->use == TLS_USE, "level",
                     conf_level_text(v->level), "source", tls_source_text(v->source), "failed",
                     v->failed, "testing", v->testing, "why", explain_text("%s", v->why));
}

/* --- what to do --- */

static const char *skipped_dane_advice(const struct dns_tlsa_answer *tlsa)
{
    if (!tlsa)
        return "The answer that names this host is not signed. The domain's owner can sign the "
               "zone; "
               "until then give the route level auto, or verify or pin for this partner.";
    if (tlsa->status == DNS_OK)
        return "The host's owner must publish a TLSA record of usage 2 or 3 that is well formed; "
               "until then give the route level verify or pin for this partner.";
    return "The host's owner can publish TLSA records in a signed zone; until then give the route "
           "level auto, or verify or pin for this partner.";
}

static const char *skipped_sts_advice(const struct sts_answer *sts)
{
    if (sts && sts->status == DNS_OK && sts->mode != STS_MODE_NONE)
        return "The domain's owner must list this host in the policy, or take it out of the MX "
               "records. Hosts that are listed are used.";
    return "Level sts needs a policy that the domain publishes. Level auto takes one where there "
           "is "
           "one; levels verify and pin demand TLS without one.";
}

static const char *skipped_advice(const struct upstream_probe_host *host)
{
    const struct tls_verdict *v = host->verdict;

    if (v->failed && v->source == TLS_SOURCE_DANE && host->tlsa && host->tlsa->status == DNS_BOGUS)
        return "The zone is signed wrongly, or somebody forges it: tell its owner. Mail waits "
               "until "
               "the signatures are right.";
    if (v->failed)
        return "Nothing is known, so mail waits. See that resolver.forward and resolver.stub name "
               "servers that answer, and that HTTPS to the policy's host works; then ask again.";
    if (v->source == TLS_SOURCE_LIST)
        return "The policy list names the domain's hosts, and this is none of them. Ask the "
               "domain's "
               "owner which is right; if the list is out of date, get a newer one and reload.";
    return v->source == TLS_SOURCE_STS ? skipped_sts_advice(host->sts)
                                       : skipped_dane_advice(host->tlsa);
}

static const char *failed_advice(enum smtp_client_phase phase)
{
    switch (phase) {
    case SMTP_PHASE_CONNECT:
        return "See that the host is up and that the firewall lets this gateway out to its port.";
    case SMTP_PHASE_STARTTLS:
        return "The host offers no STARTTLS, or something between hides it. Ask the host's owner "
               "which; until it is offered no mail can go there at this level.";
    case SMTP_PHASE_TLS:
        return "Compare the host's certificate, versions and suites with what is accepted. If its "
               "owner changed the certificate, learn of it from the owner before you change a pin.";
    case SMTP_PHASE_GREETING:
    case SMTP_PHASE_EHLO:
    case SMTP_PHASE_XCLIENT:
    case SMTP_PHASE_AUTH:
    case SMTP_PHASE_MAIL:
    case SMTP_PHASE_RCPT:
    case SMTP_PHASE_DATA:
    case SMTP_PHASE_CHUNK:
    case SMTP_PHASE_FINAL:
    case SMTP_PHASE_RSET:
    case SMTP_PHASE_QUIT:
        break;
    }
    return "The host does not want to talk to this gateway: its owner knows why, by what it said.";
}

static const char *advice(const struct upstream_probe_host *host)
{
    switch (host->result) {
    case UPSTREAM_PROBE_SKIPPED:
        return skipped_advice(host);
    case UPSTREAM_PROBE_FAILED:
        return host->addrs && host->addrs->len == 0 ? "See that the host's name has addresses, and "
                                                      "that the resolver's servers answer."
                                                    : failed_advice(host->phase);
    case UPSTREAM_PROBE_LATE:
        return "Ask again: what is known by now is answered faster.";
    case UPSTREAM_PROBE_HELD:
        return "Somebody between may take TLS away, or forge DNS. Ask the host's owner, by another "
               "way "
               "than mail, whether this is meant; then posternctl policy ratchet accept takes it.";
    case UPSTREAM_PROBE_USABLE:
    case UPSTREAM_PROBE_MET:
        return NULL;
    }
    return NULL;
}

/* --- what it showed --- */

static json_t *hex_json(const uint8_t sha256[32])
{
    char text[65];

    for (size_t i = 0; i < 32; i++)
        snprintf(text + 2 * i, 3, "%02x", sha256[i]);
    return json_string(text);
}

static json_t *cert_names_json(const struct tls_facts *tls)
{
    const char *name = tls->cert_names;
    json_t *list = json_array();

    for (; *name; name += strlen(name) + 1)
        json_array_append_new(list, explain_text("%s", name));
    return list;
}

static json_t *tls_json(const struct tls_facts *tls)
{
    return json_pack("{s:s, s:o, s:o, s:i, s:b, s:s, s:o, s:o, s:o, s:I, s:o, s:o}", "version",
                     tls_version_text(tls->version), "suite", explain_text("%s", tls->suite),
                     "group", explain_text("%s", tls->group), "bits", (int)tls->bits, "resumed",
                     tls->resumed, "verify", tls_verify_text(tls->verify), "verified_by",
                     explain_text("%s", tls->verify_text), "name",
                     explain_text("%s", tls->peer_name), "names", cert_names_json(tls), "not_after",
                     (json_int_t)tls->not_after, "cert_sha256", hex_json(tls->cert_sha256),
                     "spki_sha256", hex_json(tls->spki_sha256));
}

/* What the host is held to. */
static json_t *ratchet_json(const struct conf_route *route, const struct upstream_probe_host *host)
{
    char date[RATCHET_DATE];
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:b, s:b}", "level", ratchet_level_text(host->had.best.level), "source",
        tls_source_text(host->had.best.source), "last", ratchet_date(host->had.last, date),
        "new_host", host->new_host, "hold", route->tls.ratchet == CONF_RATCHET_HOLD);

    if (object && host->drop)
        json_object_set_new(object, "drop", explain_text("%s", host->drop));
    return object;
}

static const char *result_text(enum upstream_probe_result result)
{
    switch (result) {
    case UPSTREAM_PROBE_SKIPPED:
        return "skipped";
    case UPSTREAM_PROBE_USABLE:
        return "usable";
    case UPSTREAM_PROBE_MET:
        return "met";
    case UPSTREAM_PROBE_HELD:
        return "held";
    case UPSTREAM_PROBE_FAILED:
        return "failed";
    case UPSTREAM_PROBE_LATE:
        return "late";
    }
    return "?";
}

static void set_where(json_t *object, const char *key, json_t *value)
{
    if (value)
        json_object_set_new(object, key, value);
}

json_t *explain_host_json(const struct conf_route *route, const struct upstream_probe_host *host)
{
    const char *what_to_do = advice(host);
    char addr[NET_ADDR_TEXT];
    json_t *object = json_pack("{s:o, s:i, s:s}", "host", explain_text("%s", host->host), "port",
                               (int)host->port, "result", result_text(host->result));

    if (!object)
        return NULL;
    set_where(object, "tlsa", host->tlsa ? tlsa_json(host->tlsa) : NULL);
    set_where(object, "verdict", host->verdict ? verdict_json(host->verdict) : NULL);
    if (host->verdict && host->verdict->use == TLS_USE) {
        set_where(object, "accepts", accepts_json(route, host->verdict));
        set_where(object, "names", host->names_len > 0 ? names_json(host) : NULL);
        set_where(object, "sni", host->sni ? explain_text("%s", host->sni) : NULL);
    }
    set_where(object, "ratchet", host->had.known ? ratchet_json(route, host) : NULL);
    set_where(object, "addresses", host->addrs ? addresses_json(host->addrs) : NULL);
    if (host->dead_for_ms > 0)
        set_where(object, "not_tried_for_s",
                  json_pack("{s:I, s:o}", "seconds", (json_int_t)((host->dead_for_ms + 999) / 1000),
                            "why", explain_text("%s", host->dead_why)));
    set_where(object, "address", host->addr ? json_string(net_addr_text(host->addr, addr)) : NULL);
    if (host->result == UPSTREAM_PROBE_MET || host->result == UPSTREAM_PROBE_HELD)
        set_where(object, "tls", host->tls ? tls_json(host->tls) : json_null());
    set_where(object, "would_refuse",
              host->would_refuse ? explain_text("%s", host->would_refuse) : NULL);
    set_where(object, "why", host->why[0] ? explain_text("%s", host->why) : NULL);
    set_where(object, "advice", what_to_do ? json_string(what_to_do) : NULL);
    return object;
}
