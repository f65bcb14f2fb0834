/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernel TLS on a connected TCP socket (Linux, Documentation/networking/tls.rst): the calls that
 * install keys, and nothing of when. They never wait.
 */
#pragma once

#include "errcode.h"
#include "tls_record.h"

/* The kernel's TLS joins the connection; nothing changes before keys come. ERR_UNSUPPORTED. */
int ktls_attach(int fd) ERR_CHECK;
/* One direction's keys, from the record with keys->seq on; again for its next generation of keys.
 * ERR_UNSUPPORTED: the kernel lacks the cipher. ERR_STATE: it has keys and takes no others.
 * ERR_SYSTEM. After an error the direction is as it was. */
int ktls_install(int fd, enum tls_dir dir, const struct tls_record_dir *keys) ERR_CHECK;
/* The sequence number of the direction's next record. ERR_SYSTEM. */
int ktls_sequence(int fd, enum tls_dir dir, enum tls_aead cipher, uint64_t *ret_seq) ERR_CHECK;
