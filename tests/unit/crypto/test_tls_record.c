/* SPDX-License-Identifier: Apache-2.0 */
#include "aead_backends.h"

#include "tls_key_schedule.h"
#include "tls_record.h"

static const struct {
    enum tls_version version;
    enum tls_aead aead;
} kinds[] = {
    {TLS_VERSION_1_2, TLS_AEAD_AES_128_GCM},       {TLS_VERSION_1_2, TLS_AEAD_AES_256_GCM},
    {TLS_VERSION_1_2, TLS_AEAD_CHACHA20_POLY1305}, {TLS_VERSION_1_3, TLS_AEAD_AES_128_GCM},
    {TLS_VERSION_1_3, TLS_AEAD_AES_256_GCM},       {TLS_VERSION_1_3, TLS_AEAD_CHACHA20_POLY1305},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

struct pair {
    struct tls_record_dir tx, rx;
};

static struct tls_keys keys_make(size_t kind)
{
    struct tls_keys keys = {
        .version = kinds[kind].version,
        .aead = kinds[kind].aead,
        .max_plaintext = TLS_PLAINTEXT_MAX,
        .key_len = tls_aead_key_len(kinds[kind].aead),
    };
    if (keys.version == TLS_VERSION_1_3)
        keys.secret_len = keys.aead == TLS_AEAD_AES_256_GCM ? 48 : 32;
    for (size_t i = 0; i < TLS_SECRET_MAX; i++)
        keys.tx.secret[i] = (uint8_t)(i * 7 + kind);
    for (size_t i = 0; i < TLS_KEY_MAX; i++)
        keys.tx.key[i] = (uint8_t)(i * 3 + kind);
    for (size_t i = 0; i < TLS_IV_LEN; i++)
        keys.tx.iv[i] = (uint8_t)(0xf8 + i);
    keys.tx.seq = 5;
    keys.rx = keys.tx;
    return keys;
}

static struct pair pair_make(size_t kind)
{
    struct tls_keys keys = keys_make(kind);
    struct pair p;

    assert_int_equal(tls_record_init(&p.tx, &keys, TLS_DIR_TX), ERR_OK);
    assert_int_equal(tls_record_init(&p.rx, &keys, TLS_DIR_RX), ERR_OK);
    return p;
}

static void pair_free(struct pair *p)
{
    tls_record_free(&p->tx);
    tls_record_free(&p->rx);
}

static void fill(uint8_t *data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 31 + 1);
}

static void client_record_of_rfc_8448_opens(void **state)
{
    backend_of(state);
    struct tls_keys keys = {.version = TLS_VERSION_1_3,
                            .aead = TLS_AEAD_AES_128_GCM,
                            .max_plaintext = TLS_PLAINTEXT_MAX,
                            .key_len = 16,
                            .secret_len = 32};
    struct tls_record_dir rx;
    struct tls_record got;
    uint8_t record[128];
    size_t len = bytes_of("17 03 03 00 43 a2 3f 70 54 b6 2c 94 d0 af fa fe 82 28 ba 55 cb ef ac ea"
                          "42 f9 14 aa 66 bc ab 3f 2b 98 19 a8 a5 b4 6b 39 5b d5 4a 9a 20 44 1e 2b"
                          "62 97 4e 1f 5a 62 92 a2 97 70 14 bd 1e 3d ea e6 3a ee bb 21 69 49 15 e4",
                          record, sizeof(record));

    bytes_of("9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5", keys.rx.secret,
             32);
    assert_int_equal(tls13_direction_derive(&keys.rx, 32, 16), ERR_OK);
    assert_int_equal(tls_record_init(&rx, &keys, TLS_DIR_RX), ERR_OK);
    assert_int_equal(tls_record_open(&rx, record, len, &got), ERR_OK);
    assert_int_equal(got.type, TLS_CONTENT_DATA);
    assert_int_equal(got.len, 50);
    for (size_t i = 0; i < 50; i++)
        assert_int_equal(got.data[i], i);
    tls_record_free(&rx);
}

static void sealed_records_open_in_place_and_out_of_place(void **state)
{
    backend_of(state);
    static const size_t sizes[] = {0, 1, 7, 8, 15, 16, 17, 255, 1400, 16383, 16384};
    static uint8_t out[TLS_RECORD_MAX], in[TLS_RECORD_MAX];

    for (size_t kind = 0; kind < KINDS; kind++) {
        struct pair p = pair_make(kind);
        size_t before = tls_record_before(&p.tx), after = tls_record_after(&p.tx);

        for (size_t i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
            size_t n = sizes[i / 2], len, whole;
            uint8_t *from = i % 2 ? in : out + before;
            struct tls_record got;

            fill(from, n);
            assert_int_equal(tls_record_seal(&p.tx, TLS_CONTENT_DATA, from, n, out, &len), ERR_OK);
            assert_int_equal(len, tls_record_size(before, n, after));
            assert_int_equal(tls_record_length(&p.rx, out, len, &whole), ERR_OK);
            assert_int_equal(whole, len);
            assert_int_equal(tls_record_open(&p.rx, out, len, &got), ERR_OK);
            assert_int_equal(got.type, TLS_CONTENT_DATA);
            assert_int_equal(got.len, n);
            fill(in, n);
            assert_memory_equal(got.data, in, n);
        }
        assert_int_equal(p.tx.seq, p.rx.seq);
        pair_free(&p);
    }
}

static void a_flipped_bit_anywhere_is_refused(void **state)
{
    backend_of(state);
    enum { N = 40 };
    uint8_t good[N + 64], bad[N + 64], plain[N];

    fill(plain, N);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct pair p = pair_make(kind);
        struct tls_record got;
        size_t len;

        assert_int_equal(tls_record_seal(&p.tx, TLS_CONTENT_DATA, plain, N, good, &len), ERR_OK);
        for (size_t bit = 0; bit < len * 8; bit++) {
            memcpy(bad, good, len);
            bad[bit / 8] ^= (uint8_t)(1 << bit % 8);
            int err = tls_record_open(&p.rx, bad, len, &got);
            assert_true(err == ERR_TLS_RECORD || err == ERR_SYNTAX || err == ERR_RANGE);
        }
        assert_int_equal(tls_record_open(&p.rx, good, len, &got), ERR_OK);
        pair_free(&p);
    }
}

static void a_truncated_record_is_never_taken(void **state)
{
    backend_of(state);
    enum { N = 40 };
    uint8_t good[N + 64], cut[N + 64], plain[N];

    fill(plain, N);
    for (size_t kind = 0; kind < KINDS; kind++) {
        struct pair p = pair_make(kind);
        struct tls_record got;
        size_t len, whole;

        assert_int_equal(tls_record_seal(&p.tx, TLS_CONTENT_DATA, plain, N, good, &len), ERR_OK);
        for (size_t n = 0; n < len; n++) {
            if (n < 5)
                assert_int_equal(tls_record_length(&p.rx, good, n, &whole), ERR_AGAIN);
            memcpy(cut, good, len);
            assert_int_equal(tls_record_open(&p.rx, cut, n, &got), ERR_TLS_RECORD);
            if (n < 5)
                continue;
            cut[3] = (uint8_t)((n - 5) >> 8); /* a header that says so does not help */
            cut[4] = (uint8_t)(n - 5);
            assert_int_equal(tls_record_open(&p.rx, cut, n, &got), ERR_TLS_RECORD);
        }
        pair_free(&p);
    }
}

static void records_replayed_or_reordered_are_refused(void **state)
{
    backend_of(state);
    uint8_t one[64], two[64], copy[64];

    for (size_t kind = 0; kind < KINDS; kind++) {
        struct pair p = pair_make(kind);
        struct tls_record got;
        size_t len;

        assert_int_equal(tls_record_seal(&p.tx, TLS_CONTENT_DATA, (void *)"1", 1, one, &len),
                         ERR_OK);
        assert_int_equal(tls_record_seal(&p.tx, TLS_CONTENT_DATA, (void *)"2", 1, two, &len),
                         ERR_OK);
        memcpy(copy, two, len);
        assert_int_equal(tls_record_open(&p.rx, copy, len, &got), ERR_TLS_RECORD);
        memcpy(copy, one, len);
        assert_int_equal(tls_record_open(&p.rx, copy, len, &got), ERR_OK);
        memcpy(copy, one, len);
        assert_int_equal(tls_record_open(&p.rx, copy, len, &got), ERR_TLS_RECORD);
        pair_free(&p);
    }
}

static void headers_are_judged_before_the_bytes(void **state)
{
    backend_of(state);
    struct pair p12 = pair_make(0), p13 = pair_make(3);
    static const struct {
        uint8_t header[5];
        int err12, err13;
    } rows[] = {
        {{20, 3, 3, 0, 1}, ERR_SYNTAX, ERR_SYNTAX}, /* CCS */
        {{21, 3, 3, 0, 26}, ERR_OK, ERR_SYNTAX},    /* a plaintext alert in 1.3 */
        {{22, 3, 3, 0, 64}, ERR_OK, ERR_SYNTAX},
        {{23, 3, 3, 0, 64}, ERR_OK, ERR_OK},
        {{24, 3, 3, 0, 64}, ERR_SYNTAX, ERR_SYNTAX}, /* heartbeat */
        {{23, 3, 1, 0, 64}, ERR_SYNTAX, ERR_SYNTAX},
        {{23, 3, 3, 0, 23}, ERR_TLS_RECORD, ERR_OK}, /* nonce and tag are 24 bytes in 1.2 */
        {{23, 3, 3, 0, 17}, ERR_TLS_RECORD, ERR_OK},
        {{23, 3, 3, 0, 16}, ERR_TLS_RECORD, ERR_TLS_RECORD},
        {{23, 3, 3, 0x40, 24}, ERR_OK, ERR_OK},
        {{23, 3, 3, 0x40, 25}, ERR_RANGE, ERR_OK},
        {{23, 3, 3, 0x41, 0}, ERR_RANGE, ERR_OK},
        {{23, 3, 3, 0x41, 1}, ERR_RANGE, ERR_RANGE},
        {{'E', 'H', 'L', 'O', ' '}, ERR_SYNTAX, ERR_SYNTAX},
    };
    size_t len;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(tls_record_length(&p12.rx, rows[i].header, 5, &len), rows[i].err12);
        assert_int_equal(tls_record_length(&p13.rx, rows[i].header, 5, &len), rows[i].err13);
    }
    pair_free(&p12);
    pair_free(&p13);
}

/* Seals an inner plaintext as it stands, type and padding included, as a strange peer might. */
static size_t seal_inner(struct pair *p, uint8_t *inner, size_t n, uint8_t *out)
{
    uint16_t max = p->tx.max_plaintext;
    size_t len;

    p->tx.max_plaintext = TLS_PLAINTEXT_MAX + 256;
    assert_int_equal(tls_record_seal(&p->tx, inner[n - 1], inner, n - 1, out, &len), ERR_OK);
    p->tx.max_plaintext = max;
    return len;
}

static void padding_is_removed(void **state)
{
    backend_of(state);
    static uint8_t inner[TLS_PLAINTEXT_MAX + 2], out[TLS_RECORD_MAX];
    static const struct {
        size_t data, padding;
    } rows[] = {{1, 0}, {1, 1}, {1, 7}, {1, 8}, {1, 9}, {5, 4096}, {0, 1}, {0, 16384}, {16384, 0}};

    for (size_t kind = 3; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct pair p = pair_make(kind);
            struct tls_record got;

            memset(inner, 0, sizeof(inner));
            memset(inner, 0xaa, rows[i].data);
            if (rows[i].data > 1)
                inner[rows[i].data - 1] = 0; /* a zero of the data stays */
            inner[rows[i].data] = TLS_CONTENT_DATA;
            size_t len = seal_inner(&p, inner, rows[i].data + 1 + rows[i].padding, out);
            assert_int_equal(tls_record_open(&p.rx, out, len, &got), ERR_OK);
            assert_int_equal(got.type, TLS_CONTENT_DATA);
            assert_int_equal(got.len, rows[i].data);
            pair_free(&p);
        }
}

static void inner_plaintexts_out_of_bounds_are_refused(void **state)
{
    backend_of(state);
    static uint8_t inner[TLS_PLAINTEXT_MAX + 2], out[TLS_RECORD_MAX];
    static const struct {
        size_t n;
        uint8_t type; /* where the last byte that is not 0 stands, at its end */
        int err;
    } rows[] = {
        {1, 0, ERR_SYNTAX},  {16385, 0, ERR_SYNTAX}, {16386, 23, ERR_RANGE},
        {9, 20, ERR_SYNTAX}, {9, 24, ERR_SYNTAX},    {1, 22, ERR_SYNTAX},
        {1, 21, ERR_SYNTAX}, {3, 21, ERR_OK},        {9, 22, ERR_OK},
    };

    for (size_t kind = 3; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct pair p = pair_make(kind);
            struct tls_record got;

            memset(inner, 0, sizeof(inner));
            inner[rows[i].n - 1] = rows[i].type;
            size_t len = seal_inner(&p, inner, rows[i].n, out);
            assert_int_equal(tls_record_open(&p.rx, out, len, &got), rows[i].err);
            pair_free(&p);
        }
}

static void explicit_nonces_go_on_and_wrap(void **state)
{
    backend_of(state);
    struct tls_keys keys = keys_make(0);
    struct tls_record_dir tx, rx;
    struct tls_record got;
    uint8_t out[64];
    static const uint8_t first[8] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, second[8];
    size_t len;

    memset(keys.tx.iv + 4, 0xff, 8);
    assert_int_equal(tls_record_init(&tx, &keys, TLS_DIR_TX), ERR_OK);
    assert_int_equal(tls_record_init(&rx, &keys, TLS_DIR_RX), ERR_OK);
    assert_int_equal(tls_record_seal(&tx, TLS_CONTENT_DATA, (void *)"a", 1, out, &len), ERR_OK);
    assert_memory_equal(out + 5, first, 8);
    assert_int_equal(tls_record_open(&rx, out, len, &got), ERR_OK);
    assert_int_equal(tls_record_seal(&tx, TLS_CONTENT_DATA, (void *)"a", 1, out, &len), ERR_OK);
    assert_memory_equal(out + 5, second, 8);
    assert_int_equal(tls_record_open(&rx, out, len, &got), ERR_OK);
    tls_record_free(&tx);
    tls_record_free(&rx);
}

static void a_rekey_goes_on_at_both_ends(void **state)
{
    backend_of(state);
    uint8_t out[64], copy[64];
    struct tls_record got;
    size_t len;

    for (size_t kind = 3; kind < KINDS; kind++) {
        struct pair p = pair_make(kind);

        for (int i = 0; i < 3; i++) {
            assert_int_equal(tls_record_rekey(&p.tx), ERR_OK);
            assert_int_equal(p.tx.seq, 0);
            assert_int_equal(tls_record_seal(&p.tx, TLS_CONTENT_DATA, (void *)"abc", 3, out, &len),
                             ERR_OK);
            memcpy(copy, out, len);
            assert_int_equal(tls_record_open(&p.rx, copy, len, &got), ERR_TLS_RECORD);
            assert_int_equal(tls_record_rekey(&p.rx), ERR_OK);
            assert_int_equal(tls_record_open(&p.rx, out, len, &got), ERR_OK);
        }
        pair_free(&p);
    }
    struct pair p = pair_make(0);
    assert_int_equal(tls_record_rekey(&p.tx), ERR_STATE);
    pair_free(&p);
}

static void each_failure_has_its_alert(void **state)
{
    assert_int_equal(tls_record_alert_for(ERR_TLS_RECORD), TLS_ALERT_BAD_RECORD_MAC);
    assert_int_equal(tls_record_alert_for(ERR_RANGE), TLS_ALERT_RECORD_OVERFLOW);
    assert_int_equal(tls_record_alert_for(ERR_SYNTAX), TLS_ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(tls_record_alert_for(ERR_NOMEM), TLS_ALERT_INTERNAL_ERROR);
}

static void a_zeroed_direction_can_be_freed(void **state)
{
    struct tls_record_dir d = {0};

    tls_record_free(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOTH(client_record_of_rfc_8448_opens),
        WITH_BOTH(sealed_records_open_in_place_and_out_of_place),
        WITH_BOTH(a_flipped_bit_anywhere_is_refused),
        WITH_BOTH(a_truncated_record_is_never_taken),
        WITH_BOTH(records_replayed_or_reordered_are_refused),
        WITH_BOTH(headers_are_judged_before_the_bytes),
        WITH_BOTH(padding_is_removed),
        WITH_BOTH(inner_plaintexts_out_of_bounds_are_refused),
        WITH_BOTH(explicit_nonces_go_on_and_wrap),
        WITH_BOTH(a_rekey_goes_on_at_both_ends),
        cmocka_unit_test(each_failure_has_its_alert),
        cmocka_unit_test(a_zeroed_direction_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
