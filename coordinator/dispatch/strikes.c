/* Tiles that kill: who is blamed, and when it is enough. */
#include "coordinator/dispatch/internal.h"

void pt_record_strike(pt_dispatch *d, uint32_t record, pt_worker by)
{
    pt_record *r = &d->records[record];
    if (r->settling) { /* its result is here, whatever became of the worker */
        return;
    }
    r->strikes++;
    r->lives += r->struck != by;
    r->struck = by;
    d->stats.strikes++;
    pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_STRIKE,
                                            .worker = by,
                                            .tile = r->tile,
                                            .attempt = r->attempts,
                                            .strikes = r->strikes,
                                            .lives = r->lives});
}

static bool by_deaths(const pt_dispatch *d, const pt_record *record)
{
    return record->strikes >= d->options.strikes && record->lives >= (d->options.strikes < 2 ? 1 : 2);
}

bool pt_record_condemnable(const pt_dispatch *d, const pt_record *record)
{
    return record->failures >= d->options.attempts || by_deaths(d, record);
}

/* A tile that would exceed its strikes if all who have started it now died goes to nobody else: a poison tile
 * that silences workers without a trace costs no more of them than one that kills aloud. */
bool pt_record_may_run(const pt_dispatch *d, const pt_record *record)
{
    return !pt_record_condemnable(d, record) &&
           (record->started == 0 || record->strikes + (int)record->started < d->options.strikes);
}

/* A second run, which nobody needs: whoever holds it already may start it yet. */
bool pt_record_may_run_twice(const pt_dispatch *d, const pt_record *record)
{
    return pt_record_may_run(d, record) && record->good == 1 &&
           record->strikes + (int)record->lease_count < d->options.strikes;
}

void pt_record_condemn(pt_dispatch *d, uint32_t record, pt_worker by, int by_attempt, pt_dispatch_reason why)
{
    pt_record *r = &d->records[record];
    d->leased -= r->lease_count > 0;
    r->settling = r->condemned = true;
    r->by = by;
    r->by_attempt = by_attempt;
    d->settling++;
    pt_dispatch_act(d, (pt_dispatch_action){.kind = PT_ACTION_QUARANTINE,
                                            .worker = by,
                                            .tile = r->tile,
                                            .attempt = r->attempts,
                                            .strikes = r->strikes,
                                            .lives = r->lives,
                                            .reason = why});
}
