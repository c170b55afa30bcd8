/* What one pass settles: written in one transaction, then acknowledged, then stitched. */
#include "coordinator/control/internal.h"

#include <string.h>

pt_status pt_batch_add(pt_batch *batch, pt_pending *item)
{
    pt_status status = pt_grow(&batch->items, &batch->capacity, batch->count + 1, sizeof *batch->items);
    if (status.code != PT_OK) {
        pt_free(item->payload);
        return status;
    }
    batch->items[batch->count++] = *item;
    return status;
}

void pt_batch_forget(pt_batch *batch, const pt_member *member)
{
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->items[i].member == member) {
            batch->items[i].member = NULL;
        }
    }
}

static void empty(pt_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        pt_free(batch->items[i].payload);
    }
    batch->count = 0;
}

void pt_batch_fini(pt_batch *batch)
{
    empty(batch);
    pt_free(batch->items);
    memset(batch, 0, sizeof *batch);
}

void pt_control_count(pt_control *c, const pt_result *r, int64_t detections)
{
    c->settled[r->tile / 8] |= (uint8_t)(1u << r->tile % 8);
    c->numbers.detections += detections;
    c->numbers.done += r->outcome == PT_TILE_DONE;
    c->numbers.empty += r->outcome == PT_TILE_EMPTY;
    c->numbers.outside += r->outcome == PT_TILE_OUTSIDE;
    c->numbers.failed += r->outcome == PT_TILE_FAILED;
}

static pt_settlement settlement_of(const pt_pending *p)
{
    return (pt_settlement){.tile = p->result.tile,
                           .outcome = p->result.outcome,
                           .attempts = p->attempts,
                           .worker = p->worker,
                           .reason = p->result.outcome == PT_TILE_FAILED ? p->result.status.message : NULL,
                           .capped = p->result.capped,
                           .detections = p->detections,
                           .read_seconds = p->result.read_seconds,
                           .infer_seconds = p->result.infer_seconds,
                           .digest = p->digest,
                           .payload = p->payload,
                           .size = p->size};
}

static pt_status write_down(pt_control *c, const pt_batch *batch)
{
    PT_TRY(pt_grow(&c->settlements, &c->settlement_capacity, batch->count, sizeof *c->settlements));
    for (size_t i = 0; i < batch->count; i++) {
        c->settlements[i] = settlement_of(&batch->items[i]);
    }
    double began = c->clock(c->clock_user);
    PT_TRY(pt_ledger_record(c->ledger, c->settlements, batch->count));
    c->now = c->clock(c->clock_user);
    c->numbers.ledger_seconds += c->now - began;
    c->numbers.commits++;
    return pt_ok();
}

static pt_status count_pixels(pt_control *c, const pt_pending *p)
{
    size_t group;
    pt_grid grid;
    int64_t index;
    if (p->result.outcome == PT_TILE_DONE) {
        PT_TRY(pt_job_spec_locate(c->spec, p->result.tile, &group, &grid, &index));
        c->numbers.pixels += pt_rect_area(pt_grid_window(&grid, index));
    }
    return pt_ok();
}

static pt_status hand_on(pt_control *c, pt_pending *p)
{
    pt_control_count(c, &p->result, p->detections);
    PT_TRY(count_pixels(c, p));
    if (p->member) {
        p->member->tiles++;
    }
    PT_TRY(pt_control_event(c, (pt_dispatch_event){.kind = PT_EVENT_COMMITTED, .tile = p->result.tile}));
    uint8_t *payload = p->payload;
    p->payload = NULL;
    return pt_feed_put(c->feed, &p->result, payload, p->size);
}

/* Steps of the scheduler may settle more; those go into the other batch and are next. */
pt_status pt_control_commit(pt_control *c)
{
    pt_status status = pt_ok();
    while (status.code == PT_OK && c->batch.count > 0) {
        pt_batch full = c->batch;
        c->batch = c->spare;
        c->spare = full;
        status = write_down(c, &c->spare);
        for (size_t i = 0; status.code == PT_OK && i < c->spare.count; i++) {
            status = hand_on(c, &c->spare.items[i]);
        }
        empty(&c->spare);
    }
    return status;
}
