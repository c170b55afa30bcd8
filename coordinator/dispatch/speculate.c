/* The tail: when nothing waits and workers do, slow tiles run a second time. */
#include "coordinator/dispatch/internal.h"

/* Messages and the ledger take their time too: below this age a second run would seldom be the first home. */
static const double age_least = 1.0;

/* A tile that is computed is slow by the measure of computing. One that its worker has not started waits
 * behind others, or in queues that are as long for a second worker: only the whole way is a measure for it.
 */
static double age_of_slow(const pt_dispatch *d, int list)
{
    const pt_durations *measure = list == 0 ? &d->away : &d->computing;
    double age = d->options.speculate_factor * pt_durations_p95(measure);
    if (d->options.speculate_factor <= 0 || measure->count < PT_WINDOW_LEAST) {
        return PT_FAR;
    }
    return age > age_least ? age : age_least;
}

/* The list is in the order of `since`. Few are passed over: those that only their own worker has room for. */
static bool speculate(pt_dispatch *d, int list)
{
    double age = age_of_slow(d, list);
    for (uint32_t i = d->slow[list].first; i != PT_NONE; i = d->records[i].slow.next) {
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

bool pt_speculate_one(pt_dispatch *d)
{
    return speculate(d, 1) || speculate(d, 0);
}

static double next_slow(const pt_dispatch *d, int list)
{
    double age = age_of_slow(d, list);
    for (uint32_t i = d->slow[list].first; i != PT_NONE && age < PT_FAR; i = d->records[i].slow.next) {
        if (d->records[i].since + age > d->now) {
            return d->records[i].since + age;
        }
    }
    return PT_FAR;
}

double pt_speculate_deadline(const pt_dispatch *d)
{
    bool ready = d->ready[0].first != PT_NONE || d->ready[1].first != PT_NONE;
    if (!ready || d->hold || d->draining) {
        return PT_FAR;
    }
    double started = next_slow(d, 1), waiting = next_slow(d, 0);
    return started < waiting ? started : waiting;
}
