/* Conversions and folding against independent references. */
#include "tests/engine/model/refuse.h"

#include "engine/model/internal.h"

#include <math.h>

/* sign * 2^(exponent - bias) * (1 + fraction / 2^bits), by ldexp: exact in double. */
static double value_of(uint32_t code, int bits, int exponent_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, exponent = (int)(code >> bits) & ((1 << exponent_bits) - 1);
    double fraction = (double)(code & ((1U << bits) - 1)), sign = code >> 15 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) {
        return fraction > 0 ? NAN : sign * INFINITY;
    }
    return sign * (exponent ? ldexp(ldexp(1, bits) + fraction, exponent - bias - bits)
                            : ldexp(fraction, 1 - bias - bits));
}

static void check_all(pt_dtype dtype, int bits, int exponent_bits)
{
    uint8_t *bytes = malloc(2 * 65536 + 1);
    float *out = malloc(65536 * sizeof *out);
    assert_non_null(bytes);
    assert_non_null(out);
    for (size_t i = 0; i < 65536; i++) { /* at an odd address: tensors have no alignment */
        bytes[1 + 2 * i] = (uint8_t)i;
        bytes[2 + 2 * i] = (uint8_t)(i >> 8);
    }
    pt_tensor all = {.dtype = dtype, .count = 65536, .data = bytes + 1};
    pt_tensor_to_float(&all, out);
    for (uint32_t i = 0; i < 65536; i++) {
        double wanted = value_of(i, bits, exponent_bits);
        pt_tensor one = {.dtype = dtype, .count = 1, .data = bytes + 1 + 2 * i};
        assert_int_equal(pt_tensor_is_finite(&one), isfinite(wanted) != 0);
        if (isnan(wanted)) {
            assert_true(isnan(out[i]));
        } else {
            assert_true((double)out[i] == wanted && !signbit(out[i]) == !signbit(wanted));
        }
    }
    free(bytes);
    free(out);
}

static void test_all_halves(void **state)
{
    (void)state;
    check_all(PT_DTYPE_F16, 10, 5);
}

static void test_all_brain_floats(void **state)
{
    (void)state;
    check_all(PT_DTYPE_BF16, 7, 8);
}

static void test_floats(void **state)
{
    (void)state;
    const float values[] = {0.0F, -0.0F, 1.5F, -1e-45F, 3.4e38F, 0x1.fffffep-126F};
    uint8_t bytes[sizeof values + 3];
    float out[6];
    memcpy(bytes + 3, values, sizeof values);
    pt_tensor t = {.dtype = PT_DTYPE_F32, .count = 6, .data = bytes + 3};
    pt_tensor_to_float(&t, out);
    assert_memory_equal(out, values, sizeof values);
    assert_true(pt_tensor_is_finite(&t));
    const float infinity = -INFINITY;
    memcpy(bytes + 3 + 20, &infinity, 4);
    assert_false(pt_tensor_is_finite(&t));
}

/* 2 of stem channels: conv1 (2, 3, 7, 7) with bn1, folded by hand. */
static void test_fold(void **state)
{
    (void)state;
    builder b = build_resnet(6, 0);
    b.description = "{\"bn_eps\":0.25,\"roi\":{\"box_roi_size\":2}}";
    const build_tensor *w = build_find(&b, "backbone.body.conv1.weight");
    static const float gamma[] = {3, -1}, beta[] = {0.5F, 8}, mean[] = {2, -4}, variance[] = {2, 0};
    memcpy(build_find(&b, "backbone.body.bn1.weight")->values, gamma, sizeof gamma);
    memcpy(build_find(&b, "backbone.body.bn1.bias")->values, beta, sizeof beta);
    memcpy(build_find(&b, "backbone.body.bn1.running_mean")->values, mean, sizeof mean);
    memcpy(build_find(&b, "backbone.body.bn1.running_var")->values, variance, sizeof variance);
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    float folded[2 * 3 * 7 * 7], bias[2];
    assert_int_equal(pt_model_load_conv(model, "backbone.body.conv1", "backbone.body.bn1", folded, bias).code,
                     PT_OK);
    for (int i = 0; i < 2 * 147; i++) { /* sqrt(2 + 0.25) = 1.5, sqrt(0 + 0.25) = 0.5 */
        assert_true(folded[i] == w->values[i] * (i < 147 ? 2.0F : -2.0F));
    }
    assert_true(bias[0] == -2 * 2 + 0.5F && bias[1] == -4 * 2 + 8.0F);
    float scale[2], shift[2]; /* the same as an operator of its own */
    assert_int_equal(pt_model_load_norm(model, "backbone.body.bn1", 2, scale, shift).code, PT_OK);
    assert_true(scale[0] == 2 && scale[1] == -2 && shift[0] == bias[0] && shift[1] == bias[1]);
    assert_int_equal(pt_model_load_norm(model, "backbone.body.bn1", 3, scale, shift).code, PT_E_INPUT);
    pt_alloc_fail_after(0);
    assert_int_equal(pt_model_load_norm(model, "backbone.body.bn1", 2, scale, shift).code, PT_E_NOMEM);
    pt_alloc_fail_after(-1);
    assert_int_equal(pt_model_load_conv(model, "backbone.body.conv1", NULL, folded, bias).code, PT_OK);
    assert_memory_equal(folded, w->values, sizeof folded);
    assert_true(bias[0] == 0 && bias[1] == 0);
    pt_status status = pt_model_load_conv(model, "backbone.body.conv9", NULL, folded, bias);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "tensor backbone.body.conv9.weight is missing"));
    status = pt_model_load_conv(model, "backbone.body.conv1", "backbone.body.layer1.0.bn3", folded, bias);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "tensor backbone.body.layer1.0.bn3.weight has another length"));
    pt_alloc_fail_after(0);
    status = pt_model_load_conv(model, "backbone.body.conv1", "backbone.body.bn1", folded, bias);
    pt_alloc_fail_after(-1);
    assert_int_equal(status.code, PT_E_NOMEM);
    pt_model_close(&model);
    free(bytes);
    build_free(&b);
}

/* Folded files carry biases; a linear layer is a 1x1 convolution to this function. */
static void test_fold_bias(void **state)
{
    (void)state;
    builder b = build_mobilenet(BUILD_FOLDED);
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    float w[7 * 24], bias[7];
    assert_int_equal(pt_model_load_conv(model, "roi_heads.box_head.fc6", NULL, w, bias).code, PT_OK);
    assert_memory_equal(w, build_find(&b, "roi_heads.box_head.fc6.weight")->values, sizeof w);
    assert_memory_equal(bias, build_find(&b, "roi_heads.box_head.fc6.bias")->values, sizeof bias);
    assert_int_equal(pt_model_load_conv(model, "backbone.body.0.0", "backbone.body.0.1", w, bias).code,
                     PT_OK);
    assert_memory_equal(bias, build_find(&b, "backbone.body.0.0.bias")->values, 3 * sizeof *bias);
    pt_model_close(&model);
    free(bytes);
    build_free(&b);
}

static void refuse_fold(float gamma, float variance, const char *says)
{
    builder b = build_resnet(6, 0);
    build_find(&b, "backbone.body.bn1.weight")->values[1] = gamma;
    build_find(&b, "backbone.body.bn1.running_var")->values[1] = variance;
    uint8_t *bytes;
    pt_model *model = accept_built(&b, &bytes);
    float w[2 * 147], bias[2];
    pt_status status = pt_model_load_conv(model, "backbone.body.conv1", "backbone.body.bn1", w, bias);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, says));
    pt_model_close(&model);
    free(bytes);
    build_free(&b);
}

static void test_bad_folds(void **state)
{
    (void)state;
    refuse_fold(1, -1, "tensor backbone.body.bn1.running_var holds a variance");
    refuse_fold(3e38F, 1e-10F, "tensor backbone.body.conv1.weight exceeds FP32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_halves), cmocka_unit_test(test_all_brain_floats),
        cmocka_unit_test(test_floats),     cmocka_unit_test(test_fold),
        cmocka_unit_test(test_fold_bias),  cmocka_unit_test(test_bad_folds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
