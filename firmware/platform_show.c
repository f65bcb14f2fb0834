/* SPDX-License-Identifier: Apache-2.0 */
#include "platform_show.h"

#include "buf.h"

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

const char *platform_nic_state(const struct platform_nic *n, enum nic_feature feature)
{
    return n->on[feature] ? "on" : n->can[feature] ? "off" : "none";
}

static void put_counts(struct buf *b, const char *title, const char *(*name)(int),
                       const struct nic_count *counts, int len)
{
    bool some = false;

    put(b, "    %-16s", title);
    for (int i = 0; i < len; i++) {
        if (counts[i].max == 0)
            continue;
        put(b, "%s%s %u of %u", some ? ", " : " ", name(i), counts[i].now, counts[i].max);
        some = true;
    }
    put(b, "%s\n", some ? "" : " can't be set");
}

static const char *channel_name(int channel)
{
    return platform_nic_channel((enum nic_channel)channel);
}

static const char *ring_name(int ring)
{
    return platform_nic_ring((enum nic_ring)ring);
}

static void put_offloads(struct buf *b, const struct platform_nic *n)
{
    static const char *const states[] = {"on", "off"};

    for (size_t s = 0; s < sizeof(states) / sizeof(states[0]); s++) {
        const char *between = "";
        put(b, "    offloads %-7s ", states[s]);
        for (int f = 0; f < NIC_FEATURE_COUNT; f++) {
            if (platform_nic_group((enum nic_feature)f) != NIC_GROUP_OFFLOAD ||
                strcmp(platform_nic_state(n, (enum nic_feature)f), states[s]) != 0)
                continue;
            put(b, "%s%s", between, platform_nic_feature((enum nic_feature)f));
            between = ", ";
        }
        put(b, "%s\n", between[0] ? "" : "-");
    }
}

/* Cards only: of a bridge or a tunnel the line that it has is all there is to say. */
static void put_card(struct buf *b, const struct platform_nic *n)
{
    put(b, "    %-16s %s", "place", n->address[0] ? n->address : "-");
    if (n->numa_node >= 0)
        put(b, ", NUMA node %d", n->numa_node);
    put(b, n->speed_mbps ? ", %u Mbit/s" : ", speed not known", n->speed_mbps);
    put(b, ", firmware %s\n", n->firmware[0] ? n->firmware : "not known");
    put_offloads(b, n);
    put_counts(b, "queues", channel_name, n->channels, NIC_CHANNEL_COUNT);
    put_counts(b, "rings", ring_name, n->rings, NIC_RING_COUNT);
    if (n->rss_size == 0)
        put(b, "    %-16s none\n", "RSS");
    else if (n->rss_queues)
        put(b, "    %-16s evenly over %u queues\n", "RSS", n->rss_queues);
    else
        put(b, "    %-16s unevenly, by a table of its own\n", "RSS");
}

static void put_nics(struct buf *b, const struct platform *p)
{
    put(b, "interfaces  TLS in hardware: on, off (it could), or none%s%s\n",
        p->nics_why[0] ? "; " : "", p->nics_why);
    for (size_t i = 0; i < p->nics_len; i++) {
        const struct platform_nic *n = &p->nics[i];
        put(b, "  %-18s driver %-12s send %-5s receive %-5s whole records %s\n", n->name,
            n->driver[0] ? n->driver : "-", platform_nic_state(n, NIC_TLS_TX),
            platform_nic_state(n, NIC_TLS_RX), platform_nic_state(n, NIC_TLS_RECORD));
        if (n->device)
            put_card(b, n);
    }
}

static void put_memory(struct buf *b, const struct platform_host *h)
{
    put(b, "memory      %llu MB, %llu MB available; %u processors in use%s%s\n",
        (unsigned long long)h->memory.total_kb / 1024,
        (unsigned long long)h->memory.available_kb / 1024, h->cpus_len,
        h->governors_len ? ", governor " : "", h->governor[0].name);
    for (size_t i = 0; i < h->nodes_len; i++)
        put(b, "  NUMA node %-8u processors %s, %llu MB\n", h->nodes[i].number, h->nodes[i].cpus,
            (unsigned long long)h->nodes[i].total_kb / 1024);
}

static void put_counters(struct buf *b, const struct platform_host *h)
{
    put(b, "TLS counters%s\n", h->tls_stat ? "" : "  the kernel has none");
    for (size_t i = 0; i < h->tls_counters_len; i++) {
        if (h->tls_counters[i].value > 0)
            put(b, "  %-26s %llu\n", h->tls_counters[i].name,
                (unsigned long long)h->tls_counters[i].value);
    }
}

static void put_board(struct buf *b, const struct platform_host *h)
{
    put(b, "accelerators%s\n", h->accelerators_len ? "" : "  none");
    for (size_t i = 0; i < h->accelerators_len; i++)
        put(b, "  %-18s %s, driver %s\n", h->accelerators[i].address, h->accelerators[i].name,
            h->accelerators[i].driver[0] ? h->accelerators[i].driver : "none");
    if (h->iommu[0])
        put(b, "IOMMU       %s, %u groups\n", h->iommu, h->iommu_groups);
    else
        put(b, "IOMMU       none\n");
    if (!h->tpm.there)
        put(b, "TPM         none\n");
    else if (h->tpm.version)
        put(b, "TPM         version %u\n", h->tpm.version);
    else
        put(b, "TPM         of a version that is not known\n");
    put(b, "watchdogs%s\n", h->watchdogs_len ? "" : "   none");
    for (size_t i = 0; i < h->watchdogs_len; i++) {
        const struct platform_watchdog *w = &h->watchdogs[i];
        put(b, "  %-18s %s, %s, timeout %llu s%s\n", w->name, w->identity,
            w->active ? "running" : "not running", (unsigned long long)w->timeout_s,
            w->nowayout ? ", can't be stopped" : "");
    }
}

static void put_disks(struct buf *b, const struct platform_host *h)
{
    put(b, "disks%s\n", h->disks_len ? "" : "       none");
    for (size_t i = 0; i < h->disks_len; i++) {
        const struct platform_disk *d = &h->disks[i];
        put(b, "  %-18s %llu MB, %s%s, %s; health: %s%s%s\n", d->name,
            (unsigned long long)d->size_mb, d->model[0] ? d->model : "no model",
            d->removable ? ", removable" : "", d->rotational ? "rotates" : "does not rotate",
            platform_disk_health(d->health), d->why[0] ? ", " : "", d->why);
    }
}

static void put_clock(struct buf *b, const struct platform_clock *c)
{
    put(b, "clock       %s, %s%s%s\n", c->now, c->plausible ? "plausible" : "wrong",
        c->why[0] ? ": " : "", c->why);
}

static void put_warnings(struct buf *b, const struct platform *p)
{
    struct platform_warnings warnings;

    platform_warn(p, &warnings);
    put(b, "warnings%s\n", warnings.len ? "" : "    none");
    for (size_t i = 0; i < warnings.len; i++)
        put(b, "  %s\n", warnings.lines[i]);
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
    put_memory(&b, &p->host);
    put_counters(&b, &p->host);
    put_board(&b, &p->host);
    put_disks(&b, &p->host);
    put_clock(&b, &p->host.clock);
    put_warnings(&b, p);
    *ret = NULL;
    if (buf_append(&b, "", 1) != ERR_OK) {
        buf_release(&b);
        return ERR_NOMEM;
    }
    *ret = (char *)b.data; /* nothing was consumed: the text starts where the memory does */
    return ERR_OK;
}
