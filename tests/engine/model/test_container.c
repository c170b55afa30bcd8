/* The safetensors container: everything hostile is refused by name before the architecture is looked at. */
#include "tests/engine/model/refuse.h"

#include <stdio.h>

#define T(name, dtype, shape, begin, end)                                                                    \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void test_too_short(void **state)
{
    (void)state;
    static const uint8_t bytes[16] = {0};
    for (size_t size = 0; size < 8; size++) {
        refuse(bytes, size, NULL, "too few");
    }
    refuse(bytes, 8, NULL, "cut short");
    refuse(bytes, 16, NULL, "header should take 0 bytes");
}

static void test_header_length(void **state)
{
    (void)state;
    size_t size;
    uint8_t *bytes = build_raw("{}", 0, &size);
    refuse(bytes, size, build_description, "missing"); /* no tensors at all */
    bytes[0] = 3;
    refuse(bytes, size, NULL, "header should take 3 bytes, 2 are there");
    for (int byte = 3; byte < 8; byte++) { /* 16 MiB and more, up to 2^63 */
        memset(bytes, 0, 8);
        bytes[byte] = 0x80;
        refuse(bytes, size, NULL, "its header would be");
    }
    memset(bytes, 0xff, 8);
    refuse(bytes, size, NULL, "its header would be 18446744073709551615 bytes");
    free(bytes);
}

static void test_not_json(void **state)
{
    (void)state;
    static const char *const headers[][2] = {
        {" {}", "does not begin with '{'"},
        {"[]", "does not begin with '{'"},
        {"{", "header should take 1 bytes"},
        {"{ ", "not valid JSON"},
        {"{}x", "not valid JSON"},
        {"{\"a\":1,}", "not valid JSON"},
        {"{\"a\":nan}", "not valid JSON"},
        {"{\"a\xff\":1}", "not valid JSON"},         /* no UTF-8 */
        {"{\"a\xc0\x80\":1}", "not valid JSON"},     /* overlong */
        {"{\"a\xed\xa0\x80\":1}", "not valid JSON"}, /* a surrogate */
        {"{\"a\\u0000\":1}", "not valid JSON"},
        {"{\"a\\ud800\":1}", "not valid JSON"},
        {"{\"a\":1,\"a\":1}", "not valid JSON"},
        {"{\"a\x1b[31m\":1}", "not valid JSON"}, /* a terminal's escape sequence */
        {"{\"a\":99999999999999999999}", "not valid JSON"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "not valid JSON"},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        refuse_raw(headers[i][0], 0, headers[i][1]);
    }
}

static void test_entries(void **state)
{
    (void)state;
    static const char *const headers[][2] = {
        {"{\"a\":1}", "tensor a: must have dtype, shape and data_offsets"},
        {"{\"a\":{}}", "tensor a: must have dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "tensor a: must have"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", "tensor a: must have"},
        {"{\"a\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", "tensor a: must have"},
        {"{\"\":1}", "printable ASCII"},
        {"{\"a b\":1}", "printable ASCII"},
        {"{\"a\\n\":1}", "printable ASCII"},
        {"{\"\\u202ea\":1}", "printable ASCII"}, /* turns the direction of what follows */
        {"{" T("a", "F31", "[1]", 0, 4) "}", "tensor a: its dtype is unknown"},
        {"{" T("a", "F32", "1", 0, 4) "}", "tensor a: shape must be a list"},
        {"{" T("a", "F32", "[1,1,1,1,1]", 0, 4) "}", "tensor a: shape must be a list of at most 4"},
        {"{" T("a", "F32", "[0]", 0, 0) "}", "tensor a: shape[0] must be a positive whole number"},
        {"{" T("a", "F32", "[1,-1]", 0, 4) "}", "tensor a: shape[1] must be"},
        {"{" T("a", "F32", "[1.0]", 0, 4) "}", "tensor a: shape[0] must be"},
        {"{" T("a", "F32", "[\\\"1\\\"]", 0, 4) "}", "not valid JSON"},
        {"{" T("a", "F32", "[4294967296,4294967296]", 0, 0) "}", "tensor a: the product of its shape"},
        {"{" T("a", "F32", "[4611686018427387904]", 0, 0) "}", "tensor a: its shape as F32 does not take"},
        {"{" T("a", "F32", "[1]", 0, 3) "}", "tensor a: its shape as F32 does not take the 3 bytes"},
        {"{" T("a", "F16", "[1]", 0, 4) "}", "tensor a: its shape as F16 does not take the 4 bytes"},
        {"{" T("a", "F32", "[1]", -4, 0) "}", "tensor a: data_offsets must be two whole numbers"},
        {"{" T("a", "F32", "[1]", 4, 0) "}", "tensor a: data_offsets must be"},
        {"{" T("a", "F32", "[1]", 0.0, 4.0) "}", "tensor a: data_offsets must be"},
        {"{" T("a", "F32", "[1]", 0, 4.5) "}", "tensor a: data_offsets must be"},
        {"{" T("a", "F32", "[1]", 0, 1e30) "}", "tensor a: data_offsets must be"},
        {"{" T("a", "F32", "[1]", 9223372036854775803, 9223372036854775807) "}", "leaving a gap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}",
         "tensor a: data_offsets must be"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{}}}", "tensor a: data_offsets must be"},
        {"{" T("a", "I32", "[1]", 0, 4) "}", "tensor a: its dtype is I32"},
    };
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        refuse_raw(headers[i][0], 4, headers[i][1]);
    }
}

static void test_offsets(void **state)
{
    (void)state;
    refuse_raw("{" T("a", "F32", "[1]", 4, 8) "}", 8, "tensor a: begins at byte 4, leaving a gap");
    refuse_raw("{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 8, 12) "}", 12,
               "tensor b: begins at byte 8, leaving a gap after");
    refuse_raw("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}", 8,
               "tensor b: begins at byte 4, overlapping");
    refuse_raw("{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", 4,
               "tensor b: begins at byte 0");
    refuse_raw("{" T("a", "F32", "[1]", 0, 4) "}", 3,
               "tensor a: ends at byte 4 of the data, the file holds 3");
    refuse_raw("{" T("a", "F32", "[1]", 0, 4) "}", 5, "1 bytes follow the last tensor");
    refuse_raw("{}", 5, "5 bytes follow the last tensor");
    refuse_raw("{" T("a", "F64", "[1]", 0, 8) "}", 8,
               "tensor a: its dtype is F64, F32, F16 or BF16 is needed");
    refuse_raw("{" T("a.num_batches_tracked", "I64", "[]", 0, 4) "}", 4, "does not take the 4 bytes");
}

static void test_metadata(void **state)
{
    (void)state;
    refuse_raw("{\"__metadata__\":[]}", 0, "__metadata__ must be an object");
    refuse_raw("{\"__metadata__\":{\"pantile\":{}}}", 0, "__metadata__ holds something other than texts");
    refuse_raw("{\"__metadata__\":{\"x\":1}}", 0, "__metadata__ holds something other than texts");
    refuse_raw("{\"__metadata__\":{\"pantile\":\"{\"}}", 0, "description is not valid JSON");
    refuse_raw("{\"__metadata__\":{\"pantile\":\"\"}}", 0, "description is not valid JSON");
    refuse_raw("{\"__metadata__\":{\"pantile\":\"[]\"}}", 0, "description is not a JSON object");
}

/* A header of `count` times `piece` between `head` and `tail`. */
static char *repeat(const char *head, const char *piece, size_t count, const char *tail)
{
    size_t length = strlen(piece);
    char *text = malloc(strlen(head) + count * length + strlen(tail) + 1), *at = text + strlen(head);
    assert_non_null(text);
    strcpy(text, head);
    for (size_t i = 0; i < count; i++, at += length) {
        memcpy(at, piece, length);
    }
    strcpy(at, tail);
    return text;
}

static void refuse_repeated(const char *head, const char *piece, size_t count, const char *tail,
                            const char *says)
{
    char *text = repeat(head, piece, count, tail);
    refuse_raw(text, 0, says);
    free(text);
}

static void test_bombs(void **state)
{
    (void)state;
    refuse_repeated("{\"a\":", "[", 100000, "", "nested 100001 levels deep");
    refuse_repeated("{\"a\":", "{\"a\":", 100000, "", "levels deep");
    refuse_repeated("{\"a\":[", "[],", 1000000, "[]]}", "more than 200000 values");
    refuse_repeated("{\"a\":[", "1,", 1000000, "1]}", "more than 200000 values");
    refuse_repeated("{\"", "a", 8 << 20, "\":1}", "printable ASCII");
    refuse_repeated("{", " ", 15 << 20, "}", "missing");
    refuse_repeated("{\"__metadata__\":{\"pantile\":\"", "a", 2 << 20, "\"}}", "exceeds 1048576 bytes");
}

static void test_too_many_tensors(void **state)
{
    (void)state;
    char *text = malloc(9000 * 80), *at = text;
    assert_non_null(text);
    for (int i = 0; i < 9000; i++) {
        at += sprintf(at, "%c" T("t%d", "F16", "[1]", 0, 2), i ? ',' : '{', i);
    }
    strcpy(at, "}");
    refuse_raw(text, 2, "9000 tensors, at most 8192");
    free(text);
}

/* Cut after every byte of the header and at steps through the data: never accepted, always named. */
static void test_cuts(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    size_t size;
    uint8_t *bytes = build_bytes(&b, &size);
    size_t header = 8 + (size_t)bytes[0] + ((size_t)bytes[1] << 8);
    for (size_t cut = 0; cut < size;
         cut += cut < 64 || cut + 64 > size || (cut > header - 8 && cut < header + 8) ? 1 : 101) {
        uint8_t *part = malloc(cut ? cut : 1); /* its own block, so that reading past it is seen */
        memcpy(part, bytes, cut);
        refuse(part, cut, NULL, "");
        free(part);
    }
    free(bytes);
    build_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_too_short), cmocka_unit_test(test_header_length),
        cmocka_unit_test(test_not_json),  cmocka_unit_test(test_entries),
        cmocka_unit_test(test_offsets),   cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_bombs),     cmocka_unit_test(test_too_many_tensors),
        cmocka_unit_test(test_cuts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
