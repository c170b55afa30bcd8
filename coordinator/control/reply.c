/* What workers answer: results, which are checked whole before anyone relies on them, and failures. */
#include "coordinator/control/internal.h"

#include <string.h>

/* The scheduler hears how long a tile took, which decides when others count as slow or dead: not longer than
 * the worker has been here, whatever it says. */
static double seconds_of(const pt_control *c, const pt_member *member, const pt_result *r)
{
    double here = c->now - member->joined, said = r->read_seconds + r->infer_seconds;
    return said < here ? said : here;
}

static void note_speed(pt_member *member, double seconds)
{
    enum { LAST = 8 }; /* tiles that the mean looks back on */
    double share = member->tile_seconds > 0 ? 1.0 / LAST : 1;
    member->tile_seconds += share * (seconds - member->tile_seconds);
}

/* Bytes that cannot be decoded must not reach the ledger: no restart could get past them. */
static pt_status check_payload(pt_control *c, const pt_message *message, int64_t *detections)
{
    const pt_result *r = &message->as.result.result;
    pt_instance_list list = {0};
    size_t group;
    pt_grid grid;
    int64_t index;
    *detections = 0;
    if (!message->as.result.payload) {
        return pt_ok();
    }
    if (r->outcome != PT_TILE_DONE) {
        return pt_error(PT_E_INPUT, "a tile that was not inferred cannot have instances");
    }
    PT_TRY(pt_job_spec_locate(c->spec, r->tile, &group, &grid, &index));
    PT_TRY(pt_instances_decode(message->as.result.payload, message->as.result.size,
                               pt_grid_window(&grid, index), &list));
    *detections = (int64_t)list.count;
    pt_instance_list_fini(&list);
    return pt_ok();
}

static bool has_tile(const pt_control *c, const pt_result *r)
{
    return r->tile >= 0 && r->tile < c->tiles && r->attempt >= 1;
}

pt_status pt_control_result(pt_control *c, pt_member *member, pt_message *message)
{
    pt_result *r = &message->as.result.result;
    int64_t detections = 0;
    if (!has_tile(c, r) || r->outcome == PT_TILE_FAILED) {
        return pt_control_expel(c, &member, "its result is for a tile that the job does not have");
    }
    pt_control_arrived(c, member, r->tile);
    if (pt_control_settled(c, r->tile)) {
        c->numbers.duplicates++;
    } else {
        pt_status status = check_payload(c, message, &detections);
        if (status.code == PT_E_INPUT) {
            return pt_control_expel(c, &member, status.message);
        }
        PT_TRY(status);
        note_speed(member, seconds_of(c, member, r));
    }
    uint64_t digest =
        pt_result_digest(r->outcome, r->capped, message->as.result.payload, message->as.result.size);
    return pt_control_step(c,
                           (pt_dispatch_event){.kind = PT_EVENT_RESULT,
                                               .worker = member->worker,
                                               .tile = r->tile,
                                               .attempt = r->attempt,
                                               .digest = digest,
                                               .seconds = seconds_of(c, member, r)},
                           (pt_at_hand){.result = r,
                                        .payload = &message->as.result.payload,
                                        .size = message->as.result.size,
                                        .digest = digest,
                                        .detections = detections});
}

/* A tile's fault, or one that another try may cure. Any other may be the worker's own, whose disk is full or
 * whose folder is another: it is a fault of the whole job once nobody can do the tile. */
bool pt_control_is_of_tile(pt_code code)
{
    return code == PT_E_READ || code == PT_E_TILE || code == PT_E_NOMEM || code == PT_E_STOPPED;
}

pt_status pt_control_tile_failed(pt_control *c, pt_worker worker, pt_result *r)
{
    const pt_member *m = pt_roster_worker(&c->roster, worker);
    pt_log_level level = pt_control_is_of_tile(r->status.code) ? PT_LOG_INFO : PT_LOG_WARN;
    PT_LOG(level, "a tile failed on a worker", PT_S("worker", m ? m->name : ""), PT_I("tile", r->tile),
           PT_I("attempt", r->attempt), PT_S("reason", r->status.message));
    return pt_control_step(c,
                           (pt_dispatch_event){.kind = PT_EVENT_FAILED,
                                               .worker = worker,
                                               .tile = r->tile,
                                               .attempt = r->attempt,
                                               .retryable = r->status.code != PT_E_TILE,
                                               .blame = r->status.code == PT_E_NOMEM},
                           (pt_at_hand){.result = r});
}

pt_status pt_control_failed(pt_control *c, pt_member *member, pt_message *message)
{
    pt_result *r = &message->as.result.result;
    if (!has_tile(c, r) || r->status.code == PT_OK) {
        return pt_control_expel(c, &member, "its failure is of a tile that the job does not have");
    }
    r->outcome = PT_TILE_FAILED;
    pt_control_arrived(c, member, r->tile);
    return pt_control_tile_failed(c, member->worker, r);
}
