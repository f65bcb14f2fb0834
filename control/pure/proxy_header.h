/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PROXY protocol v1 and v2 (haproxy's proxy-protocol.txt): parser of the header that a trusted
 * front end sends first. Pure. At most 107 bytes for v1, 16 + 1024 for v2 (TLVs are skipped).
 */
#pragma once

#include "errcode.h"
#include "net_addr.h"

struct proxy_header {
    bool local; /* LOCAL or UNKNOWN: the connection's own addresses hold */
    union net_addr source, destination;
};

/* ERR_AGAIN: more bytes needed. ERR_SYNTAX: not a PROXY header of either version. */
int proxy_header_parse(const uint8_t *data, size_t len, struct proxy_header *ret,
                       size_t *ret_used) ERR_CHECK;
