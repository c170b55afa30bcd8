/* What `pantile bench` takes, and the measuring without the reading of images: bench_engine is the same for
 * machines without GDAL. */
#ifndef PANTILE_CLI_BENCH_OPTIONS_H
#define PANTILE_CLI_BENCH_OPTIONS_H

#include "cli/options.h"
#include "engine/engine.h"

typedef struct pt_bench_options {
    const char *model, *precision, *backend, *without_passes;
    pt_texts images;
    int64_t size, threads, streams, batch, rounds, detections, proposals;
    double score; /* negative: the model's own */
    bool layers, json, help;
} pt_bench_options;

enum { PT_BENCH_OPTIONS = 16 };
extern const pt_option pt_bench_table[PT_BENCH_OPTIONS];

pt_bench_options pt_bench_defaults(void);

/* Measures the model at `model_path` on these images (none: a made one) and says on standard output what came
 * out. */
pt_status pt_bench_measure(const pt_bench_options *options, const char *model_path, const pt_image *images,
                           size_t count);

#endif
