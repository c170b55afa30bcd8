/* What the parts of the oneDNN backend share.
 *
 * oneDNN runs on one thread at a time: a layer is cut into tasks for our own pool, bands of output rows or
 * chunks of pixels, each one run of a oneDNN primitive. The cut depends on the layer and the map's size
 * alone, so that any number of threads gives the same bytes; and no OpenMP thread is ever started, so none
 * spins while others work.
 *
 * A primitive is made for one shape. `piece` is a primitive with its memory objects; a layer's pieces are
 * kept as long as the layer. Layers of bytes take 32-bit sums from oneDNN and finish them here, by the
 * definition of backend.h. */
#ifndef PANTILE_ENGINE_BACKEND_ONEDNN_INTERNAL_H
#define PANTILE_ENGINE_BACKEND_ONEDNN_INTERNAL_H

#include "engine/backend/backend.h"

#include <dnnl.h>
#include <pthread.h>

typedef struct pt_onednn {
    pt_backend base;
    int threads;
    dnnl_stream_t *streams; /* one per worker */
    unsigned char *scratch; /* scratch_each bytes per worker, at PT_ALIGNMENT */
    size_t scratch_each;
    pt_backend *portable; /* for layers that oneDNN would not compute exactly; NULL until there is one */
} pt_onednn;

/* Weights in a format that a primitive asked for. */
typedef struct pt_onednn_packed {
    struct pt_onednn_packed *next;
    dnnl_memory_desc_t desc;
    dnnl_memory_t memory;
    void *data;
    size_t bytes;
} pt_onednn_packed;

/* The memory objects of one backend's workers: oneDNN's cannot serve two threads at once. */
typedef struct pt_onednn_seats {
    struct pt_onednn_seats *next;
    const pt_onednn *backend;
    int count;
    struct pt_onednn_seat {
        dnnl_memory_t in, out, scratch;
    } items[];
} pt_onednn_seats;

/* The shape of a piece: one image's rows. */
typedef struct pt_onednn_shape {
    int in_h, in_w, out_h, out_w;
    int top, bottom, left, right; /* padding that oneDNN supplies, of zeros */
} pt_onednn_shape;

typedef struct pt_onednn_piece {
    struct pt_onednn_piece *next;
    pt_onednn_shape shape;
    dnnl_primitive_t primitive;
    dnnl_memory_desc_t in, out, scratch;
    const pt_onednn_packed *weights;
    _Atomic(pt_onednn_seats *) seats; /* grows at the head, under the layer's lock */
} pt_onednn_piece;

typedef struct pt_onednn_band {
    int row, rows;       /* of the output */
    int in_row, in_rows; /* of the input; both may lie beyond the map */
    pt_onednn_piece *piece;
} pt_onednn_band;

/* How maps of one size are cut. */
typedef struct pt_onednn_plan {
    struct pt_onednn_plan *next;
    int h, w; /* of the input */
    size_t band_count;
    pt_onednn_band *bands;
} pt_onednn_plan;

struct pt_conv {
    pt_conv_spec spec;
    bool flat;         /* 1x1 over pixels whose places do not matter: cut into chunks, not bands */
    bool copied;       /* padded by a copy, with what the layer reads outside; else by oneDNN, with zeros */
    pt_conv *portable; /* computes the layer in place of the rest of this struct */
    float *bias;       /* out_channels, as all that follows */
    float *multiplier; /* of bytes: in.scale * scale */
    int32_t *shift;    /* of bytes: what the sum lacks because oneDNN knows no in.zero */
    pthread_mutex_t lock; /* of what follows, while it grows */
    pt_onednn_packed *packed;
    dnnl_memory_t bias_memory; /* of floats */
    pt_onednn_piece *pieces;
    _Atomic(pt_onednn_plan *) plans;
    pt_onednn_piece *chunk; /* of a flat layer: its one piece */
    char method[48];
};

/* Offsets into a worker's scratch. */
typedef struct pt_onednn_scratch {
    size_t in, out, all; /* oneDNN's own begins at 0 */
} pt_onednn_scratch;

/* Made once, never freed: primitives and streams of all backends must share it. */
pt_status pt_onednn_engine(dnnl_engine_t *out);
/* oneDNN's answer as ours; `what` names the step, the spec the layer. */
pt_status pt_onednn_status(dnnl_status_t status, const char *what, const pt_conv_spec *spec);

/* Finds or makes the piece of this shape. Holds conv->lock. */
pt_status pt_onednn_piece_get(pt_conv *conv, const pt_onednn_shape *shape, pt_onednn_piece **out);
/* Makes sure that this backend's workers have memory objects. Holds conv->lock. */
pt_status pt_onednn_piece_seat(pt_onednn_piece *piece, const pt_onednn *backend);
void pt_onednn_pieces_free(pt_conv *conv); /* and the packed weights */
/* Takes the layer's weights in the order of backend.h as the first packed ones, also when it fails. */
pt_status pt_onednn_pack_first(pt_conv *conv, void *data);

/* Pixels of a flat layer's chunk. */
int pt_onednn_chunk_pixels(const pt_conv_spec *spec);
pt_status pt_onednn_plan_get(pt_conv *conv, int n, int h, int w, pt_onednn_plan **out);
pt_onednn_scratch pt_onednn_scratch_of(const pt_conv *conv, const pt_onednn_piece *piece);

void pt_onednn_run_flat(pt_onednn *backend, const pt_conv *conv, const pt_map *in, const pt_map *summand,
                        pt_map *out);
void pt_onednn_run_bands(pt_onednn *backend, const pt_conv *conv, const pt_map *in, const pt_map *summand,
                         pt_map *out);

#ifdef PANTILE_HAVE_AVX512
/* One pixel's sums -> floats or bytes, by the definition of backend.h. summand: NULL or spec->out_channels
 * elements of out_elem. */
void pt_onednn_finish(const pt_conv *conv, const int32_t *sums, const void *summand, void *out);
#endif

#endif
