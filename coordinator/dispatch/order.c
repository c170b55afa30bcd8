/* The spatial order: along the shorter side, so that the frontier of open seams is as short as it can be. */
#include "coordinator/dispatch/dispatch.h"

int64_t pt_dispatch_order_grid(int64_t cols, int64_t rows, int64_t place)
{
    return cols <= rows ? place : place % rows * cols + place / rows;
}

int64_t pt_dispatch_order_groups(const void *user, int64_t place)
{
    const pt_dispatch_groups *groups = user;
    size_t low = 0, high = groups->count; /* the last group that begins at or before the place */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (groups->items[middle].first <= place) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const pt_dispatch_group *group = &groups->items[low];
    return group->first + pt_dispatch_order_grid(group->cols, group->rows, place - group->first);
}
