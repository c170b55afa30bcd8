#include "coordinator/protocol/codec.h"
#include "tests/coordinator/protocol/samples.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

static void encode(const pt_message *m, uint8_t **bytes, size_t *size)
{
    pt_status status = pt_message_encode(m, bytes, size);
    assert_string_equal(status.message, "");
}

static void test_checksums(void **state)
{
    (void)state;
    /* RFC 3720, appendix B.4, and the customary "123456789". */
    uint8_t bytes[32] = {0};
    assert_int_equal(pt_crc32c(0, bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(pt_crc32c(0, bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++) {
        bytes[i] = (uint8_t)i;
    }
    assert_int_equal(pt_crc32c(0, bytes, 32), 0x46dd794e);
    assert_int_equal(pt_crc32c_plain(0, bytes, 32), 0x46dd794e);
    for (size_t split = 0; split <= 9; split++) {
        assert_int_equal(pt_crc32c(pt_crc32c(0, "123456789", split), "123456789" + split, 9 - split),
                         0xe3069283);
    }
}

static void test_fast_checksums_equal_plain_ones(void **state)
{
    (void)state;
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)sample_random(256);
    }
    for (size_t from = 0; from < 16; from++) {
        for (size_t size = 0; size <= sizeof bytes - from; size++) {
            assert_int_equal(pt_crc32c(77, bytes + from, size), pt_crc32c_plain(77, bytes + from, size));
        }
    }
}

static void test_every_message_comes_back(void **state)
{
    (void)state;
    for (int type = PT_MSG_HELLO; type < PT_MSG_TYPES; type++) {
        for (int variant = 0; variant < SAMPLE_VARIANTS; variant++) {
            pt_message m = sample_message((pt_message_type)type, variant);
            uint8_t *bytes, *again;
            size_t size, again_size;
            encode(&m, &bytes, &size);
            pt_message back;
            pt_status status = pt_message_decode(bytes, size, &back);
            assert_string_equal(status.message, "");
            assert_int_equal(back.type, type);
            assert_true(back.job == m.job && back.epoch == m.epoch);
            encode(&back, &again, &again_size);
            assert_int_equal(size, again_size);
            assert_memory_equal(bytes, again, size);
            pt_message_fini(&back);
            pt_message_fini(&m);
            assert_null(m.as.assign.pixels);
            pt_free(bytes);
            pt_free(again);
        }
    }
}

/* What the bytes' equality above cannot tell: that each field comes back in its own place. */
static void test_fields_come_back(void **state)
{
    (void)state;
    uint8_t *bytes;
    size_t size;
    pt_message back;
    pt_message m = sample_message(PT_MSG_HELLO, 2);
    encode(&m, &bytes, &size);
    assert_int_equal(pt_message_decode(bytes, size, &back).code, PT_OK);
    assert_memory_equal(&back.as.hello, &m.as.hello, sizeof m.as.hello);
    pt_free(bytes);

    m = sample_message(PT_MSG_HEARTBEAT, 2);
    encode(&m, &bytes, &size);
    assert_int_equal(pt_message_decode(bytes, size, &back).code, PT_OK);
    assert_true(back.as.heartbeat.progress == UINT64_MAX && back.as.heartbeat.credit == 4);
    assert_int_equal(back.as.heartbeat.held_count, PT_HELD_MAX);
    for (int i = 0; i < PT_HELD_MAX; i++) {
        assert_true(back.as.heartbeat.held[i].tile == m.as.heartbeat.held[i].tile);
        assert_int_equal(back.as.heartbeat.held[i].attempt, 1 + i);
        assert_int_equal(back.as.heartbeat.held[i].started, i == 0);
    }
    pt_free(bytes);

    m = sample_message(PT_MSG_FAILED, 1);
    encode(&m, &bytes, &size);
    assert_int_equal(pt_message_decode(bytes, size, &back).code, PT_OK);
    const pt_result *r = &back.as.result.result;
    assert_true(r->tile == 42 && r->attempt == 2 && r->outcome == PT_TILE_FAILED &&
                r->status.code == PT_E_READ);
    assert_string_equal(r->status.message, "row 1 cannot be read");
    assert_true(r->read_seconds == 0.25 && r->infer_seconds == 1);
    pt_message_fini(&back);
    pt_free(bytes);

    m = sample_message(PT_MSG_ASSIGN, 1);
    encode(&m, &bytes, &size);
    assert_int_equal(pt_message_decode(bytes, size, &back).code, PT_OK);
    assert_true(back.as.assign.tile == 12345678901 && back.as.assign.attempt == 2 &&
                back.as.assign.has_pixels);
    assert_int_equal(back.as.assign.pixel_bytes, 4000);
    assert_memory_equal(back.as.assign.pixels, m.as.assign.pixels, 4000);
    pt_message_fini(&back);
    pt_message_fini(&m);
    pt_free(bytes);
}

static void test_texts_are_made_printable(void **state)
{
    (void)state;
    pt_message m = {.type = PT_MSG_REFUSED};
    strcpy(m.as.refused, "a\nb\x1b[31m \xff\xc3\xa4 \xed\xa0\x80 \xc0\xaf \xf0\x9f\x8c\x8d \xe2\x82");
    uint8_t *bytes;
    size_t size;
    pt_message back;
    encode(&m, &bytes, &size);
    assert_int_equal(pt_message_decode(bytes, size, &back).code, PT_OK);
    assert_string_equal(back.as.refused, "a?b?[31m ?\xc3\xa4 ??? ?? \xf0\x9f\x8c\x8d ??");
    pt_free(bytes);
    /* A name that fills its array to the end, without a character cut in two. */
    m = (pt_message){.type = PT_MSG_BYE};
    memset(m.as.bye, 'x', sizeof m.as.bye - 1);
    encode(&m, &bytes, &size);
    assert_int_equal(pt_message_decode(bytes, size, &back).code, PT_OK);
    assert_string_equal(back.as.bye, m.as.bye);
    pt_free(bytes);
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    for (int type = PT_MSG_HELLO; type < PT_MSG_TYPES; type++) {
        pt_message m = sample_message((pt_message_type)type, 1);
        uint8_t *bytes;
        size_t size;
        encode(&m, &bytes, &size);
        for (size_t cut = 0; cut < size; cut++) {
            pt_message back;
            uint8_t *exact = malloc(cut + 1); /* so that a byte read beyond is noticed */
            memcpy(exact, bytes, cut);
            uint8_t *tight = realloc(exact, cut ? cut : 1);
            assert_int_equal(pt_message_decode(tight, cut, &back).code, PT_E_INPUT);
            free(tight);
        }
        pt_free(bytes);
        pt_message_fini(&m);
    }
}

static void test_every_flipped_bit_is_refused(void **state)
{
    (void)state;
    for (int type = PT_MSG_HELLO; type < PT_MSG_TYPES; type++) {
        pt_message m = sample_message((pt_message_type)type, type == PT_MSG_RESULT ? 1 : 2);
        uint8_t *bytes;
        size_t size;
        encode(&m, &bytes, &size);
        for (size_t bit = 0; bit < 8 * size; bit++) {
            pt_message back;
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
            assert_int_equal(pt_message_decode(bytes, size, &back).code, PT_E_INPUT);
            bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        pt_free(bytes);
        pt_message_fini(&m);
    }
}

/* Flips that come with a checksum to fit: whatever is taken keeps the rules and can be sent again. */
static void test_sealed_nonsense_is_refused_or_sane(void **state)
{
    (void)state;
    int taken = 0;
    int refused = 0;
    for (int n = 0; n < 20000; n++) {
        pt_message m = sample_message((pt_message_type)(1 + n % (PT_MSG_TYPES - 1)), n % SAMPLE_VARIANTS);
        uint8_t *bytes;
        size_t size;
        encode(&m, &bytes, &size);
        for (int64_t flips = 1 + sample_random(4); flips > 0 && size > PT_FRAME_HEADER; flips--) {
            size_t at = PT_FRAME_HEADER + (size_t)sample_random((int64_t)(size - PT_FRAME_HEADER));
            bytes[at] = (uint8_t)sample_random(256);
        }
        pt_frame_seal(bytes, size, &m);
        pt_message back;
        pt_status status = pt_message_decode(bytes, size, &back);
        if (status.code == PT_OK) {
            uint8_t *again;
            size_t again_size;
            encode(&back, &again, &again_size);
            pt_free(again);
            pt_message_fini(&back);
            taken++;
        } else {
            assert_int_equal(status.code, PT_E_INPUT);
            refused++;
        }
        pt_free(bytes);
        pt_message_fini(&m);
    }
    assert_true(taken > 100 && refused > 100);
}

static void refuse(pt_message *m, const char *what)
{
    uint8_t *bytes = NULL;
    size_t size = 77;
    pt_status status = pt_message_encode(m, &bytes, &size);
    assert_int_equal(status.code, PT_E_USAGE);
    assert_non_null(strstr(status.message, what));
    assert_null(bytes);
    assert_int_equal(size, 77);
    pt_message_fini(m);
}

#define REFUSE(type_, variant_, change, what)                                                                \
    do {                                                                                                     \
        pt_message m = sample_message(type_, variant_);                                                      \
        change;                                                                                              \
        refuse(&m, what);                                                                                    \
    } while (0)

static void test_bad_fields_are_named(void **state)
{
    (void)state;
    REFUSE(PT_MSG_HELLO, 1, m.as.hello.threads = -1, "HELLO cannot be sent: its number of threads");
    REFUSE(PT_MSG_JOB, 0, m.as.job.heartbeat_seconds = NAN, "heartbeats");
    REFUSE(PT_MSG_JOB, 0, m.as.job.heartbeat_seconds = 0, "heartbeats");
    REFUSE(PT_MSG_JOB, 0, m.as.job.size = 0, "specification");
    REFUSE(PT_MSG_READY, 0, m.as.credit = 0, "credit");
    REFUSE(PT_MSG_READY, 0, m.as.credit = PT_HELD_MAX + 1, "credit");
    REFUSE(PT_MSG_ASSIGN, 0, m.as.assign.tile = -1, "tile");
    REFUSE(PT_MSG_ASSIGN, 0, m.as.assign.tile = INT64_MAX, "tile");
    REFUSE(PT_MSG_ASSIGN, 0, m.as.assign.attempt = 0, "attempt");
    REFUSE(PT_MSG_ASSIGN, 0, m.as.assign.area_state = 1, "area state");
    REFUSE(PT_MSG_ASSIGN, 2, m.as.assign.area_state = 3, "area state");
    REFUSE(PT_MSG_ASSIGN, 1, m.as.assign.pixel_bytes = 3999, "pixels");
    REFUSE(PT_MSG_ASSIGN, 1, m.as.assign.pixels[3999] = 2, "validity");
    REFUSE(PT_MSG_ASSIGN, 1, m.as.assign.has_pixels = false, "pixels");
    REFUSE(PT_MSG_ASSIGN, 2, m.as.assign.area_state = 0, "pixels");
    REFUSE(PT_MSG_ACK, 0, m.as.tile.tile = -5, "tile");
    REFUSE(PT_MSG_RESULT, 1, m.as.result.result.outcome = PT_TILE_FAILED, "outcome");
    REFUSE(PT_MSG_RESULT, 1, m.as.result.result.status.code = PT_E_READ, "status");
    REFUSE(PT_MSG_RESULT, 0, m.as.result.result.outcome = PT_TILE_EMPTY, "instances");
    REFUSE(PT_MSG_RESULT, 1, m.as.result.result.read_seconds = INFINITY, "time");
    REFUSE(PT_MSG_RESULT, 1, m.as.result.result.infer_seconds = -1, "time");
    REFUSE(PT_MSG_RESULT, 1, m.as.result.result.infer_seconds = 1e308, "time");
    REFUSE(PT_MSG_RESULT, 0, m.as.result.result.instances = sample_instances(1, 9, false), "not encoded");
    REFUSE(PT_MSG_FAILED, 1, m.as.result.result.outcome = PT_TILE_DONE, "outcome");
    REFUSE(PT_MSG_FAILED, 1, m.as.result.result.status.code = PT_OK, "status");
    REFUSE(PT_MSG_FAILED, 1, m.as.result.result.status.code = (pt_code)99, "status");
    REFUSE(PT_MSG_HEARTBEAT, 1, m.as.heartbeat.credit = -1, "credit");
    REFUSE(PT_MSG_HEARTBEAT, 2, m.as.heartbeat.held_count = PT_HELD_MAX + 1, "held");
    REFUSE(PT_MSG_HEARTBEAT, 2, m.as.heartbeat.held[63].attempt = 0, "attempt");
    REFUSE(PT_MSG_TYPES, 0, (void)0, "unknown type");
    REFUSE((pt_message_type)0, 0, (void)0, "unknown type");
}

/* A frame of a payload that was made by hand. */
static pt_status decode_payload(pt_message_type type, const void *payload, size_t size)
{
    uint8_t frame[PT_FRAME_HEADER + 4096];
    assert_true(size <= 4096);
    memcpy(frame + PT_FRAME_HEADER, payload, size);
    pt_message m = {.type = type};
    pt_frame_seal(frame, PT_FRAME_HEADER + size, &m);
    pt_message back;
    pt_status status = pt_message_decode(frame, PT_FRAME_HEADER + size, &back);
    if (status.code == PT_OK) {
        pt_message_fini(&back);
    }
    return status;
}

static void test_payloads_are_strict(void **state)
{
    (void)state;
    assert_int_equal(decode_payload(PT_MSG_READY, "\x08\x02", 2).code, PT_OK);
    assert_int_equal(decode_payload(PT_MSG_READY, "", 0).code, PT_E_INPUT);                 /* missing */
    assert_int_equal(decode_payload(PT_MSG_READY, "\x08\x02\x10\x01", 4).code, PT_E_INPUT); /* unknown */
    assert_int_equal(decode_payload(PT_MSG_READY, "\x08\x41", 2).code, PT_E_INPUT);         /* 65 */
    assert_int_equal(decode_payload(PT_MSG_WELCOME, "", 0).code, PT_OK);
    assert_int_equal(decode_payload(PT_MSG_WELCOME, "\x08\x02", 2).code, PT_E_INPUT);
    assert_int_equal(decode_payload(PT_MSG_BYE, "\x0a\x02hi", 4).code, PT_OK);
    assert_int_equal(decode_payload(PT_MSG_BYE, "\x0a\x02h\n", 4).code, PT_E_INPUT);
    char longer[2 + 128] = "\x0a\x80\x01";
    memset(longer + 3, 'x', 127);
    assert_int_equal(decode_payload(PT_MSG_BYE, longer, 3 + 127).code, PT_E_INPUT);
    /* An unknown field inside a heartbeat's tile: progress, credit, held { tile, attempt, started, 15 }. */
    static const char beat[] = "\x09\0\0\0\0\0\0\0\0\x10\0\x1a\x06\x08\x01\x10\x01\x18\0";
    assert_int_equal(decode_payload(PT_MSG_HEARTBEAT, beat, sizeof beat - 1).code, PT_OK);
    static const char more[] = "\x09\0\0\0\0\0\0\0\0\x10\0\x1a\x08\x08\x01\x10\x01\x18\0\x78\x01";
    assert_int_equal(decode_payload(PT_MSG_HEARTBEAT, more, sizeof more - 1).code, PT_E_INPUT);
}

/* Two bytes of an empty tile would become 56 in memory. */
static void test_floods_of_small_parts_do_not_grow(void **state)
{
    (void)state;
    enum { PARTS = 500000 };
    size_t size = PT_FRAME_HEADER + 11 + (size_t)8 * PARTS;
    uint8_t *frame = calloc(size, 1);
    memcpy(frame + PT_FRAME_HEADER, "\x09\0\0\0\0\0\0\0\0\x10\0", 11);
    for (size_t i = 0; i < PARTS; i++) {
        memcpy(frame + PT_FRAME_HEADER + 11 + 8 * i, "\x1a\x06\x08\x01\x10\x01\x18\0", 8);
    }
    pt_message m = {.type = PT_MSG_HEARTBEAT};
    pt_frame_seal(frame, size, &m);
    pt_message back;
    pt_status status = pt_message_decode(frame, size, &back);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "to unpack"));
    free(frame);
}

static void test_other_versions_are_told(void **state)
{
    (void)state;
    pt_message m = sample_message(PT_MSG_DRAIN, 0);
    uint8_t *bytes;
    size_t size;
    encode(&m, &bytes, &size);
    bytes[4] = PT_PROTOCOL_VERSION + 1;
    pt_message back;
    pt_status status = pt_message_decode(bytes, size, &back);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "version 3"));
    pt_free(bytes);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    for (int type = PT_MSG_HELLO; type < PT_MSG_TYPES; type++) {
        pt_message m = sample_message((pt_message_type)type, 1);
        uint8_t *bytes = NULL;
        size_t size = 0;
        pt_alloc_fail_after(0);
        assert_int_equal(pt_message_encode(&m, &bytes, &size).code, PT_E_NOMEM);
        pt_alloc_fail_after(-1);
        assert_null(bytes);
        encode(&m, &bytes, &size);
        pt_message back = {.type = (pt_message_type)55};
        long n = 0;
        for (;; n++) {
            pt_alloc_fail_after(n);
            pt_status status = pt_message_decode(bytes, size, &back);
            pt_alloc_fail_after(-1);
            if (status.code == PT_OK) {
                break;
            }
            assert_int_equal(status.code, PT_E_NOMEM);
            assert_int_equal(back.type, 55);
        }
        assert_true(n > 0 || type == PT_MSG_WELCOME || type == PT_MSG_DRAIN);
        pt_message_fini(&back);
        pt_message_fini(&m);
        pt_free(bytes);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(pt_message_name(PT_MSG_HELLO), "HELLO");
    assert_string_equal(pt_message_name(PT_MSG_BYE), "BYE");
    assert_string_equal(pt_message_name(PT_MSG_TYPES), "unknown");
    assert_string_equal(pt_message_name((pt_message_type)-1), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checksums),
        cmocka_unit_test(test_fast_checksums_equal_plain_ones),
        cmocka_unit_test(test_every_message_comes_back),
        cmocka_unit_test(test_fields_come_back),
        cmocka_unit_test(test_texts_are_made_printable),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_every_flipped_bit_is_refused),
        cmocka_unit_test(test_sealed_nonsense_is_refused_or_sane),
        cmocka_unit_test(test_bad_fields_are_named),
        cmocka_unit_test(test_payloads_are_strict),
        cmocka_unit_test(test_floods_of_small_parts_do_not_grow),
        cmocka_unit_test(test_other_versions_are_told),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
