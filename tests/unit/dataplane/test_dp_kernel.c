/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Are records handed to a kernel at the right byte, whatever came with the handshake's last one and
 * however it was cut, and is what an attacker puts there never data?
 */
#include "../cmocka_all.h"

#include "dp_lab.h"

#include <string.h>

static const struct lab_tls kinds[] = {
    {true, TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM},
    {true, TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]), WIRE = 400 };

/* Both legs in plaintext; the client's end has keys, and wire has what it sealed. */
static size_t before_the_switch(struct lab *lab, const struct lab_tls *tls, uint32_t fragment,
                                struct tls_keys *ret_keys, uint8_t *wire)
{
    static const char *const lines[] = {"NOOP one\r\n", "", "NOOP two\r\n"};
    const struct lab_conf conf = {
        .sim = {.seed = fragment, .delay_max_ms = 2, .fragment_max = fragment}, .max_relays = 1};
    struct lab_end *end = &lab->client;
    struct tls_keys far;
    size_t len = 0;

    lab_open(lab, &conf);
    lab_keys(tls, 10, ret_keys, &far);
    end->tls = true;
    assert_int_equal(tls_record_init(&end->tx, &far, TLS_DIR_TX), ERR_OK);
    assert_int_equal(tls_record_init(&end->rx, &far, TLS_DIR_RX), ERR_OK);
    for (unsigned i = 0; i < 3; i++) {
        size_t n;
        assert_int_equal(tls_record_seal(&end->tx, TLS_CONTENT_DATA, (const uint8_t *)lines[i],
                                         strlen(lines[i]), wire + len, &n),
                         ERR_OK);
        len += n;
    }
    assert_true(len < WIRE);
    return len;
}

static void cut_at_each_byte(void **state)
{
    uint8_t wire[WIRE];

    for (size_t k = 0; k < KINDS; k++) {
        size_t len = WIRE;
        for (size_t cut = 0; cut <= len; cut++) {
            struct dp_counters now;
            struct tls_keys keys;
            struct lab lab;
            len = before_the_switch(&lab, &kinds[k], (uint32_t)(cut % 4), &keys, wire);
            assert_int_equal(dp_set_keys(lab.dp, lab.a.id, &keys, span_make(wire, cut), 0), ERR_OK);
            assert_int_equal(dp_send(lab.dp, lab.a.id, "220 hello\r\n", 11), ERR_OK);
            lab_send_bytes(&lab.client, wire + cut, len - cut);
            lab_run(&lab, 10000);
            lab_send(&lab.client, "QUIT\r\n", 6, 3);
            lab_run(&lab, 10000);
            assert_int_equal(buf_len(&lab.a.text), 26);
            assert_memory_equal(buf_span(&lab.a.text).ptr, "NOOP one\r\nNOOP two\r\nQUIT\r\n", 26);
            assert_int_equal(buf_len(&lab.client.text), 11);
            dp_counters(lab.dp, &now);
            if (lab_way.refuse_per_mille == 0) {
                assert_int_equal(now.kernel_rx,
                                 lab_way.kernel_rx.on && !lab_way.kernel_rx.after_bytes);
                assert_int_equal(now.kernel_tx,
                                 lab_way.kernel_tx.on && !lab_way.kernel_tx.after_bytes);
            }
            lab_close(&lab);
        }
    }
}

/* A bit of the first record is another one, before or after the switch. */
static void flipped_at_each_byte(void **state)
{
    uint8_t wire[WIRE];

    for (size_t at = 5; at < 30; at++) {
        for (size_t cut = 0; cut < 60; cut += 7) {
            struct tls_keys keys;
            struct lab lab;
            size_t len = before_the_switch(&lab, &kinds[at % KINDS], 0, &keys, wire);
            wire[at] ^= 4;
            assert_int_equal(dp_set_keys(lab.dp, lab.a.id, &keys, span_make(wire, cut), 0), ERR_OK);
            lab_send_bytes(&lab.client, wire + cut, len - cut);
            lab_run(&lab, 10000);
            assert_int_equal(buf_len(&lab.a.text), 0);
            assert_true(lab.a.lost);
            assert_int_equal(lab.a.lost_info.why, DP_LOST_BAD_RECORD);
            assert_int_equal(lab.client.alert, TLS_ALERT_BAD_RECORD_MAC);
            lab_close(&lab);
        }
    }
}

/* Plaintext where records should begin is no command. */
static void plaintext_behind_the_handshake(void **state)
{
    uint8_t wire[WIRE];

    for (size_t cut = 0; cut < 12; cut++) {
        struct tls_keys keys;
        struct lab lab;
        before_the_switch(&lab, &kinds[0], 0, &keys, wire);
        static const char evil[] = "MAIL FROM:<evil@example.com>\r\n";
        assert_int_equal(dp_set_keys(lab.dp, lab.a.id, &keys, span_make(evil, cut), 0), ERR_OK);
        lab_send_bytes(&lab.client, evil + cut, strlen(evil) - cut);
        lab_run(&lab, 10000);
        assert_int_equal(buf_len(&lab.a.text), 0);
        assert_true(lab.a.lost);
        assert_int_equal(lab.a.lost_info.why, DP_LOST_BAD_RECORD);
        lab_close(&lab);
    }
}

static int all(const char *way)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cut_at_each_byte),
        cmocka_unit_test(flipped_at_each_byte),
        cmocka_unit_test(plaintext_behind_the_handshake),
    };

    return cmocka_run_group_tests_name(way, tests, NULL, NULL);
}

int main(void)
{
    return lab_sim_run(all);
}
