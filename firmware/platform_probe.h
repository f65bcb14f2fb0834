/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of platform_probe that ask the machine, one file each. */
#pragma once

#include "platform.h"

/* Real sockets on loopback take the protocol and each cipher's keys, and are closed. */
void platform_probe_ktls(struct platform_ktls *ret);
/* Asks the kernel's ethtool family for the features of all interfaces. */
void platform_probe_nics(struct platform *ret);
