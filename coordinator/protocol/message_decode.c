#include "coordinator/protocol/codec.h"
#include <messages.pb-c.h> /* generated from messages.proto */

#include <string.h>

/* One function per schema: moves what the wire's struct holds into the message; bytes are taken, not copied.
 * Numbers are checked afterwards, by pt_message_check. */

static pt_status wrong(const char *field)
{
    return pt_error(PT_E_INPUT, "its %s is not what it may be", field);
}

static pt_status take_text(char *to, size_t capacity, const char *from, const char *field)
{
    size_t length = strlen(from);
    if (length >= capacity || !pt_text_is_clean(from)) {
        return wrong(field);
    }
    memcpy(to, from, length + 1);
    return pt_ok();
}

static pt_status take_exactly(uint8_t *to, size_t size, const ProtobufCBinaryData *from, const char *field)
{
    if (from->len != size) {
        return wrong(field);
    }
    memcpy(to, from->data, size);
    return pt_ok();
}

static void take_bytes(uint8_t **to, size_t *size, ProtobufCBinaryData *from)
{
    *to = from->data;
    *size = from->len;
    *from = (ProtobufCBinaryData){0, NULL};
}

static pt_status read_hello(const PtWire__Hello *wire, pt_hello *h)
{
    PT_TRY(take_exactly(h->instance, sizeof h->instance, &wire->instance, "instance"));
    PT_TRY(take_exactly(h->slot, sizeof h->slot, &wire->slot, "slot"));
    PT_TRY(take_exactly(h->job_hash, sizeof h->job_hash, &wire->job_hash, "job's hash"));
    PT_TRY(take_text(h->name, sizeof h->name, wire->name, "name"));
    PT_TRY(take_text(h->program, sizeof h->program, wire->program, "program"));
    PT_TRY(take_text(h->backend, sizeof h->backend, wire->backend, "backend"));
    h->threads = wire->threads;
    h->wants_pixels = wire->wants_pixels;
    h->opened = wire->opened;
    h->has_engine_sha256 = wire->has_engine_sha256;
    return wire->has_engine_sha256 ? take_exactly(h->engine_sha256, sizeof h->engine_sha256,
                                                  &wire->engine_sha256, "engine's digest")
                                   : pt_ok();
}

static pt_status read_assign(PtWire__Assign *wire, pt_assignment *a)
{
    a->tile = wire->tile;
    a->attempt = wire->attempt;
    a->has_pixels = wire->shipped;
    a->area_state = wire->area_state;
    if (wire->has_pixels && wire->pixels.len == 0) {
        return wrong("number of pixels");
    }
    take_bytes(&a->pixels, &a->pixel_bytes, &wire->pixels);
    return pt_ok();
}

static void read_tile(const PtWire__Tile *wire, pt_held *held)
{
    *held = (pt_held){.tile = wire->tile, .attempt = wire->attempt, .started = wire->started};
}

static pt_status read_result(PtWire__Result *wire, pt_message *out)
{
    pt_result *r = &out->as.result.result;
    r->tile = wire->tile;
    r->attempt = wire->attempt;
    r->outcome = (pt_tile_outcome)wire->outcome;
    r->capped = wire->capped;
    r->read_seconds = wire->read_seconds;
    r->infer_seconds = wire->infer_seconds;
    if (wire->has_code != (out->type == PT_MSG_FAILED) || (wire->text != NULL) != wire->has_code) {
        return wrong("status");
    }
    if (wire->has_code) {
        r->status.code = (pt_code)wire->code;
        PT_TRY(take_text(r->status.message, sizeof r->status.message, wire->text, "status"));
    }
    if (wire->has_instances && wire->instances.len == 0) {
        return wrong("number of instances");
    }
    take_bytes(&out->as.result.payload, &out->as.result.size, &wire->instances);
    return pt_ok();
}

static pt_status read_heartbeat(const PtWire__Heartbeat *wire, pt_heartbeat *h)
{
    h->progress = wire->progress;
    h->credit = wire->credit;
    if (wire->n_held > PT_HELD_MAX) {
        return wrong("number of tiles held");
    }
    h->held_count = wire->n_held;
    for (size_t i = 0; i < wire->n_held; i++) {
        read_tile(wire->held[i], &h->held[i]);
    }
    return pt_ok();
}

static pt_status read_payload(ProtobufCMessage *wire, pt_message *out)
{
    switch (out->type) {
    case PT_MSG_HELLO:
        return read_hello((PtWire__Hello *)wire, &out->as.hello);
    case PT_MSG_JOB:
        out->as.job.heartbeat_seconds = ((PtWire__Job *)wire)->heartbeat_seconds;
        take_bytes(&out->as.job.spec, &out->as.job.size, &((PtWire__Job *)wire)->spec);
        return pt_ok();
    case PT_MSG_REFUSED:
        return take_text(out->as.refused, sizeof out->as.refused, ((PtWire__Text *)wire)->why, "text");
    case PT_MSG_BYE:
        return take_text(out->as.bye, sizeof out->as.bye, ((PtWire__Text *)wire)->why, "text");
    case PT_MSG_READY:
        out->as.credit = ((PtWire__Ready *)wire)->credit;
        return pt_ok();
    case PT_MSG_ASSIGN:
        return read_assign((PtWire__Assign *)wire, &out->as.assign);
    case PT_MSG_RESULT:
    case PT_MSG_FAILED:
        return read_result((PtWire__Result *)wire, out);
    case PT_MSG_HEARTBEAT:
        return read_heartbeat((PtWire__Heartbeat *)wire, &out->as.heartbeat);
    default:
        read_tile((PtWire__Tile *)wire, &out->as.tile);
        return pt_ok();
    }
}

/* NULL: the message has no payload. */
static const ProtobufCMessageDescriptor *schema_of(pt_message_type type)
{
    static const ProtobufCMessageDescriptor *const schemas[PT_MSG_TYPES] = {
        [PT_MSG_HELLO] = &pt_wire__hello__descriptor,
        [PT_MSG_JOB] = &pt_wire__job__descriptor,
        [PT_MSG_REFUSED] = &pt_wire__text__descriptor,
        [PT_MSG_READY] = &pt_wire__ready__descriptor,
        [PT_MSG_ASSIGN] = &pt_wire__assign__descriptor,
        [PT_MSG_STARTED] = &pt_wire__tile__descriptor,
        [PT_MSG_RESULT] = &pt_wire__result__descriptor,
        [PT_MSG_FAILED] = &pt_wire__result__descriptor,
        [PT_MSG_ACK] = &pt_wire__tile__descriptor,
        [PT_MSG_REVOKE] = &pt_wire__tile__descriptor,
        [PT_MSG_HEARTBEAT] = &pt_wire__heartbeat__descriptor,
        [PT_MSG_BYE] = &pt_wire__text__descriptor,
    };
    return schemas[type];
}

/* A heartbeat that lists PT_HELD_MAX tiles takes 11 KiB to unpack; everything larger is bytes, which are
 * copied once. */
static size_t budget(size_t size)
{
    return (size_t)32 * 1024 + 2 * size;
}

static pt_status decode_payload(const uint8_t *bytes, size_t size, pt_message *out)
{
    const ProtobufCMessageDescriptor *schema = schema_of(out->type);
    if (!schema) {
        return size == 0 ? pt_ok() : pt_error(PT_E_INPUT, "%zu bytes where none belong", size);
    }
    ProtobufCMessage *wire = NULL;
    PT_TRY(pt_wire_unpack(schema, bytes, size, budget(size), &wire));
    pt_status status = read_payload(wire, out);
    pt_wire_free(wire);
    return status;
}

pt_status pt_message_decode(const uint8_t *bytes, size_t size, pt_message *out)
{
    pt_message message = {0};
    PT_TRY(pt_frame_check(bytes, size, &message));
    pt_status status = decode_payload(bytes + PT_FRAME_HEADER, size - PT_FRAME_HEADER, &message);
    if (status.code == PT_OK) {
        status = pt_message_check(&message);
    }
    if (status.code != PT_OK) {
        status = pt_context(status, "a %s was refused", pt_message_name(message.type));
        pt_message_fini(&message);
        return status;
    }
    *out = message;
    return status;
}
