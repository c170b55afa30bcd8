/* What the model found, in scene pixels: class, score, mask as runs, and where available the mask's
 * probabilities, which later give outlines at sub-pixel accuracy.
 *
 * Coordinates: pixel (x, y) covers [x, x+1) by [y, y+1), y down; a mask or probability sample belongs to the
 * pixel's centre (x + 0.5, y + 0.5). Boxes are half-open and absolute in the scene; spans are relative to the
 * mask's box.
 *
 * Life cycle: pt_mask_from_bytes / pt_instance_list_push -> use -> pt_mask_fini / pt_instance_fini /
 * pt_instance_list_fini. Structs are plain values that own their arrays; a zeroed struct is valid and empty.
 * Not thread-safe for writing one object from several threads.
 */
#ifndef PANTILE_TILING_INSTANCE_INSTANCE_H
#define PANTILE_TILING_INSTANCE_INSTANCE_H

#include "tiling/base/base.h"

#include <stddef.h>
#include <stdint.h>

/* One run of set pixels: row y, columns [x0, x1), relative to the mask's box. */
typedef struct pt_span {
    int32_t y, x0, x1;
} pt_span;

typedef struct pt_mask {
    pt_rect box;    /* tight around the set pixels; empty when there are none */
    pt_span *spans; /* owned; sorted by y, then x0; never touching (x1 < next x0 in a row) */
    size_t count;
    int64_t area; /* set pixels */
} pt_mask;

/* Probabilities over `box`, row-major without padding: value q means p = (q + 0.5) / 256, so that
 * q >= PT_PROB_HALF is p > 0.5. */
enum { PT_PROB_HALF = 128 };
typedef struct pt_prob {
    pt_rect box;
    uint8_t *q; /* owned, box.w * box.h bytes; NULL when the detector has none */
} pt_prob;

typedef struct pt_instance {
    int32_t class_id; /* 1 .. classes - 1; 0 is background and never stored */
    float score;      /* 0 .. 1 */
    pt_mask mask;     /* never empty once stored */
    pt_prob prob;   /* covers at least mask.box; one pixel more on each side inside the window where it can */
    bool truncated; /* touches the scene's edge or an invalid pixel */
} pt_instance;

typedef struct pt_instance_list {
    pt_instance *items; /* owned */
    size_t count, capacity;
} pt_instance_list;

/* Scores are compared and stored as round(score * 65535), so that ties do not hang on the last bit; below 0
 * and NaN give 0, above 1 gives 65535. */
uint16_t pt_score_quantise(float score);

/* The pixels of `bytes` (area.w x area.h, `stride` bytes from row to row) that are >= threshold. Masks come
 * out with a tight box; without a set pixel they are empty, all zero. Up to 2^31 - 1 pixels a side
 * (PT_E_INTERNAL otherwise). */
pt_status pt_mask_from_bytes(pt_rect area, const uint8_t *bytes, ptrdiff_t stride, uint8_t threshold,
                             pt_mask *out);
pt_status pt_mask_from_rect(pt_rect rect, pt_mask *out);
pt_status pt_mask_copy(const pt_mask *mask, pt_mask *out);
void pt_mask_fini(pt_mask *mask);

bool pt_mask_equal(const pt_mask *a, const pt_mask *b);
/* Set pixels inside `rect` (absolute), and set in both masks inside `rect`. */
int64_t pt_mask_area_in(const pt_mask *mask, pt_rect rect);
int64_t pt_mask_intersection_in(const pt_mask *a, const pt_mask *b, pt_rect rect);
/* Writes `value` to the pixels of `bytes`, which covers `area`, that are set; parts outside are skipped. */
void pt_mask_paint(const pt_mask *mask, pt_rect area, uint8_t *bytes, ptrdiff_t stride, uint8_t value);

void pt_prob_fini(pt_prob *prob);
void pt_instance_fini(pt_instance *instance);
/* Takes the instance (its arrays move into the list) on success; on failure the caller keeps it. */
pt_status pt_instance_list_push(pt_instance_list *list, pt_instance *instance);
void pt_instance_list_fini(pt_instance_list *list);

#endif
