/* Private to the portable backend: portable.c opens and dispatches, portable_f32.c and portable_u8.c compute.
 */
#ifndef PANTILE_ENGINE_BACKEND_PORTABLE_H
#define PANTILE_ENGINE_BACKEND_PORTABLE_H

#include "engine/backend/backend.h"

/* How a layer of floats is computed. */
typedef enum pt_portable_kind {
    PT_PORTABLE_GEMM,
    PT_PORTABLE_IM2COL,
    PT_PORTABLE_DEPTHWISE
} pt_portable_kind;

struct pt_conv {
    pt_conv_spec spec;
    pt_portable_kind kind;
    size_t rows;       /* numbers that one output is a sum over: kernel_h * kernel_w * in_channels / groups */
    float *f32;        /* out x rows; depthwise: taps x channels */
    int16_t *s16;      /* out x rows: the bytes of the weights, widened */
    float *multiplier; /* out, of a U8 layer */
    float *bias;       /* out */
};

typedef struct pt_portable {
    pt_backend base;
    char *scratch; /* scratch_each bytes per worker */
    size_t scratch_each;
} pt_portable;

typedef struct pt_portable_job {
    const pt_portable *backend;
    const pt_conv *conv;
    const pt_map *in, *summand; /* summand NULL: none */
    pt_map *out;
    size_t block;         /* output pixels of a task */
    size_t column_blocks; /* of a matrix product */
} pt_portable_job;

/* The place of an output pixel. */
typedef struct pt_portable_pixel {
    int n, y, x;
} pt_portable_pixel;

pt_portable_pixel pt_portable_locate(const pt_map *map, size_t pixel);
/* The summand's pixel that output pixel `pixel` adds. */
size_t pt_portable_summand(const pt_portable_job *job, size_t pixel);

/* Scratch bytes of one worker; false when they cannot be counted. */
bool pt_portable_f32_scratch(const pt_conv *conv, size_t *bytes);
bool pt_portable_u8_scratch(const pt_conv *conv, size_t *bytes);
/* Both take what they need of the weights out of *weights. */
pt_status pt_portable_f32_prepare(pt_conv *conv, pt_conv_weights *weights);
pt_status pt_portable_u8_prepare(pt_conv *conv, pt_conv_weights *weights);
void pt_portable_f32_run(pt_portable_job *job);
void pt_portable_u8_run(pt_portable_job *job);

#endif
