/* The model reader on hostile bytes (input: model_input.h). What opens must also fold, become a network and
 * give its layers' weights, in the precision that its calibration wants: those numbers come from the file as
 * well. */
#include "fuzz/model_input.h"

#include "engine/backend/pool.h"
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

/* Kept from one input to the next; of one thread, so that a finding repeats. */
static pt_pool *pool(void)
{
    static pt_pool *kept;
    if (!kept && pt_pool_new(1, &kept).code != PT_OK) {
        abort();
    }
    return kept;
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
            pt_lower_weights(&ir, &ir.ops[i], model, pool(), &spec, &weights).code == PT_OK) {
            pt_conv_weights_free(&weights);
        }
    }
    pt_ir_free(&ir);
}

static void use_and_lower(const pt_model *model)
{
    use(model);
    lower(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_model_input(data, size, use_and_lower);
    return 0;
}
