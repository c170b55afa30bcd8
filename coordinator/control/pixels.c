/* Assignments with pixels: read elsewhere, sent when they are there, counted until the worker begins. */
#include "coordinator/control/internal.h"

pt_status pt_control_ship(pt_control *c, pt_member *member, int64_t tile, int attempt)
{
    return pt_ship_ask(c->ship, member->worker, tile, attempt);
}

void pt_control_arrived(pt_control *c, pt_member *member, int64_t tile)
{
    size_t kept = 0;
    for (size_t i = 0; i < member->shipment_count; i++) {
        pt_shipment s = member->shipments[i];
        if (tile < 0 || s.tile == tile) {
            pt_ship_release(c->ship, s.bytes);
        } else {
            member->shipments[kept++] = s;
        }
    }
    member->shipment_count = kept;
}

void pt_control_unship(pt_control *c, pt_member *member, int64_t tile)
{
    if (c->ship) {
        pt_ship_cancel(c->ship, member->worker, tile);
        pt_control_arrived(c, member, tile);
    }
}

static pt_status send_parcel(pt_control *c, pt_member *member, pt_parcel *parcel)
{
    pt_assignment *a = &parcel->assignment;
    if (parcel->status.code != PT_OK) {
        pt_result result = {
            .tile = a->tile, .attempt = a->attempt, .outcome = PT_TILE_FAILED, .status = parcel->status};
        return pt_control_tile_failed(c, member->worker, &result);
    }
    pt_control_arrived(c, member, a->tile); /* an earlier copy got lost */
    if (member->shipment_count == PT_HELD_MAX) {
        pt_control_arrived(c, member, member->shipments[0].tile);
    }
    member->shipments[member->shipment_count++] = (pt_shipment){a->tile, a->pixel_bytes};
    pt_message message = {.type = PT_MSG_ASSIGN, .as.assign = *a};
    return pt_control_send(c, member->peer, &message);
}

pt_status pt_control_shipped(pt_control *c)
{
    pt_parcel parcel;
    while (c->ship && pt_ship_take(c->ship, &parcel)) {
        pt_member *member = pt_roster_worker(&c->roster, parcel.worker);
        pt_status status = pt_ok();
        if (member) {
            status = send_parcel(c, member, &parcel);
        } else {
            pt_ship_release(c->ship, parcel.assignment.pixel_bytes);
        }
        pt_free(parcel.assignment.pixels);
        PT_TRY(status);
    }
    return pt_ok();
}
