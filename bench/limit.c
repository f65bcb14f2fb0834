/* SPDX-License-Identifier: Apache-2.0 */
#include "limit.h"

#include "bench.h"
#include "limit_sum.h"
#include "option.h"
#include "report.h"
#include "tls_aead.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ROUNDS_MAX = 100,
    ROUND_BYTES = 48 * 1000 * 1000, /* that the relay moves in a round, or: */
    ROUND_MESSAGES = 3000,
    BAR = 30
};

struct limit_options {
    const char *tls, *cipher, *aead, *cert, *key;
    uint64_t size, per_session, sessions, rounds, cpu;
    bool json;
};

#define LIMIT(...) OPTION_ROW(limit_options, __VA_ARGS__)

static const struct option_row rows[] = {
    LIMIT("size", "BYTES", OPTION_U64, size, 64, 1 << 28, "of a message, 64 to 256M (4K)"),
    LIMIT("per-session", "K", OPTION_U64, per_session, 1, 1000000000,
          "messages that share one handshake (1)"),
    LIMIT("sessions", "N", OPTION_U64, sessions, 1, LIMIT_SESSIONS_MAX,
          "at a time through the relay, 1 to 64 (20)"),
    LIMIT("tls", "VERSION", OPTION_TEXT, tls, 0, 8, "1.2 or 1.3 (1.3)"),
    LIMIT("cipher", "NAME", OPTION_TEXT, cipher, 0, 32,
          "aes-128-gcm, aes-256-gcm or chacha20-poly1305 (aes-128-gcm)"),
    LIMIT("aead", "NAME", OPTION_TEXT, aead, 0, 32,
          "who seals and opens records: auto, openssl or ipsec-mb (auto, as posternd)"),
    LIMIT("cert", "FILE", OPTION_TEXT, cert, 0, 4095, "certificate chain, PEM (self-made P-256)"),
    LIMIT("key", "FILE", OPTION_TEXT, key, 0, 4095, "its key, PEM"),
    LIMIT("rounds", "N", OPTION_U64, rounds, 1, ROUNDS_MAX, "interleaved; medians count (5)"),
    LIMIT("cpu", "N", OPTION_U64, cpu, 0, CPU_SETSIZE - 1, "processor to run on (the present one)"),
    LIMIT("json", NULL, OPTION_FLAG, json, 0, 0, "report as JSON"),
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct cipher_row {
    const char *name;
    enum tls_aead aead;
    uint8_t key_len, secret_len;
    const char *suite_13, *suites_12; /* of 1.2 for certificates of either kind */
} ciphers[] = {
    {"aes-128-gcm", TLS_AEAD_AES_128_GCM, 16, 32, "TLS_AES_128_GCM_SHA256",
     "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256"},
    {"aes-256-gcm", TLS_AEAD_AES_256_GCM, 32, 48, "TLS_AES_256_GCM_SHA384",
     "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"},
    {"chacha20-poly1305", TLS_AEAD_CHACHA20_POLY1305, 32, 32, "TLS_CHACHA20_POLY1305_SHA256",
     "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"},
};

struct limit {
    struct limit_options options;
    const struct cipher_row *cipher;
    bool tls12;
    char aead[TLS_AEAD_WHY_TEXT]; /* who seals and opens, and why */
    struct tls_keys keys;
    struct limit_handshake *handshake;
    double values[LIMIT_PART_COUNT][ROUNDS_MAX];
    double medians[LIMIT_PART_COUNT];
    struct limit_sum sum;
    const char *failed; /* what was measured when it failed */
};

static int options_check(struct limit *l, char *error, size_t room)
{
    const struct limit_options *o = &l->options;

    l->tls12 = strcmp(o->tls, "1.2") == 0;
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
        if (strcmp(o->cipher, ciphers[i].name) == 0)
            l->cipher = &ciphers[i];
    }
    if (!l->tls12 && strcmp(o->tls, "1.3") != 0)
        snprintf(error, room, "--tls: found \"%s\", allowed 1.2 and 1.3", o->tls);
    else if (!l->cipher)
        snprintf(error, room, "--cipher: found \"%s\"; --help lists them", o->cipher);
    else if (!o->cert != !o->key)
        snprintf(error, room, "--cert and --key go together");
    else
        return ERR_OK;
    return ERR_SYNTAX;
}

/* As gateway.aead of a configuration says it, or would. ChaCha20-Poly1305 is OpenSSL's in any case.
 */
static int aead_use(struct limit *l, char *error, size_t room)
{
    const char *name = l->options.aead;
    bool is_chacha = l->cipher->aead == TLS_AEAD_CHACHA20_POLY1305;
    enum tls_aead_backend backend = TLS_AEAD_BACKEND_OPENSSL;

    if (strcmp(name, "auto") == 0 && !is_chacha) {
        tls_aead_use_fastest(l->aead, sizeof(l->aead));
        return ERR_OK;
    }
    if (strcmp(name, "ipsec-mb") == 0 && !is_chacha) {
        backend = TLS_AEAD_BACKEND_IPSEC_MB;
    } else if (strcmp(name, "auto") != 0 && strcmp(name, "openssl") != 0) {
        snprintf(error, room, "--aead: found \"%s\", allowed %s", name,
                 is_chacha ? "with this cipher auto and openssl" : "auto, openssl and ipsec-mb");
        return ERR_SYNTAX;
    }
    int err = tls_aead_use(backend, l->aead, sizeof(l->aead));
    if (err != ERR_OK)
        snprintf(error, room, "--aead: found \"%s\", which is not to be had here: %s", name,
                 l->aead);
    return err;
}

static int limit_prepare(struct limit *l, char *error, size_t room)
{
    const struct limit_handshake_conf conf = {.tls12 = l->tls12,
                                              .suite = l->tls12 ? l->cipher->suites_12
                                                                : l->cipher->suite_13,
                                              .cert = l->options.cert,
                                              .key = l->options.key};
    cpu_set_t set;

    /* Both directions have the same keys, so that one value serves both ends. */
    l->keys = (struct tls_keys){.version = l->tls12 ? TLS_VERSION_1_2 : TLS_VERSION_1_3,
                                .aead = l->cipher->aead,
                                .max_plaintext = TLS_PLAINTEXT_MAX,
                                .key_len = l->cipher->key_len,
                                .secret_len = l->tls12 ? 0 : l->cipher->secret_len};
    CPU_ZERO(&set);
    CPU_SET(l->options.cpu, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) {
        snprintf(error, room, "--cpu: this process may not run on processor %u",
                 (unsigned)l->options.cpu);
        return ERR_SYSTEM;
    }
    if (limit_handshake_new(&conf, &l->handshake) != ERR_OK) {
        snprintf(error, room, "OpenSSL does not take the certificate and key, or the cipher");
        return ERR_TLS;
    }
    return ERR_OK;
}

static int aead_measure(struct limit *l, unsigned round)
{
    size_t record = l->options.size < TLS_PLAINTEXT_MAX ? l->options.size : TLS_PLAINTEXT_MAX;

    l->failed = "AEAD";
    int err = limit_aead(&l->keys, TLS_PLAINTEXT_MAX, &l->values[LIMIT_PART_OPEN_16K][round],
                         &l->values[LIMIT_PART_SEAL_16K][round]);
    if (err == ERR_OK)
        err = limit_aead(&l->keys, record, &l->values[LIMIT_PART_OPEN][round],
                         &l->values[LIMIT_PART_SEAL][round]);
    return err;
}

static int handshakes_measure(struct limit *l, unsigned round)
{
    l->failed = "handshakes";
    int err = limit_handshake_run(l->handshake, false, &l->values[LIMIT_PART_SERVER_FULL][round],
                                  &l->values[LIMIT_PART_CLIENT_FULL][round]);
    if (err == ERR_OK)
        err = limit_handshake_run(l->handshake, true, &l->values[LIMIT_PART_SERVER_RESUMED][round],
                                  &l->values[LIMIT_PART_CLIENT_RESUMED][round]);
    return err;
}

static int relay_measure(struct limit *l, unsigned round)
{
    uint64_t messages = ROUND_BYTES / l->options.size;
    struct limit_relay_conf conf = {.size = l->options.size,
                                    .sessions = (unsigned)l->options.sessions,
                                    .cpu = (unsigned)l->options.cpu};

    if (messages > ROUND_MESSAGES)
        messages = ROUND_MESSAGES;
    conf.messages = (unsigned)(messages / conf.sessions) + 1;
    l->failed = "relay";
    int err = limit_relay(&conf, &l->values[LIMIT_PART_RELAY][round]);
    conf.keys = &l->keys;
    if (err == ERR_OK)
        err = limit_relay(&conf, &l->values[LIMIT_PART_RELAY_TLS][round]);
    if (err != ERR_OK)
        return err;
    l->failed = "kernel records";
    err = limit_kernel(&conf, &l->values[LIMIT_PART_KERNEL][round]);
    if (err == ERR_UNSUPPORTED) {
        l->values[LIMIT_PART_KERNEL][round] = 0;
        err = ERR_OK;
    }
    return err;
}

static void progress(unsigned done, unsigned all)
{
    char bar[BAR + 1];

    if (!isatty(STDERR_FILENO))
        return;
    memset(bar, ' ', BAR);
    memset(bar, '#', BAR * done / all);
    bar[BAR] = '\0';
    fprintf(stderr, done < all ? "\r[%s] round %u of %u " : "\r\033[K", bar, done + 1, all);
}

static int limit_run(struct limit *l)
{
    unsigned rounds = (unsigned)l->options.rounds;
    int err = ERR_OK;

    for (unsigned i = 0; i < rounds && err == ERR_OK; i++) {
        progress(i, rounds);
        err = aead_measure(l, i);
        if (err == ERR_OK)
            err = handshakes_measure(l, i);
        if (err == ERR_OK)
            err = relay_measure(l, i);
    }
    progress(rounds, rounds);
    if (err != ERR_OK)
        return err;
    for (unsigned part = 0; part < LIMIT_PART_COUNT; part++)
        l->medians[part] = limit_median(l->values[part], rounds);
    limit_sum(l->medians, l->options.size, l->options.per_session, &l->sum);
    return ERR_OK;
}

static json_t *report_json(const struct limit *l)
{
    const struct limit_options *o = &l->options;
    json_t *spread = json_object();
    json_t *out = json_pack(
        "{ss ss ss ss ss sI sI sI sI sI so sf sf sf sf}", "verb", "limit", "tls", o->tls, "cipher",
        l->cipher->name, "aead", tls_aead_backend_name(tls_aead_used()), "aead_why", l->aead,
        "size", (json_int_t)o->size, "per_session", (json_int_t)o->per_session, "sessions",
        (json_int_t)o->sessions, "rounds", (json_int_t)o->rounds, "cpu", (json_int_t)o->cpu,
        "spread", spread, "limit_mb_s", l->sum.bytes_s / 1e6, "kernel_limit_mb_s",
        l->sum.kernel_bytes_s / 1e6, "cpu_ms_message", l->sum.message_s * 1e3, "relay_percent",
        l->sum.relay_share * 100);

    for (unsigned i = 0; out && i < LIMIT_PART_COUNT; i++) {
        double scale = limit_part_scale(i);
        if (i == LIMIT_PART_KERNEL && l->sum.kernel_bytes_s <= 0)
            continue;
        json_object_set_new(out, limit_part_key(i), json_real(l->medians[i] * scale));
        json_object_set_new(
            spread, limit_part_key(i),
            json_pack("[f f]", l->values[i][0] * scale, l->values[i][o->rounds - 1] * scale));
    }
    return out;
}

static void report_print(const struct limit *l)
{
    const struct limit_options *o = &l->options;

    printf("TLS %s, %s, on processor %u; CPU time, median (smallest to largest) of %u\n", o->tls,
           l->cipher->name, (unsigned)o->cpu, (unsigned)o->rounds);
    printf("records sealed and opened by %s\n", l->aead);
    for (unsigned i = 0; i < LIMIT_PART_COUNT; i++) {
        double scale = limit_part_scale(i);
        if (i == LIMIT_PART_KERNEL && l->sum.kernel_bytes_s <= 0) {
            printf("  %-34s   not on this kernel\n", limit_part_text(i));
            continue;
        }
        printf("  %-34s %8.4f %-4s (%.4f to %.4f)\n", limit_part_text(i), l->medians[i] * scale,
               limit_part_unit(i) == LIMIT_UNIT_MS ? "ms" : "s/GB", l->values[i][0] * scale,
               l->values[i][o->rounds - 1] * scale);
    }
    printf("messages of %llu bytes, %llu a session, %u sessions at a time\n",
           (unsigned long long)o->size, (unsigned long long)o->per_session, (unsigned)o->sessions);
    printf("  limit in user space               %8.1f MB a CPU-second (%.4f s/GB)\n",
           l->sum.bytes_s / 1e6, 1e9 / l->sum.bytes_s);
    if (l->sum.kernel_bytes_s > 0)
        printf("  limit with kernel records         %8.1f MB a CPU-second\n",
               l->sum.kernel_bytes_s / 1e6);
    printf("  with the handshake's share        %8.4f CPU-ms a message\n", l->sum.message_s * 1e3);
    printf("  the relay with user records has   %8.0f %% of the limit\n", l->sum.relay_share * 100);
}

static int limit_report(const struct limit *l)
{
    int err = ERR_OK;

    if (l->options.json)
        err = report_write(report_json(l), false);
    else
        report_print(l);
    return err == ERR_OK && fflush(stdout) != 0 ? ERR_IO : err;
}

int limit_main(int argc, char **argv)
{
    static struct limit l;
    char error[256];
    int cpu = sched_getcpu();

    l.options = (struct limit_options){.tls = "1.3",
                                       .cipher = ciphers[0].name,
                                       .aead = "auto",
                                       .size = 4096,
                                       .per_session = 1,
                                       .sessions = 20,
                                       .rounds = 5,
                                       .cpu = cpu > 0 ? (uint64_t)cpu : 0};
    int err = options_read(rows, ROWS, argc, argv, &l.options, error, sizeof(error));
    if (err == ERR_CLOSED) {
        bench_help("limit");
        return BENCH_OK;
    }
    if (err == ERR_OK)
        err = options_check(&l, error, sizeof(error));
    if (err == ERR_OK)
        err = aead_use(&l, error, sizeof(error));
    if (err != ERR_OK) {
        fprintf(stderr, "postern-bench: limit: %s\n", error);
        return BENCH_USAGE;
    }
    err = limit_prepare(&l, error, sizeof(error));
    if (err == ERR_OK) {
        err = limit_run(&l);
        if (err != ERR_OK)
            snprintf(error, sizeof(error), "%s: %s", l.failed, err_text(err));
    }
    limit_handshake_free(l.handshake);
    if (err != ERR_OK) {
        fprintf(stderr, "postern-bench: limit: %s\n", error);
        return BENCH_OSERR;
    }
    return limit_report(&l) == ERR_OK ? BENCH_OK : BENCH_IOERR;
}

void limit_help(FILE *to)
{
    options_help(rows, ROWS, to);
}
