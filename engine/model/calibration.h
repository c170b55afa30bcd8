/* What calibration has learned of a model's activations, stored in the model file itself.
 *
 * In the safetensors file: __metadata__["pantile.calibration"], a JSON text
 *   {"format": 1, "method": "kl", "tiles": 100, "precision": "int8,...", "ranges": {"VALUE": [low, high]}}
 * and tensors "calibration.VALUE.mean" (F32, one number per channel). VALUE is the name of the layer that
 * wrote it as the graph names it ("backbone.body.layer1.0.conv3", with what was fused into it), "image" for
 * the input. docs/model-format.md has the limits. A range of a value that the graph does not have is
 * tolerated (graphs fuse differently from version to version); one that is missing leaves its layer in FP32.
 */
#ifndef PANTILE_ENGINE_MODEL_CALIBRATION_H
#define PANTILE_ENGINE_MODEL_CALIBRATION_H

#include "engine/model/model.h"

typedef struct pt_range {
    const char *value; /* valid until the model is closed */
    float low, high;   /* finite, low <= 0 <= high */
    const float *mean; /* per channel, finite; NULL when the file has none */
    int channels;      /* of mean; whoever uses it compares it with the layer's inputs */
} pt_range;

typedef struct pt_calibration {
    const char *method;     /* "minmax", "percentile", "kl", "mse" */
    int tiles;              /* that were looked at */
    const char *precision;  /* what "auto" means for this model: tune's choice, else "int8" */
    const pt_range *ranges; /* by value, ascending */
    size_t range_count;
} pt_calibration;

enum { PT_CALIBRATION_MAX_VALUE = 110 }; /* bytes of a value's name */

/* NULL: the model is not calibrated. Valid until close. */
const pt_calibration *pt_model_calibration(const pt_model *model);
/* NULL: the calibration (NULL: none) has no range of this value. */
const pt_range *pt_calibration_find(const pt_calibration *calibration, const char *value);

/* Writes a copy of the model file at `from` (calibrated or not) with this calibration, atomically: a new file
 * beside `to`, synced, renamed over what may be there; `to` may be `from`. The weights' bytes stay as they
 * are; a description that lies beside `from` goes into the file. The same arguments give the same bytes.
 * A mean of another length than the layer that its value is named after has outputs is left out.
 * PT_E_USAGE (the calibration breaks a rule of the format), PT_E_INPUT (`from`), PT_E_NOSPACE, PT_E_WRITE,
 * PT_E_NOMEM. */
pt_status pt_model_write_calibrated(const char *from, const pt_calibration *calibration, const char *to);

#endif
