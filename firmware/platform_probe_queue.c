/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's files say of a card: device, queues, interrupts. */
#include "platform_cpus.h"
#include "platform_files.h"
#include "platform_probe.h"

#include <stdio.h>
#include <stdlib.h>

static void path_put(char out[PLATFORM_PATH_TEXT], const struct platform_nic *nic, const char *rest)
{
    snprintf(out, PLATFORM_PATH_TEXT, "sys/class/net/%s/%s", nic->name, rest);
}

static void device_read(int root, struct platform_nic *nic)
{
    char path[PLATFORM_PATH_TEXT], line[32];
    char *end;

    path_put(path, nic, "device");
    nic->device = platform_file_exists(root, path);
    path_put(path, nic, "device/numa_node");
    if (platform_file_line(root, path, line, sizeof(line))) {
        long node = strtol(line, &end, 10);
        nic->numa_node = *end == '\0' && node >= 0 && node < PLATFORM_NODES_MAX ? (int)node : -1;
    }
    path_put(path, nic, "gro_flush_timeout");
    (void)platform_file_line(root, path, nic->gro_flush_ns, sizeof(nic->gro_flush_ns));
    path_put(path, nic, "napi_defer_hard_irqs");
    (void)platform_file_line(root, path, nic->defer_irqs, sizeof(nic->defer_irqs));
}

/* A mask in a file as a list; "" where there is no such file, or it is not for this queue. */
static void mask_read(int root, const char *path, char out[NIC_CPUS_TEXT])
{
    char buffer[PLATFORM_FILE_MAX];
    struct platform_cpus cpus;

    out[0] = '\0';
    struct span text = platform_file_head(root, path, buffer, sizeof(buffer));
    if (platform_cpus_mask_decode(text, &cpus) != ERR_OK)
        return;
    if (platform_cpus_count(&cpus) == 0)
        snprintf(out, NIC_CPUS_TEXT, "none");
    else
        platform_cpus_list(&cpus, out, NIC_CPUS_TEXT);
}

static struct platform_queue *queue_of(struct platform *p, struct platform_nic *nic, unsigned queue)
{
    if (queue >= PLATFORM_QUEUES_MAX - nic->queues_first)
        return NULL;
    if (queue >= nic->queues_len)
        nic->queues_len = queue + 1;
    return &p->queues[nic->queues_first + queue];
}

static void queues_read(int root, struct platform *p, struct platform_nic *nic)
{
    char path[PLATFORM_PATH_TEXT], rest[64];
    const char *name;

    path_put(path, nic, "queues");
    DIR *folder = platform_folder_open(root, path);
    while (folder && (name = platform_folder_next(folder))) {
        bool rx = strncmp(name, "rx-", 3) == 0;
        uint64_t number;
        struct platform_queue *queue;
        if ((!rx && strncmp(name, "tx-", 3) != 0) ||
            span_to_u64(span_str(name + 3), UINT16_MAX, &number) != ERR_OK ||
            !(queue = queue_of(p, nic, (unsigned)number)))
            continue;
        snprintf(rest, sizeof(rest), "queues/%cx-%u/%cps_cpus", rx ? 'r' : 't', (unsigned)number,
                 rx ? 'r' : 'x');
        path_put(path, nic, rest);
        *(rx ? &queue->has_rx : &queue->has_tx) = true;
        mask_read(root, path, rx ? queue->rps : queue->xps);
    }
    if (folder)
        closedir(folder);
}

static void irq_take(int root, struct platform *p, struct platform_nic *nic, uint32_t irq,
                     const char *name)
{
    enum nic_direction direction;
    char path[PLATFORM_PATH_TEXT], line[PLATFORM_FILE_MAX];
    struct platform_cpus cpus;
    struct platform_queue *queue;
    unsigned number;

    if (!platform_nic_irq_decode(span_str(name), span_str(nic->name), &number, &direction) ||
        !(queue = queue_of(p, nic, number)))
        return;
    snprintf(path, sizeof(path), "proc/irq/%u/smp_affinity_list", irq);
    struct span text = platform_file_head(root, path, line, sizeof(line));
    if (text.len == 0 || platform_cpus_list_decode(text, &cpus) != ERR_OK)
        return;
    if (direction != NIC_DIRECTION_TX) {
        queue->irq_rx = irq;
        platform_cpus_list(&cpus, queue->irq_rx_cpus, sizeof(queue->irq_rx_cpus));
    }
    if (direction != NIC_DIRECTION_RX) {
        queue->irq_tx = irq;
        platform_cpus_list(&cpus, queue->irq_tx_cpus, sizeof(queue->irq_tx_cpus));
    }
}

/* The interrupts of the device, or of the one that it is part of, as with virtio; an interrupt's
 * name is the folder below its number. */
static void irqs_read(int root, struct platform *p, struct platform_nic *nic)
{
    static const char *const places[] = {"device/msi_irqs", "device/../msi_irqs"};
    char path[PLATFORM_PATH_TEXT];
    const char *name;
    DIR *folder = NULL;

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && !folder; i++) {
        path_put(path, nic, places[i]);
        folder = platform_folder_open(root, path);
    }
    while (folder && (name = platform_folder_next(folder))) {
        uint64_t irq;
        if (span_to_u64(span_str(name), UINT32_MAX, &irq) != ERR_OK)
            continue;
        snprintf(path, sizeof(path), "proc/irq/%u", (unsigned)irq);
        DIR *actions = platform_folder_open(root, path);
        const char *action;
        while (actions && (action = platform_folder_next(actions)))
            irq_take(root, p, nic, (uint32_t)irq, action);
        if (actions)
            closedir(actions);
    }
    if (folder)
        closedir(folder);
}

void platform_probe_nic_files(int root, struct platform *p, struct platform_nic *nic)
{
    nic->queues_first = p->queues_len;
    device_read(root, nic);
    queues_read(root, p, nic);
    if (nic->device)
        irqs_read(root, p, nic);
    p->queues_len += nic->queues_len;
}
