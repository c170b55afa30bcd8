/* What calibration has learned of a model's activations, stored in the model file itself.
 *
 * In the safetensors file: __metadata__["pantile.calibration"], a JSON text
 *   {"format": 1, "method": "kl", "tiles": 100, "ranges": {"VALUE": [low, high], ...}, "precision":
 * "int8,..."} and tensors "calibration.VALUE.mean" (F32, one number per channel). VALUE is the name of the
 * layer that wrote it as the graph names it ("backbone.body.layer1.0.conv3", with what was fused into it),
 * "image" for the input. docs/model-format.md has the limits. */
#ifndef PANTILE_ENGINE_MODEL_CALIBRATION_H
#define PANTILE_ENGINE_MODEL_CALIBRATION_H

#include "engine/model/model.h"

typedef struct pt_range {
    const char *value; /* valid until the model is closed */
    float low, high;   /* finite, low <= 0 <= high */
    const float *mean; /* per channel; NULL when the file has none */
    int channels;      /* of mean */
} pt_range;

typedef struct pt_calibration {
    const char *method;     /* "minmax", "percentile", "kl" */
    int tiles;              /* that were looked at */
    const char *precision;  /* what "auto" means for this model: tune's choice, else "int8" */
    const pt_range *ranges; /* by value, ascending */
    size_t range_count;
} pt_calibration;

/* NULL: the model is not calibrated. Valid until close. */
const pt_calibration *pt_model_calibration(const pt_model *model);
const pt_range *pt_calibration_find(const pt_calibration *calibration, const char *value);

/* Writes a copy of the model file at `from` (uncalibrated or not) with this calibration, atomically (a new
 * file beside `to`, synced, renamed). PT_E_INPUT, PT_E_OUTPUT or what base has for a failed write. */
pt_status pt_model_write_calibrated(const char *from, const pt_calibration *calibration, const char *to);

#endif
