/* Looks at a model's activations on tiles of a scene, in FP32, and writes what 8 bits are to be stretched
 * over into a copy of its file.
 *
 *   pt_calibrator_open(model, threads, &calibrator)
 *   pt_calibrator_add(calibrator, &image)            for each tile
 *   pt_calibrator_write(calibrator, method, ...)     as often as wanted
 *   pt_calibrator_close(&calibrator)
 *
 * Memory: a histogram of 16 KB and one sum per channel for each value, however many tiles there are. The same
 * tiles in the same order give the same bytes, for any number of threads. Not thread-safe. */
#ifndef PANTILE_ENGINE_CALIBRATE_CALIBRATE_H
#define PANTILE_ENGINE_CALIBRATE_CALIBRATE_H

#include "engine/engine.h"
#include "engine/quant/histogram.h"

typedef struct pt_calibrator pt_calibrator;

/* threads 0: all cores. What pt_engine_open fails with. */
pt_status pt_calibrator_open(const char *model_path, int threads, pt_calibrator **out);
void pt_calibrator_close(pt_calibrator **calibrator);
const pt_model_summary *pt_calibrator_model(const pt_calibrator *calibrator);

/* One tile. What pt_engine_infer fails with; PT_E_NOMEM. */
pt_status pt_calibrator_add(pt_calibrator *calibrator, const pt_image *image);
/* Objects that were found in the tiles: without any, nothing was learned of the mask head. */
int64_t pt_calibrator_objects(const pt_calibrator *calibrator);
/* What "auto" had best mean: "int8", or "int8,mask=fp32" when no object was found. */
const char *pt_calibrator_precision(const pt_calibrator *calibrator);
size_t pt_calibrator_values(const pt_calibrator *calibrator); /* of which ranges are known */

/* As pt_calibrator_add, of an image that was made and is no tile: ranges without any are better than none. */
pt_status pt_calibrator_add_made(pt_calibrator *calibrator, const pt_image *image);

/* A copy of the model at `to` (which may be the model itself) with the ranges by `method` and what "auto" is
 * to mean ("int8"). PT_E_USAGE when nothing was added; else what pt_model_write_calibrated fails with. */
pt_status pt_calibrator_write(const pt_calibrator *calibrator, pt_range_method method, const char *precision,
                              const char *to);

/* A copy of a calibrated model at `to` (which may be `from`) in which "auto" means `precision`. PT_E_INPUT
 * when it is not calibrated; else what pt_model_open and pt_model_write_calibrated fail with. */
pt_status pt_calibrate_set_precision(const char *from, const char *precision, const char *to);

#endif
