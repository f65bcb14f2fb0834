/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The appliance's firewall as nftables reads it: what the gateway's listeners, administration and the
 * network itself need comes in, and nothing else. It replaces its own table at once, and no other.
 * Pure: values in, a text out; no value in it is a string of anybody's.
 */
#pragma once

#include "buf.h"
#include "net_addr.h"

struct firewall {
    const union net_addr *open; /* address and port; loopback is always open, and left out */
    size_t open_len;
    bool ssh;
};

/* ERR_FULL, ERR_NOMEM. */
int firewall_text(const struct firewall *f, struct buf *out) ERR_CHECK;
