/* From a histogram to the range of a quant. */
#include "engine/quant/histogram.h"

#include <math.h>
#include <string.h>

enum {
    LEVELS = 256,
    STEPS = 128, /* ends that are tried on each side */
    ROUNDS = 2,  /* of one end after the other */
};

static const double cut_share = 1e-4;

/* What a level that holds nothing would count for, as a share of all: keeps the divergence finite. */
static const double floor_share = 1e-9;

static const char *const method_names[] = {"minmax", "percentile", "kl", "mse"};

const char *pt_range_method_name(pt_range_method method)
{
    return method_names[method];
}

bool pt_range_method_find(const char *name, pt_range_method *out)
{
    for (int i = PT_RANGE_MINMAX; i <= PT_RANGE_MSE; i++) {
        if (strcmp(name, method_names[i]) == 0) {
            *out = (pt_range_method)i;
            return true;
        }
    }
    return false;
}

/* Bins [begin, end) of the histogram: a range under trial. */
typedef struct span {
    int begin, end;
} span;

static span used_bins(const pt_histogram *h)
{
    span used = {0, PT_HISTOGRAM_BINS};
    while (used.begin < PT_HISTOGRAM_BINS && h->bins[used.begin] == 0) {
        used.begin++;
    }
    while (used.end > used.begin && h->bins[used.end - 1] == 0) {
        used.end--;
    }
    return used;
}

/* The bin that begins at 0: first is never above 0. */
static int zero_boundary(const pt_histogram *h)
{
    return (int)-h->first;
}

static uint64_t count_of(const pt_histogram *h, int begin, int end)
{
    uint64_t count = 0;
    for (int i = begin; i < end; i++) {
        count += h->bins[i];
    }
    return count;
}

/* What a range would cost; `used` is the whole. */
typedef double range_cost(const pt_histogram *h, span used, span trial);

/* The divergence of what `trial`'s 256 levels would leave from what was seen, clipped to it. Bins of one
 * level share its count evenly, those that were empty left out. */
static double divergence(const pt_histogram *h, span used, span trial)
{
    int bins = trial.end - trial.begin;
    double all = (double)h->others, sum = 0;
    double below = (double)count_of(h, used.begin, trial.begin);
    double above = (double)count_of(h, trial.end, used.end), inside = all - below - above;
    if (bins <= 0 || inside <= 0) {
        return INFINITY;
    }
    for (int level = 0, at = trial.begin; level < LEVELS; level++) {
        int end = trial.begin + (int)(((int64_t)(level + 1) * bins + LEVELS - 1) / LEVELS);
        int filled = 0;
        for (int i = at; i < end; i++) {
            filled += h->bins[i] != 0;
        }
        double even = filled ? (double)count_of(h, at, end) / filled / inside : 0;
        for (; at < end; at++) {
            double seen = (double)h->bins[at];
            seen += at == trial.begin ? below : 0;
            seen += at == trial.end - 1 ? above : 0;
            double left = h->bins[at] && even > floor_share ? even : floor_share;
            if (seen > 0) {
                sum += seen / all * log(seen / all / left);
            }
        }
    }
    return sum;
}

/* What is lost: inside the range the variance of rounding, outside the square of what is cut off. In bins. */
static double squared_error(const pt_histogram *h, span used, span trial)
{
    double step = (double)(trial.end - trial.begin) / (LEVELS - 1), sum = 0;
    for (int i = used.begin; i < used.end; i++) {
        double middle = i + 0.5, off = middle < trial.begin ? trial.begin - middle : middle - trial.end;
        sum += (double)h->bins[i] * (off > 0 ? off * off : step * step / 12);
    }
    return sum;
}

/* Tries ends between the outermost and the one that leaves 128 bins on its side of 0, or as many as there
 * are. Of equals the widest range wins: it comes first. */
static span best_end(const pt_histogram *h, span used, span fixed, bool upper, range_cost *cost)
{
    int zero = zero_boundary(h);
    int room = upper ? used.end - zero : zero - used.begin;
    int least = room < LEVELS / 2 ? room : LEVELS / 2, step = (room - least) / STEPS + 1;
    span best = fixed;
    double lowest = INFINITY;
    for (int cut = 0; room - cut >= least && room > 0; cut += step) {
        span trial = fixed;
        if (upper) {
            trial.end = used.end - cut;
        } else {
            trial.begin = used.begin + cut;
        }
        double now = cost(h, used, trial);
        if (now < lowest) {
            lowest = now;
            best = trial;
        }
    }
    return best;
}

static void range_of_least(const pt_histogram *h, range_cost *cost, float *low, float *high)
{
    span used = used_bins(h), best;
    int zero = zero_boundary(h);
    used.begin = used.begin < zero ? used.begin : zero; /* 0 is in every range */
    used.end = used.end > zero ? used.end : zero;
    best = used;
    for (int round = 0; round < ROUNDS; round++) {
        best = best_end(h, used, best, true, cost);
        best = best_end(h, used, best, false, cost);
    }
    double begin = (double)(h->first + best.begin) * h->width, end = (double)(h->first + best.end) * h->width;
    *low = best.begin == used.begin ? h->low : (float)begin;
    *high = best.end == used.end ? h->high : (float)end;
}

/* Where, coming from one end, more than the share is passed: the edge of the bin before. */
static void range_percentile(const pt_histogram *h, float *low, float *high)
{
    double most = cut_share * (double)(h->zeros + h->others), passed = 0;
    int begin = 0, end = PT_HISTOGRAM_BINS;
    while (begin < end && passed + (double)h->bins[begin] <= most) {
        passed += (double)h->bins[begin++];
    }
    passed = 0;
    while (end > begin && passed + (double)h->bins[end - 1] <= most) {
        passed += (double)h->bins[--end];
    }
    double from = (double)(h->first + begin) * h->width, to = (double)(h->first + end) * h->width;
    *low = (float)fmin(0, fmax(from, (double)h->low));
    *high = (float)fmax(0, fmin(to, (double)h->high));
}

void pt_histogram_range(const pt_histogram *histogram, pt_range_method method, float *low, float *high)
{
    *low = histogram->low;
    *high = histogram->high;
    if (histogram->others > 0 && method == PT_RANGE_PERCENTILE) {
        range_percentile(histogram, low, high);
    } else if (histogram->others > 0 && method == PT_RANGE_KL) {
        range_of_least(histogram, divergence, low, high);
    } else if (histogram->others > 0 && method == PT_RANGE_MSE) {
        range_of_least(histogram, squared_error, low, high);
    }
}
