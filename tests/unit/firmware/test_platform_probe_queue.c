/* SPDX-License-Identifier: Apache-2.0 */
/* Are a card's queues, and the interrupts that serve them, found in the kernel's files? */
#include "../cmocka_all.h"

#include "platform_probe.h"
#include "tree.h"

static struct platform p; /* too large for a stack */

static struct platform_nic *card(const char *name)
{
    struct platform_nic *nic = &p.nics[p.nics_len++];

    *nic = (struct platform_nic){.numa_node = -1};
    snprintf(nic->name, sizeof(nic->name), "%s", name);
    return nic;
}

/* Of an ice card: interrupts with the device, one for both directions. */
static void an_ice_card_is_read(void **state)
{
    struct tree t;

    tree_make(&t);
    tree_link(&t, "../../../devices/pci0000:00/0000:00:05.0", "sys/class/net/ens1f0/device");
    tree_put(&t, "sys/devices/pci0000:00/0000:00:05.0/numa_node", "1\n");
    tree_put(&t, "sys/devices/pci0000:00/0000:00:05.0/msi_irqs/60", "msix\n");
    tree_put(&t, "sys/devices/pci0000:00/0000:00:05.0/msi_irqs/61", "msix\n");
    tree_put(&t, "sys/devices/pci0000:00/0000:00:05.0/msi_irqs/62", "msix\n");
    tree_put(&t, "proc/irq/60/ice-0000:00:05.0:misc/", "");
    tree_put(&t, "proc/irq/60/smp_affinity_list", "0-7\n");
    tree_put(&t, "proc/irq/61/ice-ens1f0-TxRx-0/", "");
    tree_put(&t, "proc/irq/61/smp_affinity_list", "0-7\n");
    tree_put(&t, "proc/irq/62/ice-ens1f0-TxRx-1/", "");
    tree_put(&t, "proc/irq/62/smp_affinity_list", "5\n");
    tree_put(&t, "sys/class/net/ens1f0/queues/rx-0/rps_cpus", "00\n");
    tree_put(&t, "sys/class/net/ens1f0/queues/rx-1/rps_cpus", "f0\n");
    tree_put(&t, "sys/class/net/ens1f0/queues/tx-0/xps_cpus", "01\n");
    tree_put(&t, "sys/class/net/ens1f0/queues/tx-1/xps_cpus", "broken\n");
    tree_put(&t, "sys/class/net/ens1f0/gro_flush_timeout", "0\n");
    tree_put(&t, "sys/class/net/ens1f0/napi_defer_hard_irqs", "2\n");
    memset(&p, 0, sizeof(p));
    p.queues_len = 3; /* of a card before it */
    struct platform_nic *nic = card("ens1f0");
    platform_probe_nic_files(t.root, &p, nic);
    assert_true(nic->device);
    assert_int_equal(nic->numa_node, 1);
    assert_string_equal(nic->gro_flush_ns, "0");
    assert_string_equal(nic->defer_irqs, "2");
    assert_int_equal(nic->queues_first, 3);
    assert_int_equal(nic->queues_len, 2);
    assert_int_equal(p.queues_len, 5);
    const struct platform_queue *q = &p.queues[3];
    assert_true(q[0].irq_rx == 61 && q[0].irq_tx == 61 && q[0].has_rx && q[0].has_tx);
    assert_string_equal(q[0].irq_rx_cpus, "0-7");
    assert_string_equal(q[0].rps, "none");
    assert_string_equal(q[0].xps, "0");
    assert_true(q[1].irq_rx == 62 && q[1].irq_tx == 62);
    assert_string_equal(q[1].irq_tx_cpus, "5");
    assert_string_equal(q[1].rps, "4-7");
    assert_string_equal(q[1].xps, "");
    tree_remove(&t);
}

/* Of a virtio card: interrupts with the PCI device above it, one for each direction. */
static void a_virtio_card_is_read(void **state)
{
    struct tree t;

    tree_make(&t);
    tree_put(&t, "sys/devices/pci0000:00/0000:00:03.0/virtio2/", "");
    tree_link(&t, "../../../devices/pci0000:00/0000:00:03.0/virtio2", "sys/class/net/eth0/device");
    tree_put(&t, "sys/devices/pci0000:00/0000:00:03.0/msi_irqs/38", "msix\n");
    tree_put(&t, "sys/devices/pci0000:00/0000:00:03.0/msi_irqs/39", "msix\n");
    tree_put(&t, "sys/devices/pci0000:00/0000:00:03.0/msi_irqs/nonsense", "msix\n");
    tree_put(&t, "proc/irq/38/virtio2-input.0/", "");
    tree_put(&t, "proc/irq/38/smp_affinity_list", "0-1\n");
    tree_put(&t, "proc/irq/39/virtio2-output.0/", "");
    tree_put(&t, "proc/irq/39/smp_affinity_list", "1\n");
    tree_put(&t, "sys/class/net/eth0/queues/rx-0/rps_cpus", "0\n");
    tree_put(&t, "sys/class/net/eth0/queues/tx-0/traffic_class", "0\n");
    memset(&p, 0, sizeof(p));
    struct platform_nic *nic = card("eth0");
    platform_probe_nic_files(t.root, &p, nic);
    assert_true(nic->device);
    assert_int_equal(nic->numa_node, -1);
    assert_int_equal(nic->queues_len, 1);
    assert_true(p.queues[0].irq_rx == 38 && p.queues[0].irq_tx == 39);
    assert_string_equal(p.queues[0].irq_rx_cpus, "0-1");
    assert_string_equal(p.queues[0].irq_tx_cpus, "1");
    assert_string_equal(p.queues[0].xps, "");
    tree_remove(&t);
}

/* What has no device has no interrupts; queues beyond the table are left away. */
static void odd_trees_do_no_harm(void **state)
{
    struct tree t;

    tree_make(&t);
    tree_put(&t, "sys/class/net/br0/queues/rx-0/rps_cpus", "0\n");
    tree_put(&t, "sys/class/net/br0/queues/rx-65535/rps_cpus", "0\n");
    tree_put(&t, "sys/class/net/br0/queues/rx-1023/rps_cpus", "1\n");
    tree_put(&t, "sys/class/net/br0/queues/rx-x/rps_cpus", "0\n");
    tree_put(&t, "sys/class/net/br0/queues/other/rps_cpus", "0\n");
    memset(&p, 0, sizeof(p));
    struct platform_nic *nic = card("br0");
    platform_probe_nic_files(t.root, &p, nic);
    assert_false(nic->device);
    assert_int_equal(nic->queues_len, PLATFORM_QUEUES_MAX);
    assert_string_equal(p.queues[1023].rps, "0");
    nic = card("none");
    platform_probe_nic_files(t.root, &p, nic);
    assert_int_equal(nic->queues_len, 0);
    assert_int_equal(p.queues_len, PLATFORM_QUEUES_MAX);
    tree_remove(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ice_card_is_read),
        cmocka_unit_test(a_virtio_card_is_read),
        cmocka_unit_test(odd_trees_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
