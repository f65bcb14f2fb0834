/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_show.h"

#include <jansson.h>

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

/* Features of one group, by their names. */
static json_t *nic_features_json(const struct platform_nic *n, enum nic_group group)
{
    json_t *features = json_object();

    for (int f = 0; f < NIC_FEATURE_COUNT; f++) {
        enum nic_feature feature = (enum nic_feature)f;
        if (platform_nic_group(feature) == group &&
            json_object_set_new(features, platform_nic_feature(feature),
                                json_string(platform_nic_state(n, feature))) != 0) {
            json_decref(features);
            return NULL;
        }
    }
    return features;
}

static json_t *count_json(struct nic_count count)
{
    return json_pack("{s:I, s:I}", "now", (json_int_t)count.now, "max", (json_int_t)count.max);
}

static json_t *nic_queues_json(const struct platform *p, const struct platform_nic *n)
{
    json_t *queues = json_array();

    for (size_t i = 0; i < n->queues_len; i++) {
        const struct platform_queue *q = &p->queues[n->queues_first + i];
        array_add(&queues,
                  json_pack("{s:I, s:s, s:I, s:s, s:s, s:s}", "irq_rx", (json_int_t)q->irq_rx,
                            "irq_rx_cpus", q->irq_rx_cpus, "irq_tx", (json_int_t)q->irq_tx,
                            "irq_tx_cpus", q->irq_tx_cpus, "rps_cpus", q->rps, "xps_cpus", q->xps));
    }
    return queues;
}

static json_t *nics_json(const struct platform *p)
{
    json_t *nics = json_array();

    for (size_t i = 0; i < p->nics_len; i++) {
        const struct platform_nic *n = &p->nics[i];
        array_add(&nics,
                  json_pack("{s:s, s:s, s:o, s:b, s:s, s:i, s:I, s:s, s:o, s:{s:o, s:o, s:o}, "
                            "s:{s:o, s:o}, s:{s:I, s:I}, s:o}",
                            "name", n->name, "driver", n->driver, "tls",
                            nic_features_json(n, NIC_GROUP_TLS), "device", n->device, "address",
                            n->address, "numa_node", n->numa_node, "speed_mbps",
                            (json_int_t)n->speed_mbps, "firmware", n->firmware, "offloads",
                            nic_features_json(n, NIC_GROUP_OFFLOAD), "channels", "rx",
                            count_json(n->channels[NIC_CHANNEL_RX]), "tx",
                            count_json(n->channels[NIC_CHANNEL_TX]), "combined",
                            count_json(n->channels[NIC_CHANNEL_COMBINED]), "rings", "rx",
                            count_json(n->rings[NIC_RING_RX]), "tx",
                            count_json(n->rings[NIC_RING_TX]), "rss", "entries",
                            (json_int_t)n->rss_size, "even_over", (json_int_t)n->rss_queues,
                            "queues", nic_queues_json(p, n)));
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

static json_t *memory_json(const struct platform_host *h)
{
    json_t *nodes = json_array();

    for (size_t i = 0; i < h->nodes_len; i++)
        array_add(&nodes,
                  json_pack("{s:i, s:s, s:I}", "node", (int)h->nodes[i].number, "cpus",
                            h->nodes[i].cpus, "total_kb", (json_int_t)h->nodes[i].total_kb));
    return json_pack("{s:I, s:I, s:o}", "total_kb", (json_int_t)h->memory.total_kb, "available_kb",
                     (json_int_t)h->memory.available_kb, "numa", nodes);
}

static json_t *counters_json(const struct platform_host *h)
{
    json_t *counters = json_object();

    for (size_t i = 0; i < h->tls_counters_len; i++) {
        if (json_object_set_new(counters, h->tls_counters[i].name,
                                json_integer((json_int_t)h->tls_counters[i].value)) != 0) {
            json_decref(counters);
            return NULL;
        }
    }
    return counters;
}

static json_t *accelerators_json(const struct platform_host *h)
{
    json_t *accelerators = json_array();

    for (size_t i = 0; i < h->accelerators_len; i++)
        array_add(&accelerators,
                  json_pack("{s:s, s:s, s:s}", "address", h->accelerators[i].address, "name",
                            h->accelerators[i].name, "driver", h->accelerators[i].driver));
    return accelerators;
}

static json_t *watchdogs_json(const struct platform_host *h)
{
    json_t *watchdogs = json_array();

    for (size_t i = 0; i < h->watchdogs_len; i++) {
        const struct platform_watchdog *w = &h->watchdogs[i];
        array_add(&watchdogs,
                  json_pack("{s:s, s:s, s:I, s:I, s:b, s:b}", "name", w->name, "identity",
                            w->identity, "timeout_s", (json_int_t)w->timeout_s, "max_timeout_s",
                            (json_int_t)w->max_timeout_s, "active", w->active, "nowayout",
                            w->nowayout));
    }
    return watchdogs;
}

static json_t *disks_json(const struct platform_host *h)
{
    json_t *disks = json_array();

    for (size_t i = 0; i < h->disks_len; i++) {
        const struct platform_disk *d = &h->disks[i];
        array_add(&disks, json_pack("{s:s, s:s, s:I, s:b, s:b, s:s, s:s}", "name", d->name, "model",
                                    d->model, "size_mb", (json_int_t)d->size_mb, "rotational",
                                    d->rotational, "removable", d->removable, "health",
                                    platform_disk_health(d->health), "why", d->why));
    }
    return disks;
}

/* Those that tune may change. */
static json_t *sysctls_json(const struct platform_host *h)
{
    json_t *sysctls = json_object();

    for (int i = 0; i < PLATFORM_SYSCTL_COUNT; i++) {
        if (h->sysctls[i][0] &&
            json_object_set_new(sysctls, platform_sysctl_path((enum platform_sysctl)i),
                                json_string(h->sysctls[i])) != 0) {
            json_decref(sysctls);
            return NULL;
        }
    }
    return sysctls;
}

static json_t *warnings_json(const struct platform *p)
{
    json_t *lines = json_array();
    struct platform_warnings warnings;

    platform_warn(p, &warnings);
    for (size_t i = 0; i < warnings.len; i++)
        array_add(&lines, json_string(warnings.lines[i]));
    return lines;
}

static json_t *host_json(const struct platform *p)
{
    const struct platform_host *h = &p->host;
    const struct platform_clock *c = &h->clock;

    return json_pack("{s:{s:I, s:s}, s:o, s:{s:b, s:o}, s:o, s:{s:s, s:i}, s:{s:b, s:i}, s:o, s:o, "
                     "s:{s:s, s:b, s:b, s:b, s:s}, s:o, s:o}",
                     "processors", "online", (json_int_t)h->cpus_len, "governor",
                     h->governor[0].name, "memory", memory_json(h), "tls_counters", "available",
                     h->tls_stat, "values", counters_json(h), "accelerators", accelerators_json(h),
                     "iommu", "name", h->iommu, "groups", (int)h->iommu_groups, "tpm", "available",
                     h->tpm.there, "version", (int)h->tpm.version, "watchdogs", watchdogs_json(h),
                     "disks", disks_json(h), "clock", "now", c->now, "plausible", c->plausible,
                     "synchronized", c->synchronized, "rtc", c->has_rtc, "why", c->why, "sysctls",
                     sysctls_json(h), "warnings", warnings_json(p));
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

    json_t *host = host_json(p);
    bool whole = root && host && json_object_update(root, host) == 0;

    *ret = whole ? json_dumps(root, JSON_INDENT(2)) : NULL;
    json_decref(host);
    json_decref(root);
    return *ret ? ERR_OK : ERR_NOMEM;
}
