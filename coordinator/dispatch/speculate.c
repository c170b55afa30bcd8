/* The tail: when nothing waits and workers do, slow tiles run a second time. */
#include "coordinator/dispatch/internal.h"

/* Messages and the ledger take their time too: below this age a second run would seldom be the first home. */
static const double age_least = 1.0;

static double age_of_slow(const pt_dispatch *d)
{
    double p95 = pt_durations_p95(d);
    if (p95 <= 0 && d->window_count < PT_WINDOW_LEAST) {
        return PT_FAR;
    }
    double age = d->options.speculate_factor * p95;
    return d->options.speculate_factor <= 0 ? PT_FAR : age > age_least ? age : age_least;
}

/* The list is in the order of `since`. Few are passed over: those that only their own worker has room for. */
bool pt_speculate_one(pt_dispatch *d)
{
    double age = age_of_slow(d);
    for (uint32_t i = d->slow.first; i != PT_NONE; i = d->records[i].slow.next) {
        if (d->records[i].since + age > d->now) {
            return false;
        }
        uint32_t worker = pt_assign_find(d, i);
        if (worker != PT_NONE) {
            d->stats.speculated++;
            pt_assign_to(d, i, worker);
            return true;
        }
    }
    return false;
}

double pt_speculate_deadline(const pt_dispatch *d)
{
    bool ready = d->ready[0].first != PT_NONE || d->ready[1].first != PT_NONE;
    double age = age_of_slow(d);
    if (!ready || d->hold || d->draining || age >= PT_FAR) {
        return PT_FAR;
    }
    for (uint32_t i = d->slow.first; i != PT_NONE; i = d->records[i].slow.next) {
        if (d->records[i].since + age > d->now) {
            return d->records[i].since + age;
        }
    }
    return PT_FAR;
}
