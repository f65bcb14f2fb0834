/* SPDX-License-Identifier: Apache-2.0 */
/* The test's end of a fake handshake, and of the real records after it. */
#pragma once

#include "buf.h"
#include "dp_sim.h"

struct actor_tls;

struct actor_tls *actor_tls_client(uint64_t seed,
                                   struct dp_sim_peer *peer); /* sends its first bytes */
struct actor_tls *actor_tls_server(uint64_t seed);
void actor_tls_free(struct actor_tls *t);
bool actor_tls_in_handshake(const struct actor_tls *t);
void actor_tls_send(struct actor_tls *t, struct dp_sim_peer *peer, const void *data, size_t len);
/* Ciphertext in, plaintext appended to ret_plain. A record that does not open fails the test. */
void actor_tls_receive(struct actor_tls *t, struct dp_sim_peer *peer, const uint8_t *data,
                       size_t len, struct buf *ret_plain);
/* Says a KeyUpdate, asks for one where request says so, and goes on with new keys. */
void actor_tls_key_update(struct actor_tls *t, struct dp_sim_peer *peer, bool request);
void actor_tls_empty(struct actor_tls *t, struct dp_sim_peer *peer);
/* Before each record of data, which it may make shorter; NULL: nothing. */
extern void (*actor_tls_noise)(struct actor_tls *t, struct dp_sim_peer *peer, size_t *len);
