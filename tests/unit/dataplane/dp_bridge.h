/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dataplane over kernel TCP on loopback: a client and a server, each a thread with a blocking
 * socket and the record layer, and the dataplane between them.
 */
#pragma once

#include "dp_lab.h"
#include "dp_transport.h"

#include <pthread.h>
#include <semaphore.h>

enum kill { KILL_NONE, KILL_RESET, KILL_FIN };

/* A far end. */
struct far {
    int fd; /* the server's: listening */
    uint16_t port;
    bool server, tls;
    struct tls_record_dir tx, rx;
    struct tls_keys keys;
    const uint8_t *body;
    size_t len, record, kill_at;
    enum kill kill;
    sem_t *accepted; /* a client that is killed waits for it: one that goes before has no leg */
    unsigned seed;
    /* The result: */
    struct buf text;
    bool close_notify, clean;
    pthread_t thread;
};

struct bridge {
    struct dp *dp;
    struct leg_id a, b;
    sem_t accepted;
    bool have_a, have_b;
    struct tls_keys a_keys, b_keys;
    bool a_tls, b_tls;
    struct body_flow flow;
    unsigned done;
    enum dp_relay_end end;
    struct dp_timer give_up;
};

int loopback_listen(uint16_t *ret_port);
int loopback_connect(uint16_t port);
bool write_all(int fd, const uint8_t *data, size_t len);

/* One body from client to server; the caller looks at the ends. conf: max_legs and such. */
void bridge_cross(const struct dp_conf *conf, const struct lab_tls *a, const struct lab_tls *b,
                  struct far *client, struct far *server, struct bridge *bridge);
void far_free(struct far *far);
/* One of len bytes, and all of it arrives, and is answered. */
void bridge_whole(const struct dp_conf *conf, const struct lab_tls *a, const struct lab_tls *b,
                  size_t len, size_t record, unsigned seed);
/* The length of a body that sockets do not hold; in an emulated machine only in each seventh round,
 * else one that a batch does not. */
size_t bridge_large(unsigned round);
/* As lab_body, with the final dot; the caller frees it. */
uint8_t *body_with_end(size_t len);
