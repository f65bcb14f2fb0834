/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of platform_probe that ask the machine, one file each. */
#pragma once

#include "platform.h"

/* Asks the kernel's ethtool family for the features of all interfaces. */
void platform_probe_nics(struct platform *ret);
