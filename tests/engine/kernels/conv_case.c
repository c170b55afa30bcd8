#include "tests/engine/kernels/conv_case.h"

#include "tiling/base/alloc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    GUARD = 0xb7, /* after an output */
    SLACK = 0xff, /* after an input and what it is computed with: as floats NaN, which nothing hides */
};

/* Winograd's transforms lose some bits; a wrong tap or channel is off by a hundred times as much. */
static const double tolerance = 2e-5; /* of the sum of absolute values */

static void *new_block(size_t bytes)
{
    unsigned char *block = pt_alloc_aligned(bytes + PT_MAP_SLACK, 1);
    assert_non_null(block);
    memset(block, SLACK, bytes + PT_MAP_SLACK);
    return block;
}

/* A map's memory ends where a page without access begins, and one lies before it: vector kernels are not
 * instrumented, and a step outside shall be seen. */
static size_t guarded_bytes(size_t bytes, size_t page)
{
    return (bytes + PT_MAP_SLACK + PT_ALIGNMENT + page - 1) / page * page;
}

static void *new_guarded(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = guarded_bytes(bytes, page);
    unsigned char *pages = mmap(NULL, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(pages, MAP_FAILED);
    assert_int_equal(mprotect(pages + page, inner, PROT_READ | PROT_WRITE), 0);
    memset(pages + page, SLACK, inner);
    const size_t room = (bytes + PT_MAP_SLACK + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT;
    return pages + page + inner - room;
}

static void free_guarded(void *block, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = guarded_bytes(bytes, page);
    const size_t room = (bytes + PT_MAP_SLACK + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT;
    if (block) {
        munmap((unsigned char *)block + room - inner - page, inner + 2 * page);
    }
}

static void fill_map(randoms *r, pt_map *map)
{
    map->data = new_guarded(pt_map_bytes(map));
    if (map->elem == PT_F32) {
        random_fill(r, pt_map_f32(map), pt_map_count(map), -1, 1);
        return;
    }
    for (size_t i = 0; i < pt_map_count(map); i++) {
        pt_map_u8(map)[i] = (uint8_t)random_bits(r);
    }
}

static pt_quant random_quant(randoms *r)
{
    return (pt_quant){random_float(r, .002f, .05f), random_int(r, 0, 2) ? random_int(r, 0, 255) : 0};
}

static void fill_weights(randoms *r, conv_case *c)
{
    const pt_conv_spec *s = &c->spec;
    size_t outputs = (size_t)s->out_channels, count = outputs * pt_conv_rows(s);
    c->weights.bias = new_block(outputs * sizeof(float));
    random_fill(r, c->weights.bias, outputs, -1, 1);
    if (s->in_elem == PT_F32) {
        c->weights.f32 = new_block(count * sizeof(float));
        random_fill(r, c->weights.f32, count, -1, 1);
        return;
    }
    c->weights.s8 = new_block(count);
    c->weights.scale = new_block(outputs * sizeof(float));
    bool extreme = random_int(r, 0, 3) == 0; /* sums as large as they get */
    for (size_t i = 0; i < count; i++) {
        int value = random_int(r, -127, 127);
        c->weights.s8[i] = (int8_t)(extreme ? (value < 0 ? -127 : 127) : value);
    }
    float most = 2 / sqrtf((float)pt_conv_rows(s)); /* outputs spread over the bytes */
    random_fill(r, c->weights.scale, outputs, .01f * most, .05f * most);
}

/* The index of the input element that output pixel (n, oy, ox) sees, -1 outside. */
static ptrdiff_t input_at(const conv_case *c, int n, int y, int x, int channel)
{
    const pt_map *in = &c->in;
    if (y < 0 || y >= in->h || x < 0 || x >= in->w) {
        return -1;
    }
    return (((ptrdiff_t)n * in->h + y) * in->w + x) * in->c + channel;
}

typedef struct sums {
    double exact, magnitude;
    int64_t integer;
} sums;

static sums convolve(const conv_case *c, int n, int oy, int ox, int o)
{
    const pt_conv_spec *s = &c->spec;
    int part = s->in_channels / s->groups, first = o / (s->out_channels / s->groups) * part;
    sums sum = {0};
    size_t w = (size_t)o * pt_conv_rows(s);
    for (int ky = 0; ky < s->kernel_h; ky++) {
        for (int kx = 0; kx < s->kernel_w; kx++) {
            for (int i = 0; i < part; i++, w++) {
                ptrdiff_t at =
                    input_at(c, n, oy * s->stride - s->pad + ky, ox * s->stride - s->pad + kx, first + i);
                if (s->in_elem == PT_U8) {
                    int x = at < 0 ? s->outside[(first + i) % 4] : pt_map_u8(&c->in)[at];
                    sum.integer += (int64_t)(x - s->in.zero) * c->weights.s8[w];
                } else if (at >= 0) {
                    double product = (double)pt_map_f32(&c->in)[at] * (double)c->weights.f32[w];
                    sum.exact += product;
                    sum.magnitude += fabs(product);
                }
            }
        }
    }
    return sum;
}

/* The index of the summand's element for an output element; -1: none. */
static ptrdiff_t summand_at(const conv_case *c, int n, int oy, int ox, int o)
{
    const pt_map *from = &c->summand, *to = &c->out;
    if (!from->data) {
        return -1;
    }
    int y = c->spec.add == PT_ADD_SAME ? oy : oy * from->h / to->h;
    int x = c->spec.add == PT_ADD_SAME ? ox : ox * from->w / to->w;
    return (((ptrdiff_t)n * from->h + y) * from->w + x) * from->c + o;
}

static double activated(double v, pt_activation activation)
{
    v = activation != PT_ACT_NONE && !(v > 0) ? 0 : v;
    return activation == PT_ACT_RELU6 && v > 6 ? 6 : v;
}

static void expect_f32(conv_case *c, size_t i, sums sum, int o, ptrdiff_t summand)
{
    double more = summand < 0 ? 0 : (double)pt_map_f32(&c->summand)[summand];
    double bias = (double)c->weights.bias[o];
    c->exact[i] = activated(sum.exact + bias + more, c->spec.activation);
    c->magnitude[i] = sum.magnitude + fabs(bias) + fabs(more);
}

static void expect_u8(conv_case *c, size_t i, sums sum, int o, ptrdiff_t summand)
{
    const pt_conv_spec *s = &c->spec;
    assert_true(sum.integer <= INT32_MAX && sum.integer >= INT32_MIN);
    float multiplier = s->in.scale * c->weights.scale[o];
    float y = fmaf((float)(int32_t)sum.integer, multiplier, c->weights.bias[o]);
    if (summand >= 0 && s->out_elem == PT_F32) {
        y += pt_map_f32(&c->summand)[summand];
    } else if (summand >= 0) {
        y = fmaf((float)(pt_map_u8(&c->summand)[summand] - s->sum.zero), s->sum.scale, y);
    }
    y = (float)activated((double)y, s->activation);
    if (s->out_elem == PT_F32) {
        ((float *)c->wanted)[i] = y;
        return;
    }
    float inverse = 1 / s->out.scale;
    double q = nearbyint((double)(y * inverse)) + s->out.zero;
    ((uint8_t *)c->wanted)[i] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
}

static void expect(conv_case *c)
{
    size_t count = pt_map_count(&c->out), i = 0;
    c->exact = calloc(count, sizeof *c->exact);
    c->magnitude = calloc(count, sizeof *c->magnitude);
    c->wanted = calloc(count, sizeof(float));
    assert_true(c->exact && c->magnitude && c->wanted);
    for (int n = 0; n < c->out.n; n++) {
        for (int y = 0; y < c->out.h; y++) {
            for (int x = 0; x < c->out.w; x++) {
                for (int o = 0; o < c->out.c; o++, i++) {
                    sums sum = convolve(c, n, y, x, o);
                    ptrdiff_t summand = summand_at(c, n, y, x, o);
                    if (c->spec.in_elem == PT_U8) {
                        expect_u8(c, i, sum, o, summand);
                    } else {
                        expect_f32(c, i, sum, o, summand);
                    }
                }
            }
        }
    }
}

void case_make_of(randoms *r, const pt_conv_spec *spec, int n, int h, int w, conv_case *c)
{
    *c = (conv_case){.spec = *spec};
    pt_conv_spec *s = &c->spec;
    s->in = random_quant(r);
    s->sum = random_quant(r);
    s->out = random_quant(r);
    for (int i = 0; i < 4; i++) {
        s->outside[i] = (uint8_t)(random_int(r, 0, 1) ? s->in.zero : random_int(r, 0, 255));
    }
    c->in = (pt_map){.n = n, .h = h, .w = w, .c = s->in_channels, .elem = s->in_elem, .quant = s->in};
    c->out = (pt_map){.n = n,
                      .h = pt_window_out(h, s->kernel_h, s->stride, s->pad),
                      .w = pt_window_out(w, s->kernel_w, s->stride, s->pad),
                      .c = s->out_channels,
                      .elem = s->out_elem,
                      .quant = s->out};
    fill_map(r, &c->in);
    fill_map(r, &c->out);
    fill_weights(r, c);
    c->summand = c->out;
    c->summand.quant = s->sum;
    if (s->add == PT_ADD_UPSAMPLED) {
        c->summand.h = random_int(r, 1, c->out.h);
        c->summand.w = random_int(r, 1, c->out.w);
    }
    c->summand.data = NULL;
    if (s->add != PT_ADD_NONE) {
        fill_map(r, &c->summand);
    }
    expect(c);
}

static void choose_channels(randoms *r, case_kind kind, pt_conv_spec *s)
{
    static const int usual[] = {1, 3, 8, 16, 24, 32, 40, 64, 96, 128};
    s->in_channels = random_int(r, 0, 1) ? random_int(r, 1, 40) : usual[random_int(r, 0, 9)];
    s->out_channels = random_int(r, 0, 1) ? random_int(r, 1, 40) : usual[random_int(r, 0, 9)];
    if (kind == CASE_DEPTHWISE) {
        s->groups = s->out_channels = s->in_channels;
    } else if (kind == CASE_GROUPED) {
        s->groups = random_int(r, 2, 4);
        s->in_channels = s->groups * random_int(r, 1, 6);
        s->out_channels = s->groups * random_int(r, 1, 6);
    } else if (kind == CASE_ROWS) {
        s->in_channels = random_int(r, 1, 700);
    } else if (kind == CASE_FIRST) {
        s->in_channels = s->in_elem == PT_U8 ? 4 : 3;
    }
}

bool case_make(randoms *r, case_kind kind, pt_elem in, pt_elem out, conv_case *c)
{
    pt_conv_spec s = {.stride = random_int(r, 1, 2),
                      .groups = 1,
                      .activation = (pt_activation)random_int(r, 0, 2),
                      .add = (pt_add)random_int(r, 0, 2),
                      .in_elem = in,
                      .out_elem = out};
    int n = random_int(r, 1, 3), h = random_int(r, 1, 17), w = random_int(r, 1, 28);
    choose_channels(r, kind, &s);
    s.kernel_h = s.kernel_w = 3;
    s.pad = 1;
    if (kind == CASE_POINTWISE || kind == CASE_ROWS) {
        s.kernel_h = s.kernel_w = 1;
        s.pad = 0;
        s.stride = kind == CASE_ROWS ? 1 : s.stride;
    } else if (kind == CASE_ANY || kind == CASE_GROUPED) {
        s.kernel_h = random_int(r, 1, 7);
        s.kernel_w = random_int(r, 1, 7);
        s.pad = random_int(r, 0, 3);
    } else if (kind == CASE_FIRST) {
        s.kernel_h = s.kernel_w = random_int(r, 0, 1) ? 7 : 3;
        s.pad = s.kernel_h / 2;
        s.stride = 2;
    }
    if (kind == CASE_ROWS) {
        n = random_int(r, 1, 150);
        h = w = 1;
    }
    if (pt_window_out(h, s.kernel_h, s.stride, s.pad) < 1 ||
        pt_window_out(w, s.kernel_w, s.stride, s.pad) < 1) {
        return false;
    }
    case_make_of(r, &s, n, h, w, c);
    return true;
}

void case_free(conv_case *c)
{
    pt_conv_weights_free(&c->weights);
    free_guarded(c->in.data, pt_map_bytes(&c->in));
    free_guarded(c->summand.data, pt_map_bytes(&c->summand));
    free_guarded(c->out.data, pt_map_bytes(&c->out));
    free(c->exact);
    free(c->magnitude);
    free(c->wanted);
}

static void *copy(const void *from, size_t bytes)
{
    if (!from) {
        return NULL;
    }
    void *block = aligned_alloc(PT_ALIGNMENT, (bytes + PT_ALIGNMENT - 1) / PT_ALIGNMENT * PT_ALIGNMENT);
    assert_non_null(block); /* not by pt_alloc, which may be told to fail */
    memcpy(block, from, bytes);
    return block;
}

pt_status case_layer(const conv_case *c, pt_backend *backend, pt_conv **out)
{
    size_t outputs = (size_t)c->spec.out_channels, count = outputs * pt_conv_rows(&c->spec);
    pt_conv_weights weights = {.f32 = copy(c->weights.f32, count * sizeof(float)),
                               .s8 = copy(c->weights.s8, count),
                               .scale = copy(c->weights.scale, outputs * sizeof(float)),
                               .bias = copy(c->weights.bias, outputs * sizeof(float))};
    pt_status status = backend->ops->conv_new(backend, &c->spec, &weights, out);
    assert_true(!weights.f32 && !weights.s8 && !weights.scale && !weights.bias);
    return status;
}

void case_run(conv_case *c, pt_backend *backend, pt_conv *conv, int n, bool in_place)
{
    pt_map in = c->in, summand = c->summand, out = c->out;
    in.n = summand.n = out.n = n;
    memset(c->out.data, GUARD, pt_map_bytes(&c->out) + PT_MAP_SLACK);
    if (summand.data && in_place && c->spec.add == PT_ADD_SAME) {
        memcpy(out.data, summand.data, pt_map_bytes(&summand));
        summand.data = out.data;
    }
    long before = pt_alloc_count();
    backend->ops->conv_run(backend, conv, &in, summand.data ? &summand : NULL, &out);
    assert_int_equal(pt_alloc_count(), before);
}

static void check_elements(const conv_case *c, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (c->spec.out_elem == PT_U8) {
            int got = pt_map_u8(&c->out)[i], wanted = ((const uint8_t *)c->wanted)[i];
            if (got != wanted) {
                fail_msg("byte %zu is %d, not %d", i, got, wanted);
            }
        } else if (c->spec.in_elem == PT_U8) {
            float got = pt_map_f32(&c->out)[i], wanted = ((const float *)c->wanted)[i];
            if (!(got == wanted)) {
                fail_msg("float %zu is %.9g, not %.9g", i, (double)got, (double)wanted);
            }
        } else {
            double got = (double)pt_map_f32(&c->out)[i];
            if (!(fabs(got - c->exact[i]) <= tolerance * c->magnitude[i])) {
                fail_msg("float %zu is %.9g, not %.9g (magnitude %g)", i, got, c->exact[i], c->magnitude[i]);
            }
        }
    }
}

void case_check(const conv_case *c, int n)
{
    pt_map out = c->out;
    out.n = n;
    check_elements(c, pt_map_count(&out));
    const unsigned char *bytes = c->out.data;
    for (size_t i = pt_map_bytes(&out); i < pt_map_bytes(&c->out) + PT_MAP_SLACK; i++) {
        if (bytes[i] != GUARD) {
            fail_msg("byte %zu beyond the output was written", i - pt_map_bytes(&out));
        }
    }
}
