/* What precisions cost and save, measured on tiles that are kept in memory with what should be found on them.
 *
 * Life cycle: zeroed -> pt_tune_take per tile -> pt_tune_label (unless they came with truth) ->
 * pt_tune_measure per precision -> pt_tune_fini. */
#ifndef PANTILE_CLI_TUNE_GRID_H
#define PANTILE_CLI_TUNE_GRID_H

#include "cli/sample.h"
#include "tiling/instance/instance.h"

typedef struct pt_tune_tile {
    pt_window window;       /* owned */
    pt_rect scene;          /* the whole one, scene pixels */
    pt_instance_list truth; /* owned */
} pt_tune_tile;

typedef struct pt_tune {
    const char *truth;   /* borrowed; vector file, NULL: FP32's own detections are the labels */
    double export_score; /* from which objects count for F1, and become labels */
    int threads;
    pt_tune_tile *tiles; /* owned */
    size_t count, capacity;
} pt_tune;

typedef struct pt_tune_row {
    char *precision; /* owned; text */
    double f1, ap;
    double ms;     /* a tile of 1024 x 1024 pixels, by the better of two runs of each tile */
    size_t memory; /* prepared weights and activations, bytes */
    bool pareto;   /* no other row is both more accurate and faster */
    bool chosen;
} pt_tune_row;

void pt_tune_fini(pt_tune *tune);
/* A pt_sample_take; `user` is a pt_tune. */
pt_status pt_tune_take(void *user, const pt_sample *sample);
/* What the model finds in FP32 becomes the truth. */
pt_status pt_tune_label(pt_tune *tune, const char *model);
/* Fills all but pareto, chosen and precision. */
pt_status pt_tune_measure(const pt_tune *tune, const char *model, const char *precision, pt_tune_row *out);

/* Marks the rows that no other beats and chooses of them the fastest that loses at most `tolerance` of F1
 * against rows[0], FP32. At least one row. */
void pt_tune_choose(pt_tune_row *rows, size_t count, double tolerance);
const pt_tune_row *pt_tune_chosen(const pt_tune_row *rows, size_t count); /* rows[0] before a choice */

#endif
