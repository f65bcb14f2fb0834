/* SPDX-License-Identifier: Apache-2.0 */
#include "tune_plan.h"

#include <stdio.h>

enum { RING_SLOW = 1024, SPEED_FAST_MBPS = 10000 };

enum nic_tls { NIC_TLS_NONE, NIC_TLS_SENDS };
#define TLS_NONE NIC_TLS_NONE
#define TLS_TX NIC_TLS_SENDS

struct nic_row {
    const char *driver;
    enum nic_tls tls;
    uint32_t ring;
};

static const struct nic_row rows[] = {
#define TUNE_NIC(driver, tls, ring, note) {driver, TLS_##tls, ring},
#include "tune_nic.def"
#undef TUNE_NIC
};

static const struct nic_row *row_find(const struct platform_nic *nic)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].driver, nic->driver) == 0)
            return &rows[i];
    }
    return NULL;
}

/* --- TLS ---------------------------------------------------------------------------------- */

static void feature_on(struct tune_planning *g, const struct platform_nic *nic,
                       enum nic_feature feature, const char *why)
{
    char target[TUNE_TARGET_TEXT];

    snprintf(target, sizeof(target), "%s %s", nic->name, platform_nic_feature(feature));
    tune_planning_add(g, TUNE_TLS, TUNE_KIND_FEATURE, target, nic->on[feature] ? "on" : "off", "on",
                      why);
}

/* The kernel drops TLS offload where the checksums that it stands on are not on. */
static bool sends_checksums(const struct platform_nic *nic)
{
    return nic->on[NIC_CSUM_TX] || (nic->on[NIC_CSUM_TX4] && nic->on[NIC_CSUM_TX6]);
}

static void tls_plan(struct tune_planning *g, const struct platform_nic *nic,
                     const struct nic_row *row)
{
    const struct platform *p = g->platform;

    if (g->settings->skip[TUNE_TLS] || row->tls == NIC_TLS_NONE)
        return;
    if (!nic->can[NIC_TLS_TX]) {
        tune_planning_note(g, false,
                           "%s: this card, its firmware or this kernel's build has no TLS offload",
                           nic->name);
    } else if (!p->ktls.ulp || p->fixes.lacking > 0) {
        tune_planning_note(g, true, "%s: TLS offload stays off: %s", nic->name,
                           p->ktls.ulp ? "this kernel lacks fixes that kernel TLS needs"
                                       : "this kernel takes no TLS keys");
    } else if (!sends_checksums(nic)) {
        tune_planning_note(g, true, "%s: TLS offload needs the checksums of sending, which are off",
                           nic->name);
    } else {
        feature_on(g, nic, NIC_TLS_TX,
                   "the card seals records of TLS 1.2 connections whose keys the kernel has");
        if (g->settings->tls_rx && nic->can[NIC_TLS_RX] && nic->on[NIC_CSUM_RX])
            feature_on(g, nic, NIC_TLS_RX,
                       "the card opens records of TLS 1.2 connections whose keys the kernel has");
    }
}

/* --- queues, rings, RSS ------------------------------------------------------------------- */

static void count_plan(struct tune_planning *g, enum tune_group group, enum tune_kind kind,
                       const struct platform_nic *nic, const char *part, struct nic_count count,
                       uint32_t wanted, const char *why)
{
    char target[TUNE_TARGET_TEXT], from[TUNE_VALUE_TEXT], to[TUNE_VALUE_TEXT];

    snprintf(target, sizeof(target), "%s %s", nic->name, part);
    snprintf(from, sizeof(from), "%u", count.now);
    snprintf(to, sizeof(to), "%u", wanted);
    tune_planning_add(g, group, kind, target, from, to, why);
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* How many queues receive after the plan. Queues of both directions are used where a card has them.
 */
static uint32_t queues_plan(struct tune_planning *g, const struct platform_nic *nic)
{
    static const char why[] = "one queue a worker: each processor is interrupted for its own "
                              "packets, and for no more queues than are served";
    enum nic_channel first = NIC_CHANNEL_COMBINED, last = NIC_CHANNEL_COMBINED;
    uint32_t receive = 0;

    if (nic->channels[NIC_CHANNEL_COMBINED].max == 0) {
        first = NIC_CHANNEL_RX;
        last = NIC_CHANNEL_TX;
    }
    for (int c = (int)first; c <= (int)last; c++) {
        struct nic_count count = nic->channels[c];
        uint32_t wanted = least(g->workers, count.max);
        if (count.max == 0)
            continue;
        count_plan(g, TUNE_QUEUES, TUNE_KIND_CHANNELS, nic,
                   platform_nic_channel((enum nic_channel)c), count, wanted, why);
        if (c != NIC_CHANNEL_TX)
            receive = g->settings->skip[TUNE_QUEUES] ? count.now : wanted;
    }
    return receive;
}

static void rings_plan(struct tune_planning *g, const struct platform_nic *nic,
                       const struct nic_row *row)
{
    uint32_t target = row->ring;

    if (nic->speed_mbps > 0 && nic->speed_mbps < SPEED_FAST_MBPS)
        target = least(target, RING_SLOW);
    for (int r = 0; r < NIC_RING_COUNT; r++) {
        struct nic_count count = nic->rings[r];
        uint32_t wanted = least(target, count.max);
        if (wanted > count.now)
            count_plan(g, TUNE_RINGS, TUNE_KIND_RING, nic, platform_nic_ring((enum nic_ring)r),
                       count, wanted,
                       "a burst waits in the card while its processor seals records");
    }
}

static void rss_plan(struct tune_planning *g, const struct platform_nic *nic, uint32_t queues)
{
    char from[TUNE_VALUE_TEXT], to[TUNE_VALUE_TEXT];
    uint32_t wanted = queues ? least(queues, g->workers) : 0;

    if (nic->rss_size == 0 || wanted == 0)
        return;
    if (nic->rss_queues == 0) {
        tune_planning_note(g, false, "%s: its table of RSS was set by somebody, and stays",
                           nic->name);
        return;
    }
    snprintf(from, sizeof(from), "%u", nic->rss_queues);
    snprintf(to, sizeof(to), "%u", wanted);
    tune_planning_add(
        g, TUNE_RSS, TUNE_KIND_RSS, nic->name, from, to,
        "connections are spread evenly over the queues that workers' processors have");
}

/* --- interrupts and steering -------------------------------------------------------------- */

/* The processors of workers: those of the card's node first. */
struct cpu_order {
    size_t len;
    unsigned cpus[PLATFORM_CPUS_MAX];
};

static void order_add(struct cpu_order *order, const struct platform_cpus *online,
                      const struct platform_cpus *node, bool inside, unsigned most)
{
    for (unsigned cpu = 0; cpu < PLATFORM_CPUS_MAX && order->len < most; cpu++) {
        if (platform_cpus_has(online, cpu) && platform_cpus_has(node, cpu) == inside)
            order->cpus[order->len++] = cpu;
    }
}

static void order_make(const struct tune_planning *g, const struct platform_nic *nic,
                       struct cpu_order *ret)
{
    const struct platform_host *h = &g->platform->host;
    struct platform_cpus node = {0};

    for (size_t i = 0; i < h->nodes_len; i++) {
        if ((int)h->nodes[i].number == nic->numa_node &&
            platform_cpus_list_decode(span_str(h->nodes[i].cpus), &node) != ERR_OK)
            node = (struct platform_cpus){0};
    }
    ret->len = 0;
    order_add(ret, &h->cpus, &node, true, g->workers);
    order_add(ret, &h->cpus, &node, false, g->workers);
}

static void irq_plan(struct tune_planning *g, uint32_t irq, const char *from, unsigned cpu)
{
    char path[TUNE_TARGET_TEXT], to[TUNE_VALUE_TEXT];

    snprintf(path, sizeof(path), "proc/irq/%u/smp_affinity_list", irq);
    snprintf(to, sizeof(to), "%u", cpu);
    tune_planning_add(
        g, TUNE_IRQ, TUNE_KIND_FILE, path, from, to,
        "a queue's packets are handled where they are used, on the card's node first");
}

/* A queue's share of the processors: a run of them, so that a list of it is short. Where there are
 * more queues than processors, those beyond have none. */
static void share_of(const struct cpu_order *order, size_t queue, size_t queues, size_t *ret_from,
                     size_t *ret_to)
{
    if (queues >= order->len) {
        *ret_from = queue < order->len ? queue : order->len;
        *ret_to = queue < order->len ? queue + 1 : order->len;
    } else {
        *ret_from = queue * order->len / queues;
        *ret_to = (queue + 1) * order->len / queues;
    }
}

/* False where there are none, or too many runs of them for a text. */
static bool share_text(const struct cpu_order *order, size_t queue, size_t queues,
                       char out[NIC_CPUS_TEXT])
{
    struct platform_cpus cpus = {0};
    size_t from, to;

    share_of(order, queue, queues, &from, &to);
    for (size_t i = from; i < to; i++)
        platform_cpus_add(&cpus, order->cpus[i]);
    platform_cpus_list(&cpus, out, NIC_CPUS_TEXT);
    return from < to && !strchr(out, '.');
}

/* Which processors send by this queue: each processor has one queue, each queue its own share. */
static void xps_plan(struct tune_planning *g, const struct platform_nic *nic,
                     const struct cpu_order *order, size_t queue, size_t queues)
{
    const struct platform_queue *q = &g->platform->queues[nic->queues_first + queue];
    char path[TUNE_TARGET_TEXT], to[NIC_CPUS_TEXT];

    if (!q->xps[0] || !share_text(order, queue, queues, to))
        return;
    snprintf(path, sizeof(path), "sys/class/net/%s/queues/tx-%zu/xps_cpus", nic->name, queue);
    tune_planning_add(g, TUNE_STEERING, TUNE_KIND_MASK, path, q->xps, to,
                      "who sends does it by the queue of its own processor, without a lock shared");
}

/* A card with half as many queues as there are processors, or fewer, leaves the others idle. */
static void rps_plan(struct tune_planning *g, const struct platform_nic *nic,
                     const struct cpu_order *order, size_t queue, size_t queues)
{
    const struct platform_queue *q = &g->platform->queues[nic->queues_first + queue];
    char path[TUNE_TARGET_TEXT], to[NIC_CPUS_TEXT];

    if (!q->rps[0] || 2 * queues > order->len || !share_text(order, queue, queues, to))
        return;
    snprintf(path, sizeof(path), "sys/class/net/%s/queues/rx-%zu/rps_cpus", nic->name, queue);
    tune_planning_add(g, TUNE_STEERING, TUNE_KIND_MASK, path, q->rps, to,
                      "the card has fewer queues than processors: the kernel spreads further");
}

static unsigned cpu_of(const struct cpu_order *order, size_t queue, size_t queues)
{
    size_t from, to;

    share_of(order, queue % order->len, queues, &from, &to);
    return order->cpus[from];
}

static size_t queues_count(const struct tune_planning *g, const struct platform_nic *nic, bool rx)
{
    size_t count = 0;

    for (size_t i = 0; i < nic->queues_len; i++) {
        const struct platform_queue *q = &g->platform->queues[nic->queues_first + i];
        count += rx ? q->has_rx : q->has_tx;
    }
    return count;
}

static void steering_plan(struct tune_planning *g, const struct platform_nic *nic)
{
    size_t rx = queues_count(g, nic, true), tx = queues_count(g, nic, false);
    struct cpu_order order;

    order_make(g, nic, &order);
    for (size_t i = 0; i < nic->queues_len && order.len > 0; i++) {
        const struct platform_queue *q = &g->platform->queues[nic->queues_first + i];
        if (q->irq_rx)
            irq_plan(g, q->irq_rx, q->irq_rx_cpus, cpu_of(&order, i, rx));
        if (q->irq_tx && q->irq_tx != q->irq_rx)
            irq_plan(g, q->irq_tx, q->irq_tx_cpus, cpu_of(&order, i, tx));
        if (q->has_tx && tx > 1)
            xps_plan(g, nic, &order, i, tx);
        if (q->has_rx)
            rps_plan(g, nic, &order, i, rx);
    }
}

/* --- busy polling ------------------------------------------------------------------------- */

static void busy_plan(struct tune_planning *g, const struct platform_nic *nic)
{
    static const char why[] = "while a program polls the card, the card does not interrupt as well";
    char path[TUNE_TARGET_TEXT];

    if (g->settings->busy_poll_us == 0)
        return;
    snprintf(path, sizeof(path), "sys/class/net/%s/napi_defer_hard_irqs", nic->name);
    if (nic->defer_irqs[0])
        tune_planning_add(g, TUNE_BUSY_POLL, TUNE_KIND_FILE, path, nic->defer_irqs, "2", why);
    snprintf(path, sizeof(path), "sys/class/net/%s/gro_flush_timeout", nic->name);
    if (nic->gro_flush_ns[0])
        tune_planning_add(g, TUNE_BUSY_POLL, TUNE_KIND_FILE, path, nic->gro_flush_ns, "200000",
                          why);
}

/* --- one card ----------------------------------------------------------------------------- */

void tune_plan_nic(struct tune_planning *g, const struct platform_nic *nic)
{
    const struct nic_row *row = row_find(nic);
    size_t before = g->plan->len;

    if (!nic->device)
        return; /* a bridge, bond or tunnel: its cards are tuned */
    if (!row) {
        tune_planning_note(g, true,
                           "%s: driver \"%s\" is not known here, so the card stays as it is; only "
                           "what holds for every machine is set",
                           nic->name, nic->driver);
        return;
    }
    tls_plan(g, nic, row);
    uint32_t queues = queues_plan(g, nic);
    rings_plan(g, nic, row);
    busy_plan(g, nic);
    for (size_t i = before; i < g->plan->len; i++) {
        if (g->plan->changes[i].group == TUNE_QUEUES) {
            tune_planning_note(g, false,
                               "%s: RSS, interrupts and steering follow when it has its queues",
                               nic->name);
            return;
        }
    }
    rss_plan(g, nic, queues);
    steering_plan(g, nic);
}
