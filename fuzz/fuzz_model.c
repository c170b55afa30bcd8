/* The model reader on hostile bytes. Input: one byte (odd: a sidecar follows), with a sidecar two bytes of
 * its length (little-endian) and its text; the rest is the model file. What opens must also fold, become a
 * network and give its layers' weights, in the precision that its calibration wants: those numbers come from
 * the file as well. */
#include "engine/graph/lower.h"
#include "engine/graph/parts.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const pt_model *model)
{
    const pt_model_config *c = pt_model_get_config(model);
    if (c->level_count < 2 || c->level_count > PT_MODEL_MAX_LEVELS || c->class_count < 2) {
        abort(); /* promised by pt_model_open */
    }
    const char *stem = c->arch == PT_ARCH_MOBILENET_V2 ? "backbone.body.0.0" : "backbone.body.conv1";
    const char *bn = c->arch == PT_ARCH_MOBILENET_V2 ? "backbone.body.0.1" : "backbone.body.bn1";
    char name[64];
    snprintf(name, sizeof name, "%s.weight", stem);
    const pt_tensor *weight = pt_model_find(model, name);
    float *w = calloc(weight->count, sizeof *w);
    float *b = calloc((size_t)weight->shape[0], sizeof *b);
    if (w && b) {
        pt_model_load_conv(model, stem, bn, w, b);
    }
    free(w);
    free(b);
}

static void lower(const pt_model *model)
{
    pt_precision precision;
    bool strict;
    pt_ir ir = {0};
    if (pt_parts_precision(model, NULL, &precision, &strict).code != PT_OK ||
        pt_parts_ir(model, &precision, strict, NULL, &ir).code != PT_OK) {
        return; /* the calibration names layers that are not there */
    }
    if (pt_ir_infer_shapes(&ir, 64, 64, 2, 1).code != PT_OK) {
        abort(); /* every model that opens takes every image */
    }
    for (size_t i = 0; i < ir.op_count; i++) {
        pt_conv_spec spec;
        pt_conv_weights weights = {0};
        if (pt_op_is_dense(ir.ops[i].kind) &&
            pt_lower_weights(&ir, &ir.ops[i], model, &spec, &weights).code == PT_OK) {
            pt_conv_weights_free(&weights);
        }
    }
    pt_ir_free(&ir);
}

static void open_and_close(const uint8_t *bytes, size_t size, const char *sidecar)
{
    pt_model *model = NULL;
    pt_status status = pt_model_open_memory("fuzz", bytes, size, sidecar, &model);
    if ((status.code == PT_OK) != (model != NULL)) {
        abort(); /* a model exactly when all is well */
    }
    if (model) {
        use(model);
        lower(model);
    }
    pt_model_close(&model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    char *sidecar = NULL;
    size_t at = 1;
    if (data[0] & 1 && size >= 3) {
        size_t length = (size_t)data[1] | (size_t)data[2] << 8;
        length = length < size - 3 ? length : size - 3;
        sidecar = calloc(length + 1, 1);
        if (!sidecar) {
            return 0;
        }
        memcpy(sidecar, data + 3, length);
        at = 3 + length;
    }
    /* A copy of its own, so that one byte too many is seen. */
    uint8_t *bytes = malloc(size - at ? size - at : 1);
    if (bytes) {
        memcpy(bytes, data + at, size - at);
        open_and_close(bytes, size - at, sidecar);
    }
    free(bytes);
    free(sidecar);
    return 0;
}
