#include "engine/graph/build.h"
#include "tiling/base/alloc.h"

/* In the order of torchvision: byte / 255, minus mean, by std, each step in single precision. */
static void fill_rule(const pt_model_config *config, pt_image_rule *rule)
{
    for (int c = 0; c < 3; c++) {
        float mean = (float)config->mean[c], std = (float)config->std[c];
        for (int v = 0; v < 256; v++) {
            rule->table[c][v] = ((float)v / 255.0f - mean) / std;
        }
    }
}

pt_status pt_parts_build(const pt_model *model, pt_backend *backend, const pt_precision *precision,
                         const char *without, pt_parts *out)
{
    if (pt_precision_any_int8(precision) || without) {
        return pt_error(PT_E_UNSUPPORTED,
                        "this build computes in FP32 with all passes; use --precision fp32");
    }
    pt_parts parts = {0};
    fill_rule(pt_model_get_config(model), &parts.rule);
    pt_status status = pt_build_image(model, backend, &parts);
    if (status.code == PT_OK) {
        status = pt_build_box_head(model, backend, &parts);
    }
    if (status.code == PT_OK) {
        status = pt_build_mask_head(model, backend, &parts);
    }
    if (status.code != PT_OK) {
        pt_parts_free(&parts);
        return status;
    }
    parts.operators = (int)(pt_graph_node_count(parts.image) + pt_graph_node_count(parts.box) +
                            pt_graph_node_count(parts.mask));
    *out = parts;
    return pt_ok();
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
