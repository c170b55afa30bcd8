/* The 95th percentile of the last durations: a ring of them, and the same in order, kept so by moving what
 * lies between the one that leaves and the one that comes (at most 2 KiB). */
#include "coordinator/dispatch/internal.h"

#include <string.h>

/* How many of the first `count` are less than x. */
static size_t rank_of(const double *sorted, size_t count, double x)
{
    size_t low = 0;
    while (count > 0) {
        size_t half = count / 2;
        if (sorted[low + half] < x) {
            low += half + 1;
            count -= half + 1;
        } else {
            count = half;
        }
    }
    return low;
}

void pt_durations_add(pt_durations *d, double seconds)
{
    if (!(seconds >= 0 && seconds < PT_FAR)) { /* a worker may say anything */
        return;
    }
    if (d->count == PT_WINDOW) {
        size_t gone = rank_of(d->sorted, PT_WINDOW, d->ring[d->next]);
        memmove(d->sorted + gone, d->sorted + gone + 1, (PT_WINDOW - gone - 1) * sizeof *d->sorted);
        d->count--;
    }
    size_t at = rank_of(d->sorted, d->count, seconds);
    memmove(d->sorted + at + 1, d->sorted + at, (d->count - at) * sizeof *d->sorted);
    d->sorted[at] = seconds;
    d->count++;
    d->ring[d->next] = seconds;
    d->next = (d->next + 1) % PT_WINDOW;
}

double pt_durations_p95(const pt_durations *d)
{
    /* The least value that 95 of 100 do not exceed. */
    return d->count < PT_WINDOW_LEAST ? 0 : d->sorted[(d->count * 95 + 99) / 100 - 1];
}
