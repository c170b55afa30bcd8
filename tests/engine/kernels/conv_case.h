/* Random layers and what they must compute, by loops that share nothing with the engine's. */
#ifndef PANTILE_TESTS_ENGINE_KERNELS_CONV_CASE_H
#define PANTILE_TESTS_ENGINE_KERNELS_CONV_CASE_H

#include "engine/backend/backend.h"
#include "tests/engine/kernels/random.h"

typedef enum case_kind {
    CASE_POINTWISE,
    CASE_DEPTHWISE,
    CASE_GROUPED,
    CASE_ANY,   /* any window, stride and padding, odd channels */
    CASE_USUAL, /* 3x3 as networks have it */
    CASE_ROWS,  /* fully connected */
    CASE_FIRST, /* of a network: few channels, a wide window */
    CASE_KINDS
} case_kind;

typedef struct conv_case {
    pt_conv_spec spec;
    pt_conv_weights weights;
    pt_map in, summand; /* summand.data NULL: none */
    pt_map out;         /* what lies around its memory is watched */
    double *exact;      /* of an F32 layer */
    double *magnitude;  /* the sum of the absolute values that went in */
    void *wanted;       /* of a U8 layer: elements like out's */
} conv_case;

/* False when the window does not fit the random map. */
bool case_make(randoms *r, case_kind kind, pt_elem in, pt_elem out, conv_case *c);
/* The same from a spec and the map's size; spec's quants and outside bytes are filled in. */
void case_make_of(randoms *r, const pt_conv_spec *spec, int n, int h, int w, conv_case *c);
void case_free(conv_case *c);
/* Prepares the layer from copies of the weights. */
pt_status case_layer(const conv_case *c, pt_backend *backend, pt_conv **out);
/* Runs the first n images; in_place: the summand lies where the result goes. */
void case_run(conv_case *c, pt_backend *backend, pt_conv *conv, int n, bool in_place);
/* Fails the test unless the first n images of out are right and nothing around them was written. */
void case_check(const conv_case *c, int n);

#endif
