#include "coordinator/protocol/codec.h"

#include <math.h>

/* Far above any scene's, far below what sums could overflow. */
static const int64_t tiles_max = INT64_C(1) << 48;
enum { SECONDS_MAX = 3600 };                /* between heartbeats */
static const double tile_seconds_max = 1e9; /* 30 years; sums stay finite */

const char *pt_message_name(pt_message_type type)
{
    static const char *const names[PT_MSG_TYPES] = {
        [PT_MSG_HELLO] = "HELLO",         [PT_MSG_JOB] = "JOB",       [PT_MSG_WELCOME] = "WELCOME",
        [PT_MSG_REFUSED] = "REFUSED",     [PT_MSG_READY] = "READY",   [PT_MSG_ASSIGN] = "ASSIGN",
        [PT_MSG_STARTED] = "STARTED",     [PT_MSG_RESULT] = "RESULT", [PT_MSG_FAILED] = "FAILED",
        [PT_MSG_HEARTBEAT] = "HEARTBEAT", [PT_MSG_ACK] = "ACK",       [PT_MSG_REVOKE] = "REVOKE",
        [PT_MSG_DRAIN] = "DRAIN",         [PT_MSG_BYE] = "BYE",
    };
    return type >= PT_MSG_HELLO && type < PT_MSG_TYPES ? names[type] : "unknown";
}

void pt_result_fini(pt_result *result)
{
    pt_instance_list_fini(&result->instances);
    *result = (pt_result){0};
}

void pt_message_fini(pt_message *message)
{
    switch (message->type) {
    case PT_MSG_JOB:
        pt_free(message->as.job.spec);
        break;
    case PT_MSG_ASSIGN:
        pt_free(message->as.assign.pixels);
        break;
    case PT_MSG_RESULT:
    case PT_MSG_FAILED:
        pt_result_fini(&message->as.result.result);
        pt_free(message->as.result.payload);
        break;
    default:
        break;
    }
    *message = (pt_message){0};
}

bool pt_number_in(double value, double low, double high)
{
    return isfinite(value) && value >= low && value <= high;
}

static pt_status wrong(const char *field)
{
    return pt_error(PT_E_INPUT, "its %s is out of range", field);
}

static pt_status check_tile(int64_t tile, int attempt)
{
    if (tile < 0 || tile >= tiles_max) {
        return wrong("tile");
    }
    return attempt < 1 ? wrong("attempt") : pt_ok();
}

static pt_status check_assignment(const pt_assignment *a)
{
    PT_TRY(check_tile(a->tile, a->attempt));
    enum { DATA, STATES = 3 }; /* of pt_area_state */
    if (a->area_state < DATA || a->area_state >= STATES || (!a->has_pixels && a->area_state != DATA)) {
        return wrong("area state");
    }
    bool wants = a->has_pixels && a->area_state == DATA;
    if (wants != (a->pixels != NULL) || wants != (a->pixel_bytes > 0) || a->pixel_bytes % 4 != 0) {
        return wrong("number of pixels");
    }
    for (size_t i = a->pixel_bytes / 4 * 3; i < a->pixel_bytes; i++) {
        if (a->pixels[i] > 1) {
            return wrong("pixels' validity");
        }
    }
    return pt_ok();
}

static pt_status check_result(const pt_message *message)
{
    const pt_result *r = &message->as.result.result;
    PT_TRY(check_tile(r->tile, r->attempt));
    bool failed = message->type == PT_MSG_FAILED;
    if (r->outcome < PT_TILE_DONE || r->outcome > PT_TILE_FAILED ||
        (r->outcome == PT_TILE_FAILED) != failed) {
        return wrong("outcome");
    }
    if (r->status.code < PT_OK || r->status.code > PT_E_INTERNAL || (r->status.code != PT_OK) != failed) {
        return wrong("status");
    }
    if (!pt_number_in(r->read_seconds, 0, tile_seconds_max) ||
        !pt_number_in(r->infer_seconds, 0, tile_seconds_max)) {
        return wrong("time");
    }
    bool has = message->as.result.size > 0;
    if (has != (message->as.result.payload != NULL) || (has && r->outcome != PT_TILE_DONE)) {
        return wrong("number of instances");
    }
    return r->instances.count > 0 ? pt_error(PT_E_INPUT, "its instances are not encoded yet") : pt_ok();
}

static pt_status check_heartbeat(const pt_heartbeat *h)
{
    if (h->credit < 0 || h->credit > PT_HELD_MAX) {
        return wrong("credit");
    }
    if (h->held_count > PT_HELD_MAX) {
        return wrong("number of tiles held");
    }
    for (size_t i = 0; i < h->held_count; i++) {
        PT_TRY(check_tile(h->held[i].tile, h->held[i].attempt));
    }
    return pt_ok();
}

static pt_status check_job(const pt_message *message)
{
    if (!message->as.job.spec || message->as.job.size == 0) {
        return wrong("specification");
    }
    return pt_number_in(message->as.job.heartbeat_seconds, 1e-3, SECONDS_MAX)
               ? pt_ok()
               : wrong("time between heartbeats");
}

pt_status pt_message_check(const pt_message *message)
{
    switch (message->type) {
    case PT_MSG_HELLO:
        return message->as.hello.threads < 0 ? wrong("number of threads") : pt_ok();
    case PT_MSG_JOB:
        return check_job(message);
    case PT_MSG_READY:
        return message->as.credit < 1 || message->as.credit > PT_HELD_MAX ? wrong("credit") : pt_ok();
    case PT_MSG_ASSIGN:
        return check_assignment(&message->as.assign);
    case PT_MSG_STARTED:
    case PT_MSG_ACK:
    case PT_MSG_REVOKE:
        return check_tile(message->as.tile.tile, message->as.tile.attempt);
    case PT_MSG_RESULT:
    case PT_MSG_FAILED:
        return check_result(message);
    case PT_MSG_HEARTBEAT:
        return check_heartbeat(&message->as.heartbeat);
    case PT_MSG_WELCOME:
    case PT_MSG_REFUSED:
    case PT_MSG_DRAIN:
    case PT_MSG_BYE:
        return pt_ok();
    case PT_MSG_TYPES:
        break;
    }
    return pt_error(PT_E_INPUT, "a message of the unknown type %d", (int)message->type);
}
