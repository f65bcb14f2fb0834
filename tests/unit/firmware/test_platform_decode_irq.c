/* SPDX-License-Identifier: Apache-2.0 */
/* Is it known from an interrupt's name which queue it serves? */
#include "../cmocka_all.h"

#include "platform_nic.h"

static void is(const char *irq, const char *nic, int queue, enum nic_direction direction)
{
    enum nic_direction found;
    unsigned number;

    if (!platform_nic_irq_decode(span_str(irq), span_str(nic), &number, &found))
        fail_msg("%s is not known", irq);
    assert_int_equal(number, queue);
    assert_int_equal(found, direction);
}

static void isnt(const char *irq, const char *nic)
{
    enum nic_direction found;
    unsigned number;

    if (platform_nic_irq_decode(span_str(irq), span_str(nic), &number, &found))
        fail_msg("%s is taken for queue %u", irq, number);
}

static void drivers_names_are_known(void **state)
{
    is("mlx5_comp3@pci:0000:01:00.0", "enp1s0f0np0", 3, NIC_DIRECTION_BOTH);
    is("mlx5_comp12", "enp1s0f0np0", 12, NIC_DIRECTION_BOTH);
    is("ice-ens1f0-TxRx-7", "ens1f0", 7, NIC_DIRECTION_BOTH);
    is("ens1f0-TxRx-0", "ens1f0", 0, NIC_DIRECTION_BOTH);
    is("ens1f0-rx-1", "ens1f0", 1, NIC_DIRECTION_RX);
    is("ens1f0-tx-1", "ens1f0", 1, NIC_DIRECTION_TX);
    is("eth0-Tx-Rx-5", "eth0", 5, NIC_DIRECTION_BOTH);
    is("enp4s0f4-Rx15", "enp4s0f4", 15, NIC_DIRECTION_RX);
    is("virtio2-input.0", "eth0", 0, NIC_DIRECTION_RX);
    is("virtio12-output.3", "eth0", 3, NIC_DIRECTION_TX);
}

static void others_are_left_alone(void **state)
{
    isnt("mlx5_async0@pci:0000:01:00.0", "eth0");
    isnt("mlx5_comp", "eth0");
    isnt("ice-ens1f1-TxRx-7", "ens1f0"); /* of another port */
    isnt("ice-ens1f0-TxRx-", "ens1f0");
    isnt("ice-ens1f0:misc", "ens1f0");
    isnt("ens1f0-TxRx-99999999999", "ens1f0");
    isnt("virtio2-config", "eth0");
    isnt("virtio2-req.0", "eth0");
    isnt("eth0", "eth0");
    isnt("", "eth0");
    isnt("eth0-TxRx-1x", "eth0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drivers_names_are_known),
        cmocka_unit_test(others_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
