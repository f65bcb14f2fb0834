/* SPDX-License-Identifier: Apache-2.0 */
#include "platform.h"

#include "buf.h"

#include <jansson.h>
#include <stdlib.h>

/* --- text --------------------------------------------------------------------------------- */

/* A failed append leaves the text short; the last one, of the NUL, fails as well and tells. */
static void put(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct buf *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (buf_vprintf(b, format, args) != ERR_OK)
        b->max = 1;
    va_end(args);
}

static void put_cpu(struct buf *b, const struct platform *p)
{
    put(b, "kernel      %s (%s)\n", p->kernel, p->machine);
    put(b, "processor   %s\n", p->cpu.model);
    for (size_t i = 0; i < p->cpu.len; i++)
        put(b, "  %-18s %-4s %s\n", p->cpu.features[i].name, p->cpu.features[i].has ? "yes" : "no",
            p->cpu.features[i].text);
}

static const char *yes_no(bool yes)
{
    return yes ? "yes" : "no";
}

static void put_ktls(struct buf *b, const struct platform_ktls *k)
{
    put(b, "kernel TLS  %s%s%s\n", yes_no(k->ulp), k->why[0] ? ": " : "", k->why);
    if (!k->ulp)
        return;
    for (int i = 0; i < KTLS_CIPHER_COUNT; i++)
        put(b, "  %-26s send %-4s receive %s\n", platform_ktls_cipher((enum ktls_cipher)i),
            yes_no(k->ciphers[i].tx), yes_no(k->ciphers[i].rx));
    put(b, "  %-26s %s\n", "new keys after KeyUpdate", yes_no(k->rekey));
    put(b, "  %-26s %s\n", "splice without a copy", yes_no(k->splice_pages));
}

static void put_fixes(struct buf *b, const struct platform_fixes *f)
{
    put(b, "fixes       %s lacks %zu of %zu that kernel TLS needs\n", f->package, f->lacking,
        f->len);
    for (size_t i = 0; i < f->len; i++)
        put(b, "  %-20s %-8s %s; %s\n", f->fixes[i].id, f->fixes[i].has ? "there" : "lacking",
            f->fixes[i].why, f->fixes[i].text);
}

static void put_ring(struct buf *b, const struct platform_ring *r)
{
    put(b, "io_uring    %s%s%s\n",
        r->usable      ? "yes, the uring transport runs here"
        : r->available ? "too little for the uring transport"
                       : "no",
        r->why[0] ? ": " : "", r->why);
    for (size_t i = 0; i < r->len; i++)
        put(b, "  %-18s %-4s %s%s\n", r->features[i].name, r->features[i].has ? "yes" : "no",
            r->features[i].text, r->features[i].needed ? ", needed" : "");
}

static const char *nic_state(const struct platform_nic *n, int feature)
{
    return n->on[feature] ? "on" : n->can[feature] ? "off" : "none";
}

static void put_nics(struct buf *b, const struct platform *p)
{
    put(b, "interfaces  TLS in hardware: on, off (it could), or none%s%s\n",
        p->nics_why[0] ? "; " : "", p->nics_why);
    for (size_t i = 0; i < p->nics_len; i++)
        put(b, "  %-18s driver %-12s send %-5s receive %-5s whole records %s\n", p->nics[i].name,
            p->nics[i].driver[0] ? p->nics[i].driver : "-", nic_state(&p->nics[i], NIC_TLS_TX),
            nic_state(&p->nics[i], NIC_TLS_RX), nic_state(&p->nics[i], NIC_TLS_RECORD));
}

int platform_text(const struct platform *p, char **ret)
{
    struct buf b;

    buf_init(&b, 0);
    put_cpu(&b, p);
    put_ktls(&b, &p->ktls);
    put_fixes(&b, &p->fixes);
    put_ring(&b, &p->ring);
    put_nics(&b, p);
    put(&b, "huge pages%s\n", p->huge_len ? "" : "  none");
    for (size_t i = 0; i < p->huge_len; i++)
        put(&b, "  %llu KB: %llu of %llu free\n", (unsigned long long)p->huge[i].size_kb,
            (unsigned long long)p->huge[i].free, (unsigned long long)p->huge[i].total);
    *ret = NULL;
    if (buf_append(&b, "", 1) != ERR_OK) {
        buf_release(&b);
        return ERR_NOMEM;
    }
    *ret = (char *)b.data; /* nothing was consumed: the text starts where the memory does */
    return ERR_OK;
}

/* --- JSON --------------------------------------------------------------------------------- */

/* jansson takes NULL for a value and fails: a failure anywhere shows in the last call. */
static json_t *features_json(const struct platform_feature *features, size_t len)
{
    json_t *object = json_object();

    for (size_t i = 0; i < len; i++) {
        if (json_object_set_new(object, features[i].name, json_boolean(features[i].has)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* Takes item over; an array that can't have it becomes NULL. */
static void array_add(json_t **array, json_t *item)
{
    if (json_array_append_new(*array, item) == 0)
        return;
    json_decref(*array);
    *array = NULL;
}

static json_t *ktls_json(const struct platform_ktls *k)
{
    json_t *ciphers = json_array();

    for (int i = 0; k->ulp && i < KTLS_CIPHER_COUNT; i++)
        array_add(&ciphers,
                  json_pack("{s:s, s:b, s:b}", "cipher", platform_ktls_cipher((enum ktls_cipher)i),
                            "tx", k->ciphers[i].tx, "rx", k->ciphers[i].rx));
    return json_pack("{s:b, s:s, s:o, s:b, s:b}", "available", k->ulp, "why", k->why, "ciphers",
                     ciphers, "rekey", k->rekey, "splice_pages", k->splice_pages);
}

static json_t *fixes_json(const struct platform_fixes *f)
{
    json_t *fixes = json_array();

    for (size_t i = 0; i < f->len; i++)
        array_add(&fixes,
                  json_pack("{s:s, s:b, s:s, s:s}", "id", f->fixes[i].id, "there", f->fixes[i].has,
                            "why", f->fixes[i].why, "without_it", f->fixes[i].text));
    return json_pack("{s:s, s:I, s:o}", "package", f->package, "lacking", (json_int_t)f->lacking,
                     "fixes", fixes);
}

static json_t *nics_json(const struct platform *p)
{
    json_t *nics = json_array();

    for (size_t i = 0; i < p->nics_len; i++) {
        const struct platform_nic *n = &p->nics[i];
        json_t *features = json_object();
        for (int f = 0; f < NIC_FEATURE_COUNT; f++) {
            if (json_object_set_new(features, platform_nic_feature((enum nic_feature)f),
                                    json_string(nic_state(n, f))) != 0) {
                json_decref(features);
                features = NULL;
            }
        }
        array_add(&nics, json_pack("{s:s, s:s, s:o}", "name", n->name, "driver", n->driver, "tls",
                                   features));
    }
    return nics;
}

static json_t *huge_json(const struct platform *p)
{
    json_t *sizes = json_array();

    for (size_t i = 0; i < p->huge_len; i++)
        array_add(&sizes,
                  json_pack("{s:I, s:I, s:I}", "size_kb", (json_int_t)p->huge[i].size_kb, "total",
                            (json_int_t)p->huge[i].total, "free", (json_int_t)p->huge[i].free));
    return sizes;
}

int platform_json(const struct platform *p, char **ret)
{
    json_t *root =
        json_pack("{s:s, s:s, s:{s:s, s:o}, s:o, s:o, s:{s:b, s:b, s:s, s:o}, s:o, s:s, s:o}",
                  "kernel", p->kernel, "machine", p->machine, "cpu", "model", p->cpu.model,
                  "features", features_json(p->cpu.features, p->cpu.len), "kernel_tls",
                  ktls_json(&p->ktls), "kernel_fixes", fixes_json(&p->fixes), "io_uring",
                  "available", p->ring.available, "usable", p->ring.usable, "why", p->ring.why,
                  "features", features_json(p->ring.features, p->ring.len), "interfaces",
                  nics_json(p), "interfaces_why", p->nics_why, "huge_pages", huge_json(p));

    *ret = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(root);
    return *ret ? ERR_OK : ERR_NOMEM;
}
