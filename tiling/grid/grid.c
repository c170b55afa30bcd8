#include "tiling/grid/grid.h"

/* Multiples of `lattice` around `value`, for messages: the next lower (at least one lattice) and the next
 * higher. */
static int64_t lower_multiple(int64_t value, int64_t lattice)
{
    int64_t below = value / lattice * lattice;
    return below < lattice ? lattice : below;
}

static int64_t higher_multiple(int64_t value, int64_t lattice)
{
    return pt_ceil_div(value, lattice) * lattice;
}

static pt_status check_multiple(const char *what, int64_t value, int64_t lattice)
{
    if (value % lattice == 0) {
        return pt_ok();
    }
    int64_t below = lower_multiple(value, lattice);
    int64_t above = higher_multiple(value, lattice);
    if (below == above) {
        return pt_error(PT_E_USAGE,
                        "the %s of %lld pixels is no multiple of the network's stride %lld: use %lld", what,
                        (long long)value, (long long)lattice, (long long)above);
    }
    return pt_error(PT_E_USAGE,
                    "the %s of %lld pixels is no multiple of the network's stride %lld: use %lld or %lld",
                    what, (long long)value, (long long)lattice, (long long)below, (long long)above);
}

static pt_status check_tile(int64_t tile, int64_t overlap, int64_t lattice)
{
    if (lattice < 1 || lattice > INT32_MAX) {
        return pt_error(PT_E_USAGE,
                        "a network stride of %lld is impossible: it must be 1 to 2147483647 pixels",
                        (long long)lattice);
    }
    if (tile < 1 || tile > INT32_MAX) {
        return pt_error(PT_E_USAGE, "a tile of %lld pixels is impossible: use 1 to 2147483647",
                        (long long)tile);
    }
    if (overlap < 1 || overlap >= tile) {
        return pt_error(PT_E_USAGE,
                        "an overlap of %lld pixels does not fit tiles of %lld: it must be at least 1 and "
                        "smaller than the tile",
                        (long long)overlap, (long long)tile);
    }
    PT_TRY(check_multiple("tile", tile, lattice));
    return check_multiple("overlap", overlap, lattice);
}

/* The last tile is the first one that reaches the edge. */
static int64_t tiles_along(int64_t length, int64_t tile, int64_t step)
{
    return length <= tile ? 1 : pt_ceil_div(length - tile, step) + 1;
}

pt_status pt_grid_init(int64_t width, int64_t height, int64_t tile, int64_t overlap, int64_t lattice,
                       pt_grid *out)
{
    if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX) {
        return pt_error(PT_E_INPUT,
                        "a scene of %lld x %lld pixels cannot be tiled: each side must be 1 to 2147483647",
                        (long long)width, (long long)height);
    }
    PT_TRY(check_tile(tile, overlap, lattice));
    int64_t step = tile - overlap;
    *out = (pt_grid){.width = width,
                     .height = height,
                     .tile = tile,
                     .overlap = overlap,
                     .step = step,
                     .cols = tiles_along(width, tile, step),
                     .rows = tiles_along(height, tile, step)};
    return pt_ok();
}

int64_t pt_grid_count(const pt_grid *grid)
{
    return grid->cols * grid->rows;
}

int64_t pt_grid_index(const pt_grid *grid, int64_t col, int64_t row)
{
    return row * grid->cols + col;
}

/* Half-open pixel intervals along one axis. */
typedef struct interval {
    int64_t from, to;
} interval;

static interval window_along(const pt_grid *grid, int64_t k, int64_t length)
{
    int64_t from = k * grid->step;
    int64_t to = from + grid->tile;
    return (interval){from, to < length ? to : length};
}

/* The overlap of tiles k and k + 1 is split at its middle, rounded down: k owns what lies before. */
static interval core_along(const pt_grid *grid, int64_t k, int64_t count, int64_t length)
{
    int64_t half = grid->overlap / 2;
    int64_t from = k == 0 ? 0 : k * grid->step + half;
    int64_t to = k == count - 1 ? length : (k + 1) * grid->step + half;
    return (interval){from, to};
}

static pt_rect rect_of(interval x, interval y)
{
    return (pt_rect){x.from, y.from, x.to - x.from, y.to - y.from};
}

pt_rect pt_grid_window(const pt_grid *grid, int64_t index)
{
    return rect_of(window_along(grid, index % grid->cols, grid->width),
                   window_along(grid, index / grid->cols, grid->height));
}

pt_rect pt_grid_core(const pt_grid *grid, int64_t index)
{
    return rect_of(core_along(grid, index % grid->cols, grid->cols, grid->width),
                   core_along(grid, index / grid->cols, grid->rows, grid->height));
}

static int64_t owner_along(const pt_grid *grid, int64_t at, int64_t count)
{
    int64_t k = pt_floor_div(at - grid->overlap / 2, grid->step);
    if (k < 0) {
        return 0;
    }
    return k < count ? k : count - 1;
}

int64_t pt_grid_owner(const pt_grid *grid, int64_t x, int64_t y)
{
    return pt_grid_index(grid, owner_along(grid, x, grid->cols), owner_along(grid, y, grid->rows));
}

/* The first and one past the last tile whose windows meet [from, to), which lies inside the scene. */
static interval touching_along(const pt_grid *grid, int64_t from, int64_t to, int64_t count)
{
    int64_t first = from < grid->tile ? 0 : (from - grid->tile) / grid->step + 1;
    int64_t end = (to - 1) / grid->step + 1;
    return (interval){first, end < count ? end : count};
}

pt_grid_range pt_grid_touching(const pt_grid *grid, pt_rect rect)
{
    pt_rect inside = pt_rect_intersect(rect, (pt_rect){0, 0, grid->width, grid->height});
    if (pt_rect_is_empty(inside)) {
        return (pt_grid_range){0, 0, 0, 0};
    }
    interval cols = touching_along(grid, inside.x, inside.x + inside.w, grid->cols);
    interval rows = touching_along(grid, inside.y, inside.y + inside.h, grid->rows);
    return (pt_grid_range){cols.from, cols.to, rows.from, rows.to};
}
