/* What INT8 loses by how many tiles it was calibrated on. */
#ifndef PANTILE_CLI_TUNE_SIZES_H
#define PANTILE_CLI_TUNE_SIZES_H

#include "cli/tune_grid.h"

/* One row for FP32 and one for each number of `sizes` ("0,5,50,100"; 0: a made image), calibrated on the
 * sample's scenes by `method` (NULL: as pantile calibrate does). *rows and its texts are the caller's to
 * free, also after a failure. PT_E_USAGE for a list that is none. */
pt_status pt_tune_sizes(const pt_tune *tune, const char *model, const pt_sample_options *sample,
                        const char *sizes, const char *method, pt_tune_row **rows, size_t *count);

#endif
