/* SPDX-License-Identifier: Apache-2.0 */
/* What text and JSON say alike. */
#pragma once

#include "platform.h"

/* "on", "off" where it could be, "none" */
const char *platform_nic_state(const struct platform_nic *n, enum nic_feature feature);
