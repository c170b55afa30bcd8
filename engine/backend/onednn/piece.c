/* Primitives and packed weights of a layer. */
#include "engine/backend/onednn/internal.h"

#include "tiling/base/alloc.h"
#include "tiling/base/checked.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

pt_status pt_onednn_status(dnnl_status_t status, const char *what, const pt_conv_spec *s)
{
    if (status == dnnl_success) {
        return pt_ok();
    }
    pt_code code = status == dnnl_out_of_memory   ? PT_E_NOMEM
                   : status == dnnl_unimplemented ? PT_E_UNSUPPORTED
                                                  : PT_E_INTERNAL;
    return pt_error(code,
                    "oneDNN, %s: status %d, for a %dx%d convolution of %d to %d channels in %d groups; "
                    "--backend portable runs everywhere",
                    what, (int)status, s->kernel_h, s->kernel_w, s->in_channels, s->out_channels, s->groups);
}

static dnnl_status_t weights_desc(const pt_conv_spec *s, bool any, dnnl_memory_desc_t *out)
{
    dnnl_data_type_t type = s->in_elem == PT_U8 ? dnnl_s8 : dnnl_f32;
    if (s->groups == 1) {
        dnnl_dims_t dims = {s->out_channels, s->in_channels, s->kernel_h, s->kernel_w};
        return dnnl_memory_desc_init_by_tag(out, 4, dims, type, any ? dnnl_format_tag_any : dnnl_ohwi);
    }
    dnnl_dims_t dims = {s->groups, s->out_channels / s->groups, s->in_channels / s->groups, s->kernel_h,
                        s->kernel_w};
    return dnnl_memory_desc_init_by_tag(out, 5, dims, type, any ? dnnl_format_tag_any : dnnl_gohwi);
}

static dnnl_status_t map_desc(dnnl_data_type_t type, int c, int h, int w, dnnl_memory_desc_t *out)
{
    dnnl_dims_t dims = {1, c, h, w};
    return dnnl_memory_desc_init_by_tag(out, 4, dims, type, dnnl_nhwc);
}

/* What oneDNN adds and clamps by itself, for layers of floats. */
static dnnl_status_t append_ops(const pt_conv_spec *s, dnnl_post_ops_t ops)
{
    dnnl_status_t status = dnnl_success;
    if (s->add != PT_ADD_NONE) {
        status = dnnl_post_ops_append_sum(ops, 1);
    }
    if (status == dnnl_success && s->activation == PT_ACT_RELU) {
        status = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0);
    } else if (status == dnnl_success && s->activation == PT_ACT_RELU6) {
        status = dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_clip, 0, 6);
    }
    return status;
}

static dnnl_status_t attributes(const pt_conv_spec *s, dnnl_primitive_attr_t *out)
{
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_create(&attr);
    if (status == dnnl_success) {
        status = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
    }
    if (status == dnnl_success && s->in_elem == PT_F32) {
        status = dnnl_post_ops_create(&ops);
        status = status == dnnl_success ? append_ops(s, ops) : status;
        status = status == dnnl_success ? dnnl_primitive_attr_set_post_ops(attr, ops) : status;
        dnnl_post_ops_destroy(ops);
    }
    *out = attr;
    return status;
}

/* The first of oneDNN's implementations, which is the one that it holds for the fastest. */
static dnnl_status_t describe(const pt_conv_spec *s, pt_onednn_piece *piece, dnnl_engine_t engine,
                              dnnl_primitive_desc_t *out)
{
    const pt_onednn_shape *p = &piece->shape;
    bool bytes = s->in_elem == PT_U8;
    dnnl_memory_desc_t weights, bias;
    dnnl_convolution_desc_t convolution;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_dims_t bias_dims = {s->out_channels}, strides = {s->stride, s->stride};
    dnnl_dims_t before = {p->top, p->left}, after = {p->bottom, p->right};
    dnnl_status_t status = weights_desc(s, true, &weights);
    status = status ? status : dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_x);
    status =
        status ? status : map_desc(bytes ? dnnl_u8 : dnnl_f32, s->in_channels, p->in_h, p->in_w, &piece->in);
    status = status ? status
                    : map_desc(bytes ? dnnl_s32 : dnnl_f32, s->out_channels, p->out_h, p->out_w, &piece->out);
    status = status ? status
                    : dnnl_convolution_forward_desc_init(
                          &convolution, dnnl_forward_inference, dnnl_convolution_direct, &piece->in, &weights,
                          bytes ? NULL : &bias, &piece->out, strides, before, after);
    status = status ? status : attributes(s, &attr);
    status = status ? status : dnnl_primitive_desc_create(out, &convolution, attr, engine, NULL);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

/* Takes the data, also when it fails. */
static pt_status new_packed(const pt_conv_spec *s, const dnnl_memory_desc_t *desc, void *data,
                            pt_onednn_packed **out)
{
    dnnl_engine_t engine;
    pt_onednn_packed *packed = pt_calloc(1, sizeof *packed);
    pt_status status = packed ? pt_onednn_engine(&engine) : PT_NOMEM("a layer's weights");
    if (status.code == PT_OK) {
        *packed = (pt_onednn_packed){.desc = *desc, .data = data, .bytes = dnnl_memory_desc_get_size(desc)};
        status = pt_onednn_status(dnnl_memory_create(&packed->memory, desc, engine, data), "weights", s);
    }
    if (status.code != PT_OK) {
        pt_free(packed);
        pt_free(data);
        return status;
    }
    *out = packed;
    return pt_ok();
}

static void packed_free(pt_onednn_packed *packed)
{
    if (packed) {
        dnnl_memory_destroy(packed->memory);
        pt_free(packed->data);
        pt_free(packed);
    }
}

pt_status pt_onednn_pack_first(pt_conv *conv, void *data)
{
    dnnl_memory_desc_t desc;
    pt_status status = pt_onednn_status(weights_desc(&conv->spec, false, &desc), "weights", &conv->spec);
    if (status.code != PT_OK) {
        pt_free(data);
        return status;
    }
    return new_packed(&conv->spec, &desc, data, &conv->packed);
}

static dnnl_status_t reorder(const pt_onednn_packed *from, const pt_onednn_packed *to)
{
    dnnl_engine_t engine;
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t primitive = NULL;
    dnnl_stream_t stream = NULL;
    if (pt_onednn_engine(&engine).code != PT_OK) {
        return dnnl_runtime_error;
    }
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from->memory}, {DNNL_ARG_TO, to->memory}};
    dnnl_status_t status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
    status = status ? status
                    : dnnl_reorder_primitive_desc_create(&desc, &from->desc, engine, &to->desc, engine, NULL);
    status = status ? status : dnnl_primitive_create(&primitive, desc);
    status = status ? status : dnnl_primitive_execute(primitive, stream, 2, arguments);
    status = status ? status : dnnl_stream_wait(stream);
    dnnl_primitive_destroy(primitive);
    dnnl_primitive_desc_destroy(desc);
    dnnl_stream_destroy(stream);
    return status;
}

/* The weights in the format `wanted`. The first ones, in the order of the model, are dropped once there are
 * others: formats that come later are made from those. */
static pt_status pack(pt_conv *conv, const dnnl_memory_desc_t *wanted, const pt_onednn_packed **out)
{
    for (pt_onednn_packed *p = conv->packed; p; p = p->next) {
        if (dnnl_memory_desc_equal(&p->desc, wanted)) {
            *out = p;
            return pt_ok();
        }
    }
    void *data = pt_alloc_aligned(dnnl_memory_desc_get_size(wanted), 1);
    if (!data) {
        return PT_NOMEM("a layer's weights");
    }
    pt_onednn_packed *made = NULL;
    PT_TRY(new_packed(&conv->spec, wanted, data, &made));
    pt_status status = pt_onednn_status(reorder(conv->packed, made), "reordering weights", &conv->spec);
    if (status.code != PT_OK) {
        packed_free(made);
        return status;
    }
    if (!conv->pieces) {
        packed_free(conv->packed);
        conv->packed = NULL;
    }
    made->next = conv->packed;
    conv->packed = made;
    *out = made;
    return pt_ok();
}

static void name_method(pt_conv *conv, const_dnnl_primitive_desc_t desc)
{
    const char *info = "";
    if (!conv->method[0] && dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &info) == 0) {
        snprintf(conv->method, sizeof conv->method, "%s", info);
    }
}

/* oneDNN's older kernels turn sums into floats before they store them as integers. */
static pt_status check_exact(const pt_conv_spec *s, const_dnnl_primitive_desc_t desc)
{
    enum { FLOAT_INTEGERS = 1 << 24 };
    const char *info = "";
    (void)dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &info);
    int64_t products = (int64_t)s->kernel_h * s->kernel_w * (s->in_channels / s->groups);
    if (strncmp(info, "br", 2) != 0 && products * 255 * 127 >= FLOAT_INTEGERS) {
        return pt_error(PT_E_UNSUPPORTED,
                        "oneDNN has no exact convolution of bytes for this layer; use --backend portable");
    }
    return pt_ok();
}

static void seats_free(pt_onednn_seats *seats)
{
    for (int i = 0; i < seats->count; i++) {
        dnnl_memory_destroy(seats->items[i].in);
        dnnl_memory_destroy(seats->items[i].out);
        dnnl_memory_destroy(seats->items[i].scratch);
    }
    pt_free(seats);
}

static void piece_free(pt_onednn_piece *piece)
{
    pt_onednn_seats *next;
    for (pt_onednn_seats *s = atomic_load(&piece->seats); s; s = next) {
        next = s->next;
        seats_free(s);
    }
    dnnl_primitive_destroy(piece->primitive);
    pt_free(piece);
}

static pt_status make(pt_conv *conv, pt_onednn_piece *piece)
{
    const pt_conv_spec *s = &conv->spec;
    dnnl_engine_t engine;
    dnnl_primitive_desc_t desc = NULL;
    PT_TRY(pt_onednn_engine(&engine));
    pt_status status = pt_onednn_status(describe(s, piece, engine, &desc), "choosing a kernel", s);
    if (status.code == PT_OK && s->in_elem == PT_U8) {
        status = check_exact(s, desc);
    }
    if (status.code == PT_OK) {
        piece->scratch = *dnnl_primitive_desc_query_md(desc, dnnl_query_scratchpad_md, 0);
        status = pack(conv, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), &piece->weights);
    }
    if (status.code == PT_OK) {
        status = pt_onednn_status(dnnl_primitive_create(&piece->primitive, desc), "making a kernel", s);
        name_method(conv, desc);
    }
    dnnl_primitive_desc_destroy(desc);
    return status;
}

pt_status pt_onednn_piece_get(pt_conv *conv, const pt_onednn_shape *shape, pt_onednn_piece **out)
{
    for (pt_onednn_piece *p = conv->pieces; p; p = p->next) {
        if (memcmp(&p->shape, shape, sizeof *shape) == 0) {
            *out = p;
            return pt_ok();
        }
    }
    pt_onednn_piece *piece = pt_calloc(1, sizeof *piece);
    if (!piece) {
        return PT_NOMEM("a layer's kernel");
    }
    piece->shape = *shape;
    pt_status status = make(conv, piece);
    if (status.code != PT_OK) {
        piece_free(piece);
        return status;
    }
    piece->next = conv->pieces;
    conv->pieces = piece;
    *out = piece;
    return pt_ok();
}

static dnnl_status_t sit(const pt_onednn_piece *piece, struct pt_onednn_seat *seat, dnnl_engine_t engine)
{
    dnnl_status_t status = dnnl_memory_create(&seat->in, &piece->in, engine, DNNL_MEMORY_NONE);
    status = status ? status : dnnl_memory_create(&seat->out, &piece->out, engine, DNNL_MEMORY_NONE);
    return status ? status : dnnl_memory_create(&seat->scratch, &piece->scratch, engine, DNNL_MEMORY_NONE);
}

pt_status pt_onednn_piece_seat(pt_onednn_piece *piece, const pt_onednn *backend)
{
    for (pt_onednn_seats *s = atomic_load(&piece->seats); s; s = s->next) {
        if (s->backend == backend && s->count >= backend->threads) {
            return pt_ok();
        }
    }
    dnnl_engine_t engine;
    PT_TRY(pt_onednn_engine(&engine));
    pt_onednn_seats *seats =
        pt_calloc(1, sizeof *seats + (size_t)backend->threads * sizeof(struct pt_onednn_seat));
    if (!seats) {
        return PT_NOMEM("a layer's kernel");
    }
    *seats =
        (pt_onednn_seats){.next = atomic_load(&piece->seats), .backend = backend, .count = backend->threads};
    dnnl_status_t status = dnnl_success;
    for (int i = 0; i < seats->count && status == dnnl_success; i++) {
        status = sit(piece, &seats->items[i], engine);
    }
    if (status != dnnl_success) {
        seats_free(seats);
        return PT_NOMEM("a layer's kernel");
    }
    atomic_store(&piece->seats, seats);
    return pt_ok();
}

void pt_onednn_pieces_free(pt_conv *conv)
{
    pt_onednn_piece *next_piece;
    for (pt_onednn_piece *p = conv->pieces; p; p = next_piece) {
        next_piece = p->next;
        piece_free(p);
    }
    pt_onednn_packed *next;
    for (pt_onednn_packed *p = conv->packed; p; p = next) {
        next = p->next;
        packed_free(p);
    }
    dnnl_memory_destroy(conv->bias_memory);
}
