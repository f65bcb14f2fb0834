/* SPDX-License-Identifier: Apache-2.0 */
#include "aead_backends.h"

#include <sys/mman.h>
#include <unistd.h>

enum {
    MANY = TLS_AEAD_SLOTS + 100,
    LEN_MAX = TLS_PLAINTEXT_MAX + 256,
    ROOM = LEN_MAX + 1 + TLS_TAG_LEN,
};

static void key_of(unsigned number, uint8_t key[TLS_KEY_MAX])
{
    memset(key, 0, TLS_KEY_MAX);
    memcpy(key, &number, sizeof(number));
}

/* Any bytes, the same each time. */
static void fill(uint8_t *out, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        out[i] = (uint8_t)(seed >> 24);
    }
}

/* --- where keys are kept ------------------------------------------------------------------ */

/* What 16 zeros are sealed to tells the key. */
static uint32_t sealed_by(struct tls_aead_place *place, enum tls_aead aead, unsigned number)
{
    uint8_t key[TLS_KEY_MAX], bytes[16 + TLS_TAG_LEN] = {0};
    struct tls_aead_record r = {.bytes = bytes, .from = bytes, .len = 16, .aad = key};
    uint32_t first;

    key_of(number, key);
    assert_int_equal(tls_aead_seal(place, aead, key, &r), ERR_OK);
    memcpy(&first, bytes, sizeof(first));
    return first;
}

static uint32_t sealed_alone(enum tls_aead aead, unsigned number)
{
    struct tls_aead_place place = {0};
    uint32_t first = sealed_by(&place, aead, number);

    tls_aead_forget(&place);
    return first;
}

static void opens(struct tls_aead_place *place, enum tls_aead aead, unsigned number)
{
    uint8_t key[TLS_KEY_MAX], bytes[16 + TLS_TAG_LEN] = {0};
    struct tls_aead_record r = {.bytes = bytes, .from = bytes, .len = 16, .aad = key};
    struct tls_aead_place sealer = {0};

    key_of(number, key);
    assert_int_equal(tls_aead_seal(&sealer, aead, key, &r), ERR_OK);
    tls_aead_forget(&sealer);
    assert_int_equal(tls_aead_open(place, aead, key, &r), ERR_OK);
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(bytes[i], 0);
}

static void a_key_stays_ready_while_there_are_slots(void **state)
{
    struct tls_aead_place place = {0}, others[TLS_AEAD_SLOTS] = {0};
    uint8_t key[TLS_KEY_MAX];

    backend_of(state);
    key_of(1, key);
    assert_int_equal(tls_aead_prepare(&place, TLS_AEAD_AES_128_GCM, key, true), ERR_OK);
    uint64_t owner = place.owner;
    for (unsigned i = 0; i < TLS_AEAD_SLOTS - 1; i++)
        assert_int_equal(tls_aead_prepare(&others[i], TLS_AEAD_AES_256_GCM, key, false), ERR_OK);
    assert_int_equal(tls_aead_prepare(&place, TLS_AEAD_AES_128_GCM, key, true), ERR_OK);
    assert_true(place.owner == owner);
    for (unsigned i = 0; i < TLS_AEAD_SLOTS; i++)
        tls_aead_forget(&others[i]);
    tls_aead_forget(&place);
    assert_true(place.owner == 0);
}

static void more_than_there_are_get_their_own_keys_all_the_same(void **state)
{
    static struct tls_aead_place places[MANY];
    static uint32_t streams[MANY];

    backend_of(state);
    for (unsigned i = 0; i < MANY; i++)
        streams[i] = sealed_alone(i % 3, i);
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < MANY; i++) {
            if (i % 2 == 0)
                assert_true(sealed_by(&places[i], i % 3, i) == streams[i]);
            else
                opens(&places[i], i % 3, i);
        }
    for (unsigned i = 0; i < MANY; i++)
        tls_aead_forget(&places[i]);
}

static void a_forgotten_place_gives_no_key_away(void **state)
{
    struct tls_aead_place place = {0}, copy, next = {0};
    uint8_t key[TLS_KEY_MAX];

    backend_of(state);
    key_of(1, key);
    assert_int_equal(tls_aead_prepare(&place, TLS_AEAD_AES_128_GCM, key, true), ERR_OK);
    copy = place;
    tls_aead_forget(&place);
    tls_aead_forget(&place); /* does no harm */
    uint32_t stream = sealed_by(&copy, TLS_AEAD_AES_128_GCM, 2);
    assert_true(stream == sealed_alone(TLS_AEAD_AES_128_GCM, 2));
    assert_true(stream != sealed_alone(TLS_AEAD_AES_128_GCM, 1));
    assert_int_equal(tls_aead_prepare(&next, TLS_AEAD_AES_128_GCM, key, true), ERR_OK);
    assert_true(next.owner != copy.owner);
    tls_aead_forget(&copy);
    tls_aead_forget(&next);
}

/* A slot goes from one's key to the other's and back. */
static void slots_change_hands(void **state)
{
    static struct tls_aead_place places[MANY];

    if (!backend_there(TLS_AEAD_BACKEND_IPSEC_MB))
        skip();
    uint32_t stream = sealed_alone(TLS_AEAD_AES_256_GCM, 7);
    for (unsigned i = 0; i < 2 * MANY; i++) {
        assert_true(backend_there(aead_backends[i / 50 % 2]));
        assert_true(sealed_by(&places[i % MANY], TLS_AEAD_AES_256_GCM, 7) == stream);
    }
    for (unsigned i = 0; i < MANY; i++)
        tls_aead_forget(&places[i]);
}

/* --- what is sealed ----------------------------------------------------------------------- */

/* The cases of "The Galois/Counter Mode of Operation" (McGrew, Viega), appendix B, by their
 * numbers, and of NIST's gcmEncryptExtIV*.rsp with additional data alone. */
static const struct vector {
    const char *name;
    enum tls_aead aead;
    const char *key, *nonce, *aad, *plain, *sealed;
} vectors[] = {
    {"1", TLS_AEAD_AES_128_GCM, "00000000000000000000000000000000", "000000000000000000000000", "",
     "", "58e2fccefa7e3061367f1d57a4e7455a"},
    {"2", TLS_AEAD_AES_128_GCM, "00000000000000000000000000000000", "000000000000000000000000", "",
     "00000000000000000000000000000000",
     "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"},
    {"3", TLS_AEAD_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888", "",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
     "4d5c2af327cd64a62cf35abd2ba6fab4"},
    {"4", TLS_AEAD_AES_128_GCM, "feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
     "5bc94fbc3221a5db94fae95ae7121a47"},
    {"128 data", TLS_AEAD_AES_128_GCM, "77be63708971c4e240d1cb79e8d77feb",
     "e0e00f19fed7ba0136a797f3", "7a43ec1d9c0a5a78a0b16533a6213cab", "",
     "209fcc8d3675ed938e9c7166709dd946"},
    {"13", TLS_AEAD_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {"14", TLS_AEAD_AES_256_GCM, "0000000000000000000000000000000000000000000000000000000000000000",
     "000000000000000000000000", "", "00000000000000000000000000000000",
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
    {"16", TLS_AEAD_AES_256_GCM, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
     "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"},
    {"256 data", TLS_AEAD_AES_256_GCM,
     "78dc4e0aaf52d935c3c01eea57428f00ca1fd475f5da86a49c8dd73d68c8e223", "d79cf22d504cc793c3fb6c8a",
     "b96baa8c1c75a671bfb2d08d06be5f36", "", "3e5d486aa2e30b22e040b85723a06e76"},
    {"RFC 8439, 2.8.2", TLS_AEAD_CHACHA20_POLY1305,
     "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
     "50515253c0c1c2c3c4c5c6c7",
     "4c616469657320616e642047656e746c656d656e206f662074686520636c6173"
     "73206f66202739393a204966204920636f756c64206f6666657220796f75206f"
     "6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73"
     "637265656e20776f756c642062652069742e",
     "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
     "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
     "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
     "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691"},
};

enum seal_way { WHOLE_IN_PLACE, WHOLE_FROM_ELSEWHERE, TYPE_IN_PLACE, TYPE_FROM_ELSEWHERE, WAYS };

/* Seals plain in one of the ways that there are; the last byte may go in as the inner type. */
static void seal_way(struct tls_aead_place *place, enum tls_aead aead, const uint8_t *key,
                     struct tls_aead_record *r, enum seal_way way, const uint8_t *plain, size_t n)
{
    bool in_place = way == WHOLE_IN_PLACE || way == TYPE_IN_PLACE;
    bool typed = way == TYPE_IN_PLACE || way == TYPE_FROM_ELSEWHERE;

    r->len = typed ? n - 1 : n;
    r->inner_type = typed ? plain + n - 1 : NULL;
    r->from = in_place ? r->bytes : plain;
    if (in_place)
        memcpy(r->bytes, plain, r->len);
    assert_int_equal(tls_aead_seal(place, aead, key, r), ERR_OK);
    r->len = n;
}

static void published_cases_are_met(void **state)
{
    uint8_t key[TLS_KEY_MAX], aad[32], plain[128], sealed[160], bytes[160];

    backend_of(state);
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *v = &vectors[i];
        struct tls_aead_record r = {.bytes = bytes, .aad = aad};
        struct tls_aead_place tx = {0}, rx = {0};

        print_message("case %s\n", v->name);
        bytes_of(v->key, key, sizeof(key));
        bytes_of(v->nonce, r.nonce, sizeof(r.nonce));
        r.aad_len = bytes_of(v->aad, aad, sizeof(aad));
        size_t n = bytes_of(v->plain, plain, sizeof(plain));
        assert_int_equal(bytes_of(v->sealed, sealed, sizeof(sealed)), n + TLS_TAG_LEN);
        for (enum seal_way way = 0; way < (n > 0 ? WAYS : TYPE_IN_PLACE); way++) {
            seal_way(&tx, v->aead, key, &r, way, plain, n);
            assert_memory_equal(bytes, sealed, n + TLS_TAG_LEN);
            assert_int_equal(tls_aead_open(&rx, v->aead, key, &r), ERR_OK);
            assert_memory_equal(bytes, plain, n);
        }
        tls_aead_forget(&tx);
        tls_aead_forget(&rx);
    }
}

/* Sizes around blocks, around what libipsec-mb deals with at once, around ours, and any. */
static size_t size_of(unsigned number)
{
    static const size_t edges[] = {511,  512,  513,  767,  768,   769,   1023,  1024,
                                   1025, 2047, 2048, 2049, 4096,  16383, 16384, 16385,
                                   1400, 4097, 8191, 8192, 16400, 16640, 769,   2050};
    enum { EACH = 300, EDGES = sizeof(edges) / sizeof(edges[0]) };
    uint8_t any[2];

    if (number < EACH)
        return number;
    if (number < EACH + EDGES)
        return edges[number - EACH];
    fill(any, sizeof(any), number);
    return (size_t)(any[0] << 8 | any[1]) % LEN_MAX;
}

/* One seals, in each way; both make the same bytes, and each opens the other's. */
static void each_opens_what_the_other_seals(void **state)
{
    static uint8_t plain[LEN_MAX], bytes[2][ROOM];
    uint8_t key[TLS_KEY_MAX], aad[13];

    if (!backend_there(TLS_AEAD_BACKEND_IPSEC_MB))
        skip();
    for (unsigned i = 0; i < 500; i++) {
        size_t n = size_of(i);
        enum tls_aead aead = i % 2 ? TLS_AEAD_AES_256_GCM : TLS_AEAD_AES_128_GCM;
        enum seal_way way = n > 0 ? i / 2 % WAYS : i / 2 % TYPE_IN_PLACE;
        struct tls_aead_place tx[2] = {0}, rx[2] = {0};
        struct tls_aead_record r[2];

        fill(key, sizeof(key), i + 1000);
        fill(aad, sizeof(aad), i + 2000);
        fill(plain, n, i + 3000);
        for (int b = 0; b < 2; b++) {
            r[b] = (struct tls_aead_record){.bytes = bytes[b], .aad = aad, .aad_len = i % 14};
            fill(r[b].nonce, sizeof(r[b].nonce), i + 4000);
            assert_true(backend_there(aead_backends[b]));
            seal_way(&tx[b], aead, key, &r[b], way, plain, n);
        }
        assert_memory_equal(bytes[0], bytes[1], n + TLS_TAG_LEN);
        for (int b = 0; b < 2; b++) {
            assert_true(backend_there(aead_backends[b]));
            assert_int_equal(tls_aead_open(&rx[b], aead, key, &r[1 - b]), ERR_OK);
            assert_memory_equal(bytes[1 - b], plain, n);
            tls_aead_forget(&tx[b]);
            tls_aead_forget(&rx[b]);
        }
    }
}

/* --- what is refused ---------------------------------------------------------------------- */

static void a_change_of_any_byte_is_refused_and_leaves_nothing(void **state)
{
    static const size_t sizes[] = {0, 1, 16, 40, 300};
    uint8_t key[TLS_KEY_MAX], aad[13], plain[300], good[316], bytes[316];

    backend_of(state);
    fill(key, sizeof(key), 1);
    fill(aad, sizeof(aad), 2);
    fill(plain, sizeof(plain), 3);
    for (size_t i = 0; i < 3 * sizeof(sizes) / sizeof(sizes[0]); i++) {
        enum tls_aead aead = i % 3;
        size_t n = sizes[i / 3], whole = n + TLS_TAG_LEN;
        struct tls_aead_record r = {.bytes = good, .aad = aad, .aad_len = sizeof(aad)};
        struct tls_aead_place tx = {0}, rx = {0};

        seal_way(&tx, aead, key, &r, WHOLE_FROM_ELSEWHERE, plain, n);
        r.bytes = bytes;
        for (size_t at = 0; at < whole + sizeof(aad) + TLS_IV_LEN; at++) {
            uint8_t *byte = at < whole                 ? &bytes[at]
                            : at < whole + sizeof(aad) ? &aad[at - whole]
                                                       : &r.nonce[at - whole - sizeof(aad)];
            memcpy(bytes, good, whole);
            *byte ^= (uint8_t)(1 << at % 8);
            assert_int_equal(tls_aead_open(&rx, aead, key, &r), ERR_TLS_RECORD);
            for (size_t b = 0; b < n; b++)
                assert_int_equal(bytes[b], 0);
            if (at >= whole)
                *byte ^= (uint8_t)(1 << at % 8);
        }
        memcpy(bytes, good, whole);
        assert_int_equal(tls_aead_open(&rx, aead, key, &r), ERR_OK);
        tls_aead_forget(&tx);
        tls_aead_forget(&rx);
    }
}

/* Memory between two pages that must not be touched. */
static uint8_t *pages_make(size_t page, size_t len)
{
    uint8_t *all = mmap(NULL, len + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_true(all != MAP_FAILED);
    assert_int_equal(mprotect(all + page, len, PROT_READ | PROT_WRITE), 0);
    return all + page;
}

/* The library's functions are in assembly, which no sanitizer sees. */
static void nothing_beyond_the_record_is_touched(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), len = 5 * page;
    uint8_t *out = pages_make(page, len), *in = pages_make(page, len);
    uint8_t key[TLS_KEY_MAX];

    backend_of(state);
    fill(key, sizeof(key), 1);
    for (unsigned i = 0; i < 16 * 324; i++) {
        size_t n = size_of(i / 16);
        enum tls_aead aead = i & 1 ? TLS_AEAD_AES_256_GCM : TLS_AEAD_AES_128_GCM;
        bool at_end = i & 2;
        enum seal_way way = n > 0 ? i / 4 % WAYS : i / 4 % TYPE_IN_PLACE;
        size_t aad_len = i / 16 % 14;
        struct tls_aead_place tx = {0}, rx = {0};
        struct tls_aead_record r = {.aad = at_end ? in + len - aad_len : in, .aad_len = aad_len};

        assert_true(n + TLS_TAG_LEN <= len);
        r.bytes = at_end ? out + len - n - TLS_TAG_LEN : out;
        seal_way(&tx, aead, key, &r, way, at_end ? in + len - n : in, n);
        assert_int_equal(tls_aead_open(&rx, aead, key, &r), ERR_OK);
        tls_aead_forget(&tx);
        tls_aead_forget(&rx);
    }
    munmap(out - page, len + 2 * page);
    munmap(in - page, len + 2 * page);
}

/* --- who does ----------------------------------------------------------------------------- */

static void the_fastest_is_one_that_can_be_had(void **state)
{
    char why[TLS_AEAD_WHY_TEXT], said[TLS_AEAD_WHY_TEXT];

    assert_int_equal(tls_aead_use(TLS_AEAD_BACKEND_OPENSSL, said, sizeof(said)), ERR_OK);
    assert_int_equal(tls_aead_used(), TLS_AEAD_BACKEND_OPENSSL);
    assert_memory_equal(said, "OpenSSL 3.", 10);
    bool is_there = tls_aead_use(TLS_AEAD_BACKEND_IPSEC_MB, said, sizeof(said)) == ERR_OK;
    enum tls_aead_backend used = is_there ? TLS_AEAD_BACKEND_IPSEC_MB : TLS_AEAD_BACKEND_OPENSSL;
    assert_int_equal(tls_aead_used(), used);
    assert_int_equal(tls_aead_use_fastest(why, sizeof(why)), used);
    assert_int_equal(tls_aead_used(), used);
    assert_non_null(strstr(why, said));
    assert_non_null(strstr(why, is_there ? "libipsec-mb " : "OpenSSL 3."));
    assert_string_equal(tls_aead_backend_name(TLS_AEAD_BACKEND_OPENSSL), "openssl");
    assert_string_equal(tls_aead_backend_name(TLS_AEAD_BACKEND_IPSEC_MB), "ipsec-mb");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BOTH(a_key_stays_ready_while_there_are_slots),
        WITH_BOTH(more_than_there_are_get_their_own_keys_all_the_same),
        WITH_BOTH(a_forgotten_place_gives_no_key_away),
        cmocka_unit_test(slots_change_hands),
        WITH_BOTH(published_cases_are_met),
        cmocka_unit_test(each_opens_what_the_other_seals),
        WITH_BOTH(a_change_of_any_byte_is_refused_and_leaves_nothing),
        WITH_BOTH(nothing_beyond_the_record_is_touched),
        cmocka_unit_test(the_fastest_is_one_that_can_be_had),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
