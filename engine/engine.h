/* Tensors in, detections out: Mask R-CNN on windows of RGB bytes. Knows no maps and no network.
 *
 * Life cycle:
 *   pt_engine_open(path, &options, &engine)          maps and validates the model, folds, prepares weights
 *   pt_engine_infer(engine, images, n)               images of one size; the first call of a size plans
 * memory pt_engine_detections(engine, i, &items, &count)  of image i; valid until the next infer or close
 *   pt_engine_close(&engine)
 * An engine belongs to one thread at a time; several engines may live in one process. Given the same model,
 * image and machine the detections are the same bytes for any number of threads.
 *
 * Coordinates: boxes are (x0, y0, x1, y1) in pixels of the image, corners, continuous: pixel (i, j) covers
 * [i, i+1) by [j, j+1). Mask probabilities are a square grid over the box at the head's resolution; to get
 * pixels, paste them (pt_engine_paste_mask), as torchvision does.
 */
#ifndef PANTILE_ENGINE_ENGINE_H
#define PANTILE_ENGINE_ENGINE_H

#include "tiling/base/base.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pt_engine pt_engine;

typedef struct pt_engine_options {
    int threads;           /* 0: all cores that the process may use */
    float score_threshold; /* negative: the model's own */
    int max_detections;    /* per image; 0: the model's own */
    int max_proposals;     /* per level before NMS and per image after it; 0: the model's own */
    const char *backend;   /* NULL or "auto": the best there is; "native", "onednn", "portable" */
    const char *precision; /* NULL or "auto": the model's own, FP32 when it is not calibrated; else "fp32",
                              "int8", "int8,mask=fp32", ...: docs/engine.md */
    const char *without_passes; /* NULL: none; names of graph passes to leave out, by commas, or "all" */
    int streams; /* images of a call computed side by side, each by threads / streams threads; 0: one, which
                    on two cores was as fast as two and takes less memory. For calls of many images on many
                    cores. */
} pt_engine_options;

pt_engine_options pt_engine_defaults(void);

/* What a model file is; valid while the engine (or pt_model_summary's owner) lives. */
typedef struct pt_model_summary {
    const char *name;               /* from the metadata, else the file's base name */
    const char *architecture;       /* "resnet50_fpn", "resnet101_fpn", "mobilenet_v2_fpn" */
    const char *dtype;              /* of the stored weights: "F32", "F16", "BF16", "mixed" */
    int64_t parameters;             /* stored numbers */
    int class_count;                /* background included */
    const char *const *class_names; /* class_count entries; [0] is background */
    int fpn_channels;
    int level_count;        /* feature levels, the pooled one included */
    int stride;             /* the largest: the lattice of tile origins must be a multiple of it, pixels */
    int mask_size;          /* side of the mask probabilities */
    double mean[3], std[3]; /* of RGB / 255 */
    double gsd;             /* metres per pixel the model wants; 0 unknown */
    double score_threshold, nms_threshold; /* box head */
    double export_score; /* score from which objects are worth exporting; the metadata's, else 0.5 */
    int max_detections;
    int rpn_pre_nms, rpn_post_nms; /* caps per level and per image */
    double rpn_nms_threshold;
    const char *calibration; /* how ranges were chosen: "kl", ...; NULL: the model is not calibrated */
    int calibration_tiles;   /* that were looked at */
    const char *precision;   /* what "auto" means: calibration's or tune's choice, "fp32" without any */
    char sha256[65];         /* hex digest of the file */
} pt_model_summary;

/* Whether this process computes with slow kernels because its OpenBLAS is older than the CPU: true gives the
 * environment variable that cures it. OpenBLAS reads it as it is loaded, so a program must start itself again
 * (setenv, then execv of itself) before it does anything else; the variable being set is what ends the loop.
 * A library cannot do that, so pt_engine_open only logs a warning. The strings are constants. */
bool pt_engine_blas_core_fix(const char **env_name, const char **env_value);
/* Ends the threads that OpenBLAS has started as it was loaded, and that look for work, at full speed, for
 * some 25 ms: nobody has any for them, as the engine shares out the work itself. */
void pt_engine_blas_end_threads(void);

/* options NULL: the defaults. PT_E_USAGE, PT_E_INPUT (the model), PT_E_UNSUPPORTED, PT_E_NOMEM. */
pt_status pt_engine_open(const char *model_path, const pt_engine_options *options, pt_engine **out);
void pt_engine_close(pt_engine **engine);
/* What pt_engine_open would say of a backend's name; PT_E_USAGE, PT_E_UNSUPPORTED. `here`: of this build on
 * this CPU; else of any, for engines that others will open. */
pt_status pt_engine_check_backend(const char *backend, bool here);
const pt_model_summary *pt_engine_model(const pt_engine *engine);
const char *pt_engine_backend(const pt_engine *engine); /* e.g. "portable (OpenBLAS 0.3.21 SkylakeX)" */
int pt_engine_threads(const pt_engine *engine);
/* Grows with every layer that is run; any thread may ask while the engine infers. One that stands still for
 * long during an infer tells a hang from a large image. */
uint64_t pt_engine_progress(const pt_engine *engine);

/* What runs, for people and for `pantile bench`: texts are valid while the engine lives. */
const char *pt_engine_precision(const pt_engine *engine); /* resolved: "fp32", "int8,mask=fp32", ... */
int pt_engine_streams(const pt_engine *engine);

typedef struct pt_layer_report {
    const char *name, *component; /* as in the model; "backbone", "fpn", "rpn", "box", "mask", "other" */
    const char *kind, *method;    /* "conv 3x3"; how the backend computes it */
    const char *in, *out;         /* "f32", "u8" */
    int n, h, w, c;               /* of the output */
    double flops;                 /* for one image */
    size_t weight_bytes, activation_bytes;
    double seconds; /* of all calls since timing began, of one stream */
    uint64_t runs;
} pt_layer_report;

/* The layers in the order of execution, proposals, RoIAlign and selection included; sizes are those of the
 * last call (PT_E_USAGE before the first). *items is valid until the next call. */
pt_status pt_engine_layers(pt_engine *engine, const pt_layer_report **items, size_t *count);
void pt_engine_time_layers(pt_engine *engine, bool on); /* and set the times to 0 */

typedef struct pt_engine_memory {
    size_t weights;         /* prepared, bytes */
    size_t arena, unshared; /* activations as planned, and without any sharing */
    double plan_seconds;    /* what the last new size took to plan */
    int operators, layers;  /* before and after the passes */
} pt_engine_memory;
pt_engine_memory pt_engine_memory_use(const pt_engine *engine);

typedef struct pt_image {
    const uint8_t *rgb;   /* borrowed during the call; interleaved R G B */
    int width, height;    /* pixels, 1 .. 16384; the same for all images of a call */
    ptrdiff_t row_stride; /* bytes from row to row */
} pt_image;

typedef struct pt_detection {
    float x0, y0, x1, y1; /* pixels, inside the image */
    float score;          /* 0 .. 1, falling in the list */
    int class_id;         /* 1 .. class_count - 1 */
    const float *mask;    /* mask_size * mask_size probabilities, row-major; valid until the next infer */
} pt_detection;

/* Caps that were hit, summed over the images of the last call: real objects may have been cut. */
typedef struct pt_engine_caps {
    int proposals;  /* levels and images where one of the RPN's caps cut off an objectness of 0.5 or more */
    int detections; /* images with more detections than max_detections */
} pt_engine_caps;

/* count 0 is allowed and leaves no results. PT_E_USAGE for an image that is empty, too large or of another
 * size than the first; PT_E_NOMEM. After a failure there are no results, and the engine can be used again. */
pt_status pt_engine_infer(pt_engine *engine, const pt_image *images, size_t count);
/* PT_E_USAGE when `image` is not below the last call's count. */
pt_status pt_engine_detections(const pt_engine *engine, size_t image, const pt_detection **items,
                               size_t *count);
pt_engine_caps pt_engine_last_caps(const pt_engine *engine);

/* Pastes a detection's mask into pixels as torchvision's paste_masks_in_image does (one pixel of zero padding
 * around the grid, box scaled alike and cut to integers, bilinear, half-pixel centres).
 * pt_engine_paste_area: the pixels concerned, cut to the image. pt_engine_paste_mask fills probabilities for
 * `area` (any rectangle inside the image), row-major, area.w * area.h floats; 0 outside the pasted box. */
pt_rect pt_engine_paste_area(const pt_detection *detection, int mask_size, int width, int height);
void pt_engine_paste_mask(const pt_detection *detection, int mask_size, pt_rect area, float *out);
/* The same in area.w * area.h bytes: probability p as floor(256 * p), 255 at most, so that 128 begins at one
 * half. */
void pt_engine_paste_bytes(const pt_detection *detection, int mask_size, pt_rect area, uint8_t *out);

/* Reads and validates a model file without preparing it to run. Free with pt_model_summary_free. */
pt_status pt_model_summary_read(const char *model_path, pt_model_summary **out);
/* The same but for the digest, which takes longest: sha256 is "" until pt_model_summary_digest has filled it.
 */
pt_status pt_model_summary_begin(const char *model_path, pt_model_summary **out);
void pt_model_summary_digest(pt_model_summary *summary);
void pt_model_summary_free(pt_model_summary **summary);
/* What pt_engine_open would say of a precision for this model, of pt_model_summary_read: PT_E_USAGE when it
 * is none or names a layer that the network has not; PT_E_INPUT when the model is not calibrated, or its
 * calibration has no range for a layer; PT_E_NOMEM. */
pt_status pt_model_check_precision(const pt_model_summary *summary, const char *precision);

/* A layer of a model's network as it would be computed. Sizes are those of the output; n counts images or
 * regions. */
typedef struct pt_model_layer {
    const char *name, *component; /* as in the model; "backbone", "fpn", "rpn", "box", "mask" */
    const char *kind;             /* "conv 3x3 + add + relu", "roi align 7x7", ... */
    const char *in, *out;         /* "f32", "u8"; a layer with weights computes in what it reads */
    int n, h, w, c;
    double flops;            /* two per multiplication and addition, of convolutions and their like */
    size_t weight_bytes;     /* 0 where an earlier layer has the same weights */
    size_t activation_bytes; /* read and written */
    int fused;               /* operators of the network as it was trained that this one stands for */
} pt_model_layer;

typedef struct pt_model_graph {
    const pt_model_layer *layers;
    size_t layer_count;
    int operators;         /* of the network as it was trained */
    const char *precision; /* resolved: "fp32", "int8,mask=fp32", ... */
    int width, height;     /* of the image, padded */
} pt_model_graph;

/* The network of a model for an image of width x height pixels, without preparing it to run. Of the options
 * (NULL: the defaults) precision, without_passes, max_proposals and max_detections count; as many proposals
 * and detections are assumed as there may be. PT_E_USAGE, PT_E_INPUT, PT_E_NOMEM. Free with
 * pt_model_graph_free. */
pt_status pt_model_graph_read(const char *model_path, const pt_engine_options *options, int width, int height,
                              pt_model_graph **out);
void pt_model_graph_free(pt_model_graph **graph);

#endif
