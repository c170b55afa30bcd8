/* How fast a model runs here, and how near that comes to what this machine can do: the measuring of
 * `pantile bench` and of bench_engine.
 *
 *   pt_measure(&options, &result)          runs the model; seconds to minutes
 *   pt_measure_json / _print(&result, ..)  says what came out
 *   pt_measure_fini(&result)
 *
 * In this order: the machine's peak, by loops in registers on as many threads; the model is opened; the first
 * call plans; calls are timed one by one; the process's peak memory is read; further calls are timed layer by
 * layer; an image of another size shows what a new size costs.
 */
#ifndef PANTILE_ENGINE_MEASURE_MEASURE_H
#define PANTILE_ENGINE_MEASURE_MEASURE_H

#include "engine/engine.h"

#include <stdio.h>

enum { PT_MEASURE_SIDE = 1024, PT_MEASURE_COMPONENTS = 8 };

typedef struct pt_measure_options {
    const char *model;
    pt_engine_options engine;
    const pt_image *images; /* borrowed; none: a made one */
    size_t image_count;
    int size;   /* the side of the square cut from each image's upper left; 0: whole images */
    int batch;  /* images of a call; 0: as many as streams */
    int rounds; /* how often all images are inferred, at least 1 */
} pt_measure_options;

typedef struct pt_measure_component {
    const char *name;
    double ms, gflop; /* for one tile; ms by one stream */
} pt_measure_component;

/* For one tile unless said otherwise; a tile is one image. */
typedef struct pt_measurement {
    pt_engine *engine; /* owned, as is what the next ones point to */
    const pt_layer_report *layers;
    size_t layer_count;
    double layer_images; /* that each layer's seconds are the sum of */
    pt_measure_component components[PT_MEASURE_COMPONENTS];
    size_t component_count;

    int width, height; /* of the last image, pixels */
    size_t tiles;      /* timed */
    int batch;
    double ms_min, ms_median, ms_max;
    double cpu_ms; /* of all threads, the mean: says more than the clock on a machine with much else to do */
    double mpx_per_s, gflop, gflops; /* the rates are those of the median */
    double share;                    /* of the peak: the layers' operations at peak rate / the median */
    double cpu_share; /* the same of what the threads had of the processors: where others take their turns */
    double peak_gflops, peak_gops;  /* of floats and of bytes, all threads */
    const char *peak_f32, *peak_u8; /* by which instructions */
    double detections;              /* of the last image */
    double open_ms;                 /* mapping, folding, packing */
    double plan_ms;                 /* what the engine books for the first size */
    double new_size_ms;             /* what the first image of another size took longer than its second */
    double peak_rss_mib;            /* of the process after the timed calls */
    pt_engine_memory memory;
} pt_measurement;

/* PT_E_USAGE for an image smaller than the cut, or for images of several sizes in a batch; what
 * pt_engine_open and pt_engine_infer have. */
pt_status pt_measure(const pt_measure_options *options, pt_measurement *out);
void pt_measure_fini(pt_measurement *result);

/* One object. `layers`: with the list of them. PT_E_NOMEM. */
pt_status pt_measure_json(const pt_measurement *result, bool layers, FILE *out);
void pt_measure_print(const pt_measurement *result, bool layers, FILE *out);

/* Operations a second of `threads` threads at once: the best of several short runs. */
typedef struct pt_measure_peak {
    double f32, u8;
    const char *f32_name, *u8_name;
} pt_measure_peak;
pt_status pt_measure_machine(int threads, pt_measure_peak *out);
/* VmHWM of Linux's /proc/self/status, in MiB; 0 where there is none. */
double pt_measure_peak_rss(void);
double pt_measure_clock(void); /* seconds, monotonic */

/* Free the pixels with pt_measure_image_free. */
pt_status pt_measure_image_new(int side, pt_image *out);          /* always the same pixels */
pt_status pt_measure_image_read(const char *path, pt_image *out); /* a PPM of pantile run --dump-tiles */
void pt_measure_image_free(pt_image *image);

#endif
