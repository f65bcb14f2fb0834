/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of platform_probe that ask the machine, one file each. root: an open descriptor of the
 * folder below which sys and proc are.
 */
#pragma once

#include "platform.h"

/* Asks the kernel's ethtool and devlink families for all interfaces, and its files for each. */
void platform_probe_nics(int root, struct platform *ret);
/* Of one card: its driver, place, queues and interrupts, by the files alone. */
void platform_probe_nic_files(int root, struct platform *p, struct platform_nic *nic);
/* Processors, memory, accelerators, IOMMU, TPM, watchdogs, clock, counters of kernel TLS. */
void platform_probe_host(int root, struct platform *ret);
/* Disks by the kernel's files; their health by asking each. */
void platform_probe_disks(int root, struct platform *ret);
