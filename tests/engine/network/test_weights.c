/* The numbers that lowering hands to the backend, against the file's. */
#include "engine/backend/pool.h"
#include "engine/graph/lower.h"
#include "engine/graph/passes.h"
#include "engine/quant/quantise.h"
#include "tests/engine/graph/small.h"
#include "tests/engine/model/builder.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A tensor of the file as floats; free() it. */
static float *stored(const small_model *m, const char *name, size_t *count)
{
    const pt_tensor *tensor = pt_model_find(m->model, name);
    assert_non_null(tensor);
    float *values = calloc(tensor->count, sizeof *values);
    assert_non_null(values);
    pt_tensor_to_float(tensor, values);
    *count = tensor->count;
    return values;
}

static pt_pool *pool;

static int open_pool(void **state)
{
    (void)state;
    return pt_pool_new(3, &pool).code == PT_OK ? 0 : -1;
}

static int close_pool(void **state)
{
    (void)state;
    pt_pool_free(&pool);
    return 0;
}

typedef struct lowered {
    pt_ir ir;
    pt_conv_spec spec;
    pt_conv_weights weights;
} lowered;

static lowered lower(const small_model *m, const char *value, const char *without)
{
    lowered l = {.ir = small_network(m, without)};
    assert_int_equal(pt_ir_infer_shapes(&l.ir, 64, 64, 1, 1).code, PT_OK);
    pt_status status = pt_lower_weights(&l.ir, small_find(&l.ir, value), m->model, pool, &l.spec, &l.weights);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    return l;
}

static void forget(lowered *l)
{
    pt_conv_weights_free(&l->weights);
    pt_ir_free(&l->ir);
}

/* A linear layer reads its region cell by cell, also through the flattening; the file has it channel by
 * channel. */
static void test_linear(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    size_t count;
    float *file = stored(&m, "roi_heads.box_head.fc6.weight", &count);
    static const char *const without[] = {NULL, "identity"};
    for (int i = 0; i < 2; i++) {
        lowered l = lower(&m, "roi_heads.box_head.fc6", without[i]);
        assert_true(l.spec.in_channels == 24 && l.spec.out_channels == 7 && l.spec.kernel_h == 1);
        assert_int_equal(count, 7 * 24);
        for (size_t o = 0; o < 7; o++) {
            for (size_t cell = 0; cell < 4; cell++) {
                for (size_t c = 0; c < 6; c++) {
                    assert_true(l.weights.f32[o * 24 + cell * 6 + c] == file[o * 24 + c * 4 + cell]);
                }
            }
        }
        forget(&l);
    }
    free(file);
    small_model_close(&m);
}

static void test_deconv(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    size_t count;
    float *file = stored(&m, "roi_heads.mask_predictor.conv5_mask.weight", &count);
    float *bias = stored(&m, "roi_heads.mask_predictor.conv5_mask.bias", &count);
    lowered l = lower(&m, "roi_heads.mask_predictor.conv5_mask", NULL);
    assert_true(l.spec.in_channels == 5 && l.spec.out_channels == 20 && l.spec.kernel_h == 1 &&
                l.spec.stride == 1 && l.spec.activation == PT_ACT_RELU);
    for (size_t k = 0; k < 4; k++) {
        for (size_t o = 0; o < 5; o++) {
            assert_true(l.weights.bias[k * 5 + o] == bias[o]);
            for (size_t i = 0; i < 5; i++) {
                assert_true(l.weights.f32[(k * 5 + o) * 5 + i] == file[(i * 5 + o) * 4 + k]);
            }
        }
    }
    forget(&l);
    free(file);
    free(bias);
    small_model_close(&m);
}

/* Objectness of every anchor, then the deltas, as one layer; windows tap by tap. */
static void test_merged_and_turned(void **state)
{
    (void)state;
    small_model m = small_resnet(0);
    size_t scores, deltas, window;
    float *first = stored(&m, "rpn.head.cls_logits.weight", &scores);
    float *second = stored(&m, "rpn.head.bbox_pred.weight", &deltas);
    float *conv = stored(&m, "rpn.head.conv.0.0.weight", &window);
    lowered l = lower(&m, "rpn.head", NULL);
    assert_int_equal(l.spec.out_channels, 15);
    assert_memory_equal(l.weights.f32, first, scores * sizeof *first);
    assert_memory_equal(l.weights.f32 + scores, second, deltas * sizeof *second);
    forget(&l);
    l = lower(&m, "rpn.head.conv.0.0", NULL);
    assert_true(l.spec.kernel_h == 3 && l.spec.pad == 1 && l.spec.groups == 1 && l.spec.in_channels == 6);
    for (size_t o = 0; o < 6; o++) {
        for (size_t t = 0; t < 9; t++) {
            for (size_t c = 0; c < 6; c++) {
                assert_true(l.weights.f32[(o * 9 + t) * 6 + c] == conv[(o * 6 + c) * 9 + t]);
            }
        }
    }
    forget(&l);
    free(first);
    free(second);
    free(conv);
    small_model_close(&m);
}

enum { CHANNELS = 64, VALUES = 128 };

static int by_value(const void *a, const void *b)
{
    return strcmp(((const pt_range *)a)->value, ((const pt_range *)b)->value);
}

/* A range and, when `means`, a mean of 0.25 * (channel + 1) * (1 + i % 3) for each value, i its place. */
static size_t make_ranges(const pt_ir *ir, bool means, pt_range ranges[VALUES],
                          float numbers[VALUES][CHANNELS])
{
    size_t count = 0;
    for (size_t i = 0; i < ir->op_count; i++) {
        const pt_ir_value *v = &ir->values[ir->ops[i].output];
        int channels = v->channels * (ir->ops[i].kind == PT_OP_DECONV ? 4 : 1);
        bool known = false;
        for (size_t k = 0; k < count; k++) {
            known |= strcmp(ranges[k].value, v->name) == 0;
        }
        if (known) {
            continue;
        }
        assert_true(count < VALUES && channels <= CHANNELS);
        for (int c = 0; c < channels; c++) {
            numbers[count][c] = .25f * (float)(c + 1) * (float)(1 + count % 3);
        }
        ranges[count] = (pt_range){v->name, -2, 3, means ? numbers[count] : NULL, channels};
        count++;
    }
    qsort(ranges, count, sizeof *ranges, by_value);
    return count;
}

/* A model that was calibrated so: by way of a file. */
static small_model calibrated(bool means)
{
    static pt_range ranges[VALUES];
    static float numbers[VALUES][CHANNELS];
    builder b = build_mobilenet(BUILD_FOLDED);
    char path[] = "/tmp/pantile-weights-XXXXXX";
    size_t size;
    uint8_t *bytes = build_bytes(&b, &size);
    build_free(&b);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    free(bytes);
    small_model plain = small_mobilenet(BUILD_FOLDED), m = {0};
    pt_ir ir = small_network(&plain, NULL);
    pt_calibration c = {"minmax", 1, "int8", ranges, make_ranges(&ir, means, ranges, numbers)};
    pt_status status = pt_model_write_calibrated(path, &c, path);
    if (status.code != PT_OK) {
        fail_msg("%s", status.message);
    }
    assert_int_equal(pt_model_open(path, &m.model).code, PT_OK);
    unlink(path);
    pt_ir_free(&ir);
    small_model_close(&plain);
    return m;
}

static lowered lower_bytes(const small_model *m, const char *value)
{
    lowered l = {.ir = small_network(m, NULL)};
    pt_precision precision;
    assert_int_equal(pt_precision_parse("int8", &precision).code, PT_OK);
    assert_int_equal(pt_ir_assign_precision(&l.ir, &precision, pt_model_calibration(m->model), true).code,
                     PT_OK);
    assert_int_equal(pt_ir_infer_shapes(&l.ir, 128, 128, 1, 1).code, PT_OK);
    assert_int_equal(
        pt_lower_weights(&l.ir, small_find(&l.ir, value), m->model, pool, &l.spec, &l.weights).code, PT_OK);
    assert_true(l.weights.s8 && l.weights.scale && !l.weights.f32);
    return l;
}

/* What correcting adds to each bias is the weights' rounding times the input's mean. `weights` are the
 * floats, of rows of `taps` x `channels`; mean of a depthwise layer's output o is mean[o]. */
static void check_bias(const char *value, const float *weights, size_t taps, size_t channels, bool depthwise,
                       const float *mean)
{
    small_model with = calibrated(true), without = calibrated(false);
    lowered a = lower_bytes(&with, value), b = lower_bytes(&without, value);
    size_t outputs = (size_t)a.spec.out_channels, row = taps * channels;
    double largest = 0;
    for (size_t o = 0; o < outputs; o++) {
        double wanted = 0;
        for (size_t i = 0; i < row; i++) {
            double lost =
                (double)weights[o * row + i] - (double)a.weights.s8[o * row + i] * (double)a.weights.scale[o];
            assert_true(fabs(lost) <= .5001 * (double)a.weights.scale[o]);
            wanted += lost * (double)mean[depthwise ? o : i % channels];
        }
        double got = (double)a.weights.bias[o] - (double)b.weights.bias[o];
        assert_true(fabs(got - wanted) < 1e-5 + 1e-4 * fabs(wanted));
        largest = fmax(largest, fabs(wanted));
    }
    assert_true(largest > 0); /* there was something to correct */
    forget(&a);
    forget(&b);
    small_model_close(&with);
    small_model_close(&without);
}

static const float *mean_of(const small_model *m, const char *value)
{
    const pt_range *range = pt_calibration_find(pt_model_calibration(m->model), value);
    assert_true(range && range->mean);
    return range->mean;
}

static void test_bias_correction(void **state)
{
    (void)state;
    small_model m = calibrated(true), plain = small_mobilenet(BUILD_FOLDED);
    static const struct {
        const char *value, *reads;
        size_t taps, channels;
        bool depthwise;
    } cases[] = {{"backbone.body.5.conv.0.0", "backbone.body.4.conv.2", 1, 3, false},
                 {"backbone.body.5.conv.1.0", "backbone.body.5.conv.0.0", 9, 1, true},
                 {"roi_heads.box_head.fc6", "roi_heads.box_roi_pool", 4, 6, false},
                 {"backbone.fpn.inner_blocks.0.0", "backbone.body.3.conv.2", 1, 2, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lowered floats = lower(&plain, cases[i].value, NULL);
        check_bias(cases[i].value, floats.weights.f32, cases[i].taps, cases[i].channels, cases[i].depthwise,
                   mean_of(&m, cases[i].reads));
        forget(&floats);
    }
    small_model_close(&m);
    small_model_close(&plain);
}

/* The RPN's convolution reads five maps: 32 x 32, 16 x 16, 8 x 8, 4 x 4 and 2 x 2 cells of 128 x 128 pixels.
 */
static void test_bias_of_shared_layer(void **state)
{
    (void)state;
    static const char *const maps[] = {"backbone.fpn.layer_blocks.0.0", "backbone.fpn.layer_blocks.1.0",
                                       "backbone.fpn.layer_blocks.2.0", "backbone.fpn.layer_blocks.3.0",
                                       "backbone.fpn.pool"};
    small_model m = calibrated(true), plain = small_mobilenet(BUILD_FOLDED);
    float mean[6];
    for (int c = 0; c < 6; c++) {
        double sum = 0, cells = 0;
        for (int l = 0; l < 5; l++) {
            double n = (double)(1024 >> 2 * l);
            sum += n * (double)mean_of(&m, maps[l])[c];
            cells += n;
        }
        mean[c] = (float)(sum / cells);
    }
    lowered floats = lower(&plain, "rpn.head.conv.0.0", NULL);
    check_bias("rpn.head.conv.0.0", floats.weights.f32, 9, 6, false, mean);
    forget(&floats);
    small_model_close(&m);
    small_model_close(&plain);
}

/* The first layer takes bytes: on any image without padding it says what it says of the normalised floats. */
static void test_image_bytes(void **state)
{
    (void)state;
    small_model m = calibrated(true), plain = small_mobilenet(BUILD_FOLDED);
    lowered bytes = lower_bytes(&m, "backbone.body.0.0"), floats = lower(&plain, "backbone.body.0.0", NULL);
    const pt_model_config *config = pt_model_get_config(m.model);
    assert_true(bytes.spec.in_channels == 4 && bytes.spec.in_elem == PT_U8 && bytes.spec.in.scale == 1 &&
                bytes.spec.in.zero == 0);
    for (int c = 0; c < 3; c++) {
        assert_int_equal(bytes.spec.outside[c], (int)rint(config->mean[c] * 255));
    }
    for (size_t o = 0; o < 3; o++) {
        double wanted = (double)floats.weights.bias[o], got = (double)bytes.weights.bias[o], size = 0;
        for (size_t t = 0; t < 9; t++) {
            assert_int_equal(bytes.weights.s8[(o * 9 + t) * 4 + 3], 0);
            for (size_t c = 0; c < 3; c++) {
                double pixel = (double)((17 * t + 41 * c + 5) % 256);
                double normal = (pixel / 255 - config->mean[c]) / config->std[c];
                double weight = (double)floats.weights.f32[(o * 9 + t) * 3 + c];
                wanted += weight * normal;
                got += pixel * (double)bytes.weights.s8[(o * 9 + t) * 4 + c] * (double)bytes.weights.scale[o];
                size += fabs(weight * normal);
            }
        }
        assert_true(fabs(got - wanted) < .02 * size);
    }
    forget(&bytes);
    forget(&floats);
    small_model_close(&m);
    small_model_close(&plain);
}

static void test_failures(void **state)
{
    (void)state;
    small_model m = calibrated(true);
    static const char *const values[] = {"backbone.body.0.0", "roi_heads.box_head.fc6",
                                         "roi_heads.mask_predictor.conv5_mask"};
    for (int bytes = 0; bytes < 2; bytes++) {
        for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
            lowered l = bytes ? lower_bytes(&m, values[i]) : lower(&m, values[i], NULL);
            pt_conv_weights_free(&l.weights);
            int n = 0;
            for (pt_status status = {.code = PT_E_NOMEM}; status.code != PT_OK; n++) {
                pt_alloc_fail_after(n);
                status =
                    pt_lower_weights(&l.ir, small_find(&l.ir, values[i]), m.model, pool, &l.spec, &l.weights);
                pt_alloc_fail_after(-1);
                assert_true(status.code == PT_OK || (status.code == PT_E_NOMEM && !l.weights.bias));
            }
            assert_true(n > 2);
            forget(&l);
        }
    }
    lowered l = lower(&m, "rpn.head", NULL);
    pt_ir_op *op = small_find(&l.ir, "rpn.head");
    strcpy(op->with, "rpn.head.abacus");
    pt_conv_weights none = {0};
    pt_status status = pt_lower_weights(&l.ir, op, m.model, pool, &l.spec, &none);
    assert_int_equal(status.code, PT_E_INPUT);
    assert_non_null(strstr(status.message, "rpn.head.abacus.weight"));
    forget(&l);
    small_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_deconv),
        cmocka_unit_test(test_merged_and_turned),
        cmocka_unit_test(test_bias_correction),
        cmocka_unit_test(test_bias_of_shared_layer),
        cmocka_unit_test(test_image_bytes),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, open_pool, close_pool);
}
