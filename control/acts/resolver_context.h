/* SPDX-License-Identifier: Apache-2.0 */
/* From the configuration's resolver settings to a libunbound context. Process: the resolver's. */
#pragma once

#include "conf.h"

#include <unbound.h>

/* Not finalized yet: files are read at the first question. ERR_CONFIG, ERR_NOMEM. */
int resolver_context_new(const struct conf_resolver *conf, struct ub_ctx **ret, char *why,
                         size_t why_room) ERR_CHECK;
