/* The whole network of a hostile model on a small image: lowering, memory plan, every layer, proposals,
 * regions and masks, with what numbers a file may hold (input: model_input.h). Each input runs on one of the
 * backends in the precision that its calibration wants, or in FP32. */
#include "fuzz/model_input.h"

#include "engine/backend/backend.h"
#include "engine/graph/network.h"
#include "engine/graph/parts.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 40, HEIGHT = 33, PROPOSALS = 6, DETECTIONS = 3, MOST_CELLS = 8, MOST_SAMPLES = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *backend_name, *precision_name;

static void check(const pt_found *found, size_t count, const float *masks, size_t mask_cells)
{
    for (size_t i = 0; i < count; i++) {
        const pt_box b = found[i].box;
        bool inside =
            b.x0 >= 0 && b.y0 >= 0 && b.x1 <= WIDTH && b.y1 <= HEIGHT && b.x0 <= b.x1 && b.y0 <= b.y1;
        if (!inside || !(found[i].score >= 0 && found[i].score <= 1)) {
            abort(); /* promised by engine.h, whatever the numbers were */
        }
    }
    for (size_t i = 0; i < count * mask_cells; i++) {
        if (!isnan(masks[i]) && !(masks[i] >= 0 && masks[i] <= 1)) {
            abort();
        }
    }
}

static void infer(const pt_model *model, pt_backend *backend, const pt_precision *precision, bool strict)
{
    static uint8_t pixels[WIDTH * HEIGHT * 3];
    for (size_t i = 0; i < sizeof pixels; i++) {
        pixels[i] = (uint8_t)(i * 37 ^ i >> 5);
    }
    pt_engine_options options = pt_engine_defaults();
    options.max_proposals = PROPOSALS;
    options.max_detections = DETECTIONS;
    options.score_threshold = 0;
    pt_network *network = NULL;
    if (pt_network_new(model, backend, &options, precision, strict, &network).code != PT_OK) {
        return;
    }
    size_t side = (size_t)pt_model_get_config(model)->mask_size;
    float *masks = calloc(DETECTIONS * side * side, sizeof *masks);
    if (masks && pt_network_plan(network, WIDTH, HEIGHT).code == PT_OK) {
        const pt_image image = {pixels, WIDTH, HEIGHT, 3 * (ptrdiff_t)WIDTH};
        const pt_found *found;
        pt_engine_caps caps = {0};
        size_t count = pt_network_run(network, &image, &found, masks, &caps);
        check(found, count, masks, side * side);
    }
    free(masks);
    pt_network_free(&network);
}

static void use(const pt_model *model)
{
    const pt_model_config *c = pt_model_get_config(model);
    /* Larger ones take their time, as they should. */
    if (c->box_roi_size > MOST_CELLS || c->mask_roi_size > MOST_CELLS || c->sampling_ratio > MOST_SAMPLES) {
        return;
    }
    pt_precision precision;
    bool strict;
    pt_backend *backend = NULL;
    if (pt_parts_precision(model, precision_name, &precision, &strict).code == PT_OK &&
        pt_backend_open(backend_name, 1, &backend).code == PT_OK) {
        infer(model, backend, &precision, strict);
    }
    pt_backend_close(&backend);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0) {
        backend_name = data[0] & 2 ? "portable" : "native";
        precision_name = data[0] & 4 ? "fp32" : NULL;
        fuzz_model_input(data, size, use);
    }
    return 0;
}
