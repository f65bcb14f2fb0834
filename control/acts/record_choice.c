/* SPDX-License-Identifier: Apache-2.0 */
#include "record_choice.h"

#include <stdio.h>

enum {
    CLEARLY_PERCENT = 95, /* of our own records' cost: at most this is worth the kernel's limits */
    FIXES_NAMED = 3,      /* in one line of status, of this length */
    LACKING_TEXT = 96,
};
/* A body of fewer bytes does not pay for the hand-off, and most mail is smaller. */
#define AFTER_BYTES_LEAST (UINT64_C(64) * 1024)
#define MIB (UINT64_C(1) << 20)

static const struct {
    const char *word;
    bool rx, tx;
} ways[RECORD_WAY_COUNT] = {
#define RECORD_WAY(name, word, rx, tx) [RECORD_WAY_##name] = {word, rx, tx},
#include "record_way.def"
#undef RECORD_WAY
};

const char *record_way_word(enum record_way way)
{
    return ways[way].word;
}

bool record_way_rx(enum record_way way)
{
    return ways[way].rx;
}

bool record_way_tx(enum record_way way)
{
    return ways[way].tx;
}

const char *record_way_text(enum record_way way)
{
    if (ways[way].rx && ways[way].tx)
        return "kernel records";
    if (ways[way].rx)
        return "kernel records to receive";
    return ways[way].tx ? "kernel records to send" : "user records";
}

static enum record_way way_of(bool rx, bool tx)
{
    for (int i = 0; i < RECORD_WAY_COUNT; i++)
        if (ways[i].rx == rx && ways[i].tx == tx)
            return (enum record_way)i;
    return RECORD_WAY_USER;
}

/* "CVE-1, CVE-2 and 3 more" */
static void lacking_text(const struct platform_fixes *f, size_t named, char *out, size_t room)
{
    size_t seen = 0, len = 0;

    out[0] = '\0';
    for (size_t i = 0; i < f->len && len < room; i++) {
        if (f->fixes[i].has)
            continue;
        if (seen == named) {
            snprintf(out + len, room - len, " and %zu more", f->lacking - seen);
            return;
        }
        len += (size_t)snprintf(out + len, room - len, "%s%s", seen ? ", " : "", f->fixes[i].id);
        seen++;
    }
}

/* What an administrator took upon himself. */
static void unfixed_note(const struct platform_fixes *fixes, struct record_choice *ret)
{
    char lacking[LACKING_TEXT];
    size_t len = strlen(ret->why);

    ret->unfixed = ret->way != RECORD_WAY_USER && fixes->lacking > 0;
    if (!ret->unfixed)
        return;
    lacking_text(fixes, FIXES_NAMED, lacking, sizeof(lacking));
    snprintf(ret->why + len, sizeof(ret->why) - len, "; this kernel lacks the fix of %s", lacking);
}

static enum record_way way_there(const struct platform_ktls *ktls)
{
    bool rx = false, tx = false;

    for (int i = 0; i < KTLS_CIPHER_COUNT; i++) {
        rx = rx || ktls->ciphers[i].rx;
        tx = tx || ktls->ciphers[i].tx;
    }
    return way_of(ktls->ulp && rx, ktls->ulp && tx);
}

static int choose_kernel(const struct platform_ktls *ktls, const struct platform_fixes *fixes,
                         bool require, struct record_choice *ret, char *why, size_t why_room)
{
    char lacking[RECORD_ERROR_TEXT / 2];

    if (way_there(ktls) == RECORD_WAY_USER) {
        snprintf(why, why_room,
                 "found \"ktls\", and kernel TLS is not to be had here: %s; "
                 "allowed is \"auto\" or \"uring\"",
                 ktls->why);
        return ERR_CONFIG;
    }
    lacking_text(fixes, fixes->len, lacking, sizeof(lacking));
    if (fixes->lacking > 0 && require) {
        snprintf(why, why_room,
                 "found \"ktls\", and this kernel (%s) lacks fixes that peers "
                 "can make use of: %s; install a newer kernel, take \"auto\" or \"uring\", or run "
                 "with these faults by gateway.kernel_fixes = \"warn\"",
                 fixes->package, lacking);
        return ERR_CONFIG;
    }
    ret->way = way_there(ktls);
    snprintf(ret->why, sizeof(ret->why), "%s: the configuration says ktls",
             record_way_text(ret->way));
    unfixed_note(fixes, ret);
    return 0;
}

static bool choose_auto(const struct platform_ktls *ktls, const struct platform_fixes *fixes,
                        bool require, struct record_choice *ret)
{
    char lacking[LACKING_TEXT];

    lacking_text(fixes, FIXES_NAMED, lacking, sizeof(lacking));
    if (way_there(ktls) == RECORD_WAY_USER)
        snprintf(ret->why, sizeof(ret->why), "user records: %s", ktls->why);
    else if (fixes->lacking > 0 && require)
        snprintf(ret->why, sizeof(ret->why), "user records: this kernel (%s) lacks the fix of %s",
                 fixes->package, lacking);
    else
        return true;
    return false;
}

int record_choose(const struct conf_gateway *conf, const struct platform_ktls *ktls,
                  const struct platform_fixes *fixes, struct record_choice *ret, bool *ret_measure,
                  char *why, size_t why_room)
{
    bool require = conf->kernel_fixes == CONF_KERNEL_FIXES_REQUIRE;

    *ret = (struct record_choice){.way = RECORD_WAY_USER};
    *ret_measure = false;
    switch (conf->dataplane) {
    case CONF_DATAPLANE_URING:
        snprintf(ret->why, sizeof(ret->why), "user records: the configuration says uring");
        return 0;
    case CONF_DATAPLANE_KTLS:
        return choose_kernel(ktls, fixes, require, ret, why, why_room);
    case CONF_DATAPLANE_AUTO:
        *ret_measure = choose_auto(ktls, fixes, require, ret);
        return 0;
    }
    return ERR_CONFIG;
}

/* A body in chunks and one as DATA count alike: what senders use differs from site to site. */
static uint64_t cost_of(const struct record_cost *c, int way)
{
    return c->chunk_ns[way] > 0 && c->data_ns[way] > 0 ? c->chunk_ns[way] + c->data_ns[way] : 0;
}

static double times(uint64_t a, uint64_t b)
{
    return b > 0 ? (double)a / (double)b : 0;
}

static enum record_way cheapest(const struct record_cost *c, int first)
{
    int best = first;

    for (int i = first; i < RECORD_WAY_COUNT; i++)
        if (cost_of(c, i) > 0 && (cost_of(c, best) == 0 || cost_of(c, i) < cost_of(c, best)))
            best = i;
    return (enum record_way)best;
}

/* Bytes of a body after which its legs' hand-off is paid for. */
static uint64_t after_bytes(const struct record_cost *c, enum record_way way)
{
    uint64_t user = c->switch_ns[RECORD_WAY_USER], kernel = c->switch_ns[way];
    uint64_t saved = cost_of(c, RECORD_WAY_USER) - cost_of(c, way); /* of two MiB */
    uint64_t bytes = kernel > user ? (kernel - user) * 2 * MIB / saved : 0;

    bytes = (bytes + AFTER_BYTES_LEAST - 1) / AFTER_BYTES_LEAST * AFTER_BYTES_LEAST;
    return bytes > AFTER_BYTES_LEAST ? bytes : AFTER_BYTES_LEAST;
}

void record_choose_by_cost(const struct record_cost *cost, const struct platform_fixes *fixes,
                           struct record_choice *ret)
{
    enum record_way best = cheapest(cost, RECORD_WAY_USER + 1);
    uint64_t user = cost_of(cost, RECORD_WAY_USER), least = cost_of(cost, best);

    *ret = (struct record_choice){.way = RECORD_WAY_USER, .cost = *cost};
    if (user == 0 || least == 0) {
        snprintf(ret->why, sizeof(ret->why), "user records: no relay with kernel TLS succeeded");
        return;
    }
    ret->costed = true;
    if (least * 100 <= user * CLEARLY_PERCENT) {
        ret->way = best;
        ret->after_bytes = after_bytes(cost, best);
    }
    snprintf(ret->why, sizeof(ret->why),
             "%s: %s cost %.2fx the CPU of user records here (chunks %.2fx, DATA %.2fx)",
             record_way_text(ret->way), record_way_text(best), times(least, user),
             times(cost->chunk_ns[best], cost->chunk_ns[RECORD_WAY_USER]),
             times(cost->data_ns[best], cost->data_ns[RECORD_WAY_USER]));
    unfixed_note(fixes, ret);
}
