/* Scene -> tiles: pure integers on a lattice anchored at the scene's origin.
 *
 * Coordinates are pixels of the scene as it is read (after resampling to the model's ground sample distance).
 * Tile (col, row) starts at (col * step, row * step) with step = tile - overlap; its *window* is what is
 * read: `tile` pixels each way, cut at the scene's edge. The last column and row reach the edge, so a window
 * never is narrower than min(scene, overlap + 1). Its *core* is the part that it alone owns: the window less
 * half the overlap on every side that has a neighbour (an odd overlap's middle pixel goes to the later tile).
 * Cores partition the scene; the rest of the window is the *halo*. With an overlap above half a tile, windows
 * also meet those of tiles further away than the next one; cores do not change by that.
 *
 * Life cycle: pt_grid_init(&grid); any query; nothing to free. All functions are pure and thread-safe.
 */
#ifndef PANTILE_TILING_GRID_GRID_H
#define PANTILE_TILING_GRID_GRID_H

#include "tiling/base/base.h"

typedef struct pt_grid {
    int64_t width, height; /* scene, pixels */
    int64_t tile;          /* window side, pixels, a multiple of the lattice */
    int64_t overlap;       /* pixels shared by neighbours, a multiple of the lattice, < tile */
    int64_t step;          /* tile - overlap */
    int64_t cols, rows;    /* tiles each way; at least 1 */
} pt_grid;

/* Tiles whose windows meet a rectangle: cols [col0, col1) by rows [row0, row1). */
typedef struct pt_grid_range {
    int64_t col0, col1, row0, row1;
} pt_grid_range;

/* `lattice` is the network's total stride: tile and overlap must be multiples of it (PT_E_USAGE otherwise,
 * with the nearest good values in the message). Scenes of 1 to 2^31 - 1 pixels a side (PT_E_INPUT otherwise);
 * 0 < overlap < tile. */
pt_status pt_grid_init(int64_t width, int64_t height, int64_t tile, int64_t overlap, int64_t lattice,
                       pt_grid *out);

/* Tiles are numbered row by row: index = row * cols + col, 0 <= index < pt_grid_count. */
int64_t pt_grid_count(const pt_grid *grid);
int64_t pt_grid_index(const pt_grid *grid, int64_t col, int64_t row);

pt_rect pt_grid_window(const pt_grid *grid, int64_t index);
pt_rect pt_grid_core(const pt_grid *grid, int64_t index);

/* The tile whose core holds the pixel; pixels beyond the scene go to the nearest tile. */
int64_t pt_grid_owner(const pt_grid *grid, int64_t x, int64_t y);

/* The tiles whose windows share a pixel with `rect`; {0, 0, 0, 0} when none does. */
pt_grid_range pt_grid_touching(const pt_grid *grid, pt_rect rect);

#endif
