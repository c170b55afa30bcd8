#include "engine/graph/parts.h"

#include "engine/graph/lower.h"
#include "engine/graph/passes.h"
#include "tiling/base/alloc.h"

#include <string.h>

pt_status pt_parts_precision(const pt_model *model, const char *asked, pt_precision *out, bool *strict)
{
    const pt_calibration *calibration = pt_model_calibration(model);
    *strict = asked && strcmp(asked, "auto") != 0;
    if (!*strict) {
        asked = calibration ? calibration->precision : "fp32";
    }
    return pt_precision_parse(asked, out);
}

pt_status pt_parts_ir(const pt_model *model, const pt_precision *precision, bool strict, const char *without,
                      pt_ir *out)
{
    pt_ir ir = {0};
    pt_status status;
    PT_TRY_OUT(pt_ir_build(model, &ir));
    PT_TRY_OUT(pt_ir_run_passes(&ir, without));
    PT_TRY_OUT(pt_ir_assign_precision(&ir, precision, pt_model_calibration(model), strict));
    *out = ir;
    ir = (pt_ir){0};
out:
    pt_ir_free(&ir);
    return status;
}

pt_status pt_parts_build(const pt_model *model, pt_backend *backend, const pt_precision *precision,
                         bool strict, const char *without, pt_parts *out)
{
    enum { ANY_SIDE = 256 }; /* pixels; lowering asks for the shapes of regions alone */
    pt_ir ir = {0};
    pt_parts parts = {0};
    pt_status status;
    PT_TRY_OUT(pt_parts_ir(model, precision, strict, without, &ir));
    PT_TRY_OUT(pt_ir_infer_shapes(&ir, ANY_SIDE, ANY_SIDE, 1, 1));
    PT_TRY_OUT(pt_lower(&ir, model, backend, &parts));
    *out = parts;
    parts = (pt_parts){0};
out:
    pt_parts_free(&parts);
    pt_ir_free(&ir);
    return status;
}

pt_status pt_parts_share(const pt_parts *of, pt_backend *backend, pt_parts *out)
{
    pt_parts parts = *of;
    parts.shares = true;
    parts.image = parts.box = parts.mask = NULL;
    pt_status status = pt_graph_share(of->image, backend, &parts.image);
    if (status.code == PT_OK) {
        status = pt_graph_share(of->box, backend, &parts.box);
    }
    if (status.code == PT_OK) {
        status = pt_graph_share(of->mask, backend, &parts.mask);
    }
    if (status.code != PT_OK) {
        pt_parts_free(&parts);
        return status;
    }
    *out = parts;
    return pt_ok();
}

void pt_parts_free(pt_parts *parts)
{
    pt_graph_free(&parts->image);
    pt_graph_free(&parts->box);
    pt_graph_free(&parts->mask);
    if (!parts->shares) {
        pt_free(parts->logits_weights);
        pt_free(parts->logits_bias);
    }
    *parts = (pt_parts){0};
}
