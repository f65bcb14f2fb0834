/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who seals and opens TLS records here: we, or the kernel. Decided once a start and reload, in the
 * child that checks the configuration, from what the configuration says, what the kernel can do,
 * which fixes it lacks, and what a short relay of each kind costs (record_measure.h). Workers get
 * the result in their plan, and the dataplane decides for each leg within it: where the kernel
 * lacks a cipher, or a peer changes keys, the records stay ours.
 */
#pragma once

#include "conf.h"
#include "platform.h"

enum { RECORD_WHY_TEXT = 256 };

/* One row a way (record_way.def): which directions are the kernel's. */
enum record_way {
#define RECORD_WAY(name, word, rx, tx) RECORD_WAY_##name,
#include "record_way.def"
#undef RECORD_WAY
    RECORD_WAY_COUNT
};

const char *record_way_word(enum record_way way); /* "kernel-rx", for JSON and the cache */
const char *record_way_text(enum record_way way); /* "kernel records to receive" */
bool record_way_rx(enum record_way way);
bool record_way_tx(enum record_way way);

/* CPU time of the thread that relays, in nanoseconds; 0 where a way could not be had. */
struct record_cost {
    uint64_t chunk_ns[RECORD_WAY_COUNT];  /* a MiB of a body in chunks (BDAT) */
    uint64_t data_ns[RECORD_WAY_COUNT];   /* a MiB of a body as DATA */
    uint64_t switch_ns[RECORD_WAY_COUNT]; /* the hand-off of two legs, and a small body */
};

/* A plain value: it goes from process to process. */
struct record_choice {
    enum record_way way;
    bool costed;  /* it was chosen by cost */
    bool unfixed; /* the kernel deals with records and lacks fixes: the log says so */
    struct record_cost cost;
    uint64_t after_bytes; /* of a body, before its legs become the kernel's; 0: at the hand-off */
    char why[RECORD_WHY_TEXT];
};

/* *ret is the choice, but where *ret_measure: then cost decides, for it says auto, the kernel can,
 * and has the fixes that the configuration asks for. ERR_CONFIG: why says what is wrong and what
 * would do. */
enum { RECORD_ERROR_TEXT = 1024 };
int record_choose(const struct conf_gateway *conf, const struct platform_ktls *ktls,
                  const struct platform_fixes *fixes, struct record_choice *ret, bool *ret_measure,
                  char *why, size_t why_room) ERR_CHECK;
/* The cheapest way, ours unless another is clearly cheaper. */
void record_choose_by_cost(const struct record_cost *cost, const struct platform_fixes *fixes,
                           struct record_choice *ret);
