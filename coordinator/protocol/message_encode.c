#include "coordinator/protocol/codec.h"
#include <messages.pb-c.h> /* generated from messages.proto */

#include <string.h>

/* One function per schema: fills the wire's struct, whose pointers go into the message or to texts on the
 * stack, and packs it behind the frame's header. */

static ProtobufCBinaryData binary(const uint8_t *bytes, size_t size)
{
    /* Packing only reads. */
    return (ProtobufCBinaryData){size, (uint8_t *)bytes};
}

static pt_status pack(const ProtobufCMessage *wire, uint8_t **bytes, size_t *size)
{
    return pt_wire_pack(wire, PT_FRAME_HEADER, bytes, size);
}

static pt_status pack_hello(const pt_hello *h, uint8_t **bytes, size_t *size)
{
    char name[sizeof h->name], program[sizeof h->program], backend[sizeof h->backend];
    pt_text_clean(name, sizeof name, h->name);
    pt_text_clean(program, sizeof program, h->program);
    pt_text_clean(backend, sizeof backend, h->backend);
    PtWire__Hello wire = PT_WIRE__HELLO__INIT;
    wire.instance = binary(h->instance, sizeof h->instance);
    wire.slot = binary(h->slot, sizeof h->slot);
    wire.name = name;
    wire.program = program;
    wire.backend = backend;
    wire.threads = h->threads;
    wire.wants_pixels = h->wants_pixels;
    wire.opened = h->opened;
    wire.has_engine_sha256 = h->has_engine_sha256;
    wire.engine_sha256 = binary(h->engine_sha256, sizeof h->engine_sha256);
    wire.job_hash = binary(h->job_hash, sizeof h->job_hash);
    return pack(&wire.base, bytes, size);
}

static pt_status pack_job(const pt_message *message, uint8_t **bytes, size_t *size)
{
    PtWire__Job wire = PT_WIRE__JOB__INIT;
    wire.spec = binary(message->as.job.spec, message->as.job.size);
    wire.heartbeat_seconds = message->as.job.heartbeat_seconds;
    return pack(&wire.base, bytes, size);
}

static pt_status pack_text(const char *text, uint8_t **bytes, size_t *size)
{
    char why[PT_STATUS_MESSAGE];
    pt_text_clean(why, sizeof why, text);
    PtWire__Text wire = PT_WIRE__TEXT__INIT;
    wire.why = why;
    return pack(&wire.base, bytes, size);
}

static pt_status pack_ready(int credit, uint8_t **bytes, size_t *size)
{
    PtWire__Ready wire = PT_WIRE__READY__INIT;
    wire.credit = credit;
    return pack(&wire.base, bytes, size);
}

static pt_status pack_assign(const pt_assignment *a, uint8_t **bytes, size_t *size)
{
    PtWire__Assign wire = PT_WIRE__ASSIGN__INIT;
    wire.tile = a->tile;
    wire.attempt = a->attempt;
    wire.shipped = a->has_pixels;
    wire.area_state = a->area_state;
    wire.has_pixels = a->pixels != NULL;
    wire.pixels = binary(a->pixels, a->pixel_bytes);
    return pack(&wire.base, bytes, size);
}

static PtWire__Tile wire_tile(const pt_held *held)
{
    PtWire__Tile wire = PT_WIRE__TILE__INIT;
    wire.tile = held->tile;
    wire.attempt = held->attempt;
    wire.started = held->started;
    return wire;
}

static pt_status pack_tile(const pt_held *held, uint8_t **bytes, size_t *size)
{
    PtWire__Tile wire = wire_tile(held);
    return pack(&wire.base, bytes, size);
}

static pt_status pack_result(const pt_message *message, uint8_t **bytes, size_t *size)
{
    const pt_result *r = &message->as.result.result;
    char text[PT_STATUS_MESSAGE];
    PtWire__Result wire = PT_WIRE__RESULT__INIT;
    wire.tile = r->tile;
    wire.attempt = r->attempt;
    wire.outcome = r->outcome;
    wire.capped = r->capped;
    wire.read_seconds = r->read_seconds;
    wire.infer_seconds = r->infer_seconds;
    wire.has_instances = message->as.result.payload != NULL;
    wire.instances = binary(message->as.result.payload, message->as.result.size);
    if (message->type == PT_MSG_FAILED) {
        pt_text_clean(text, sizeof text, r->status.message);
        wire.has_code = true;
        wire.code = r->status.code;
        wire.text = text;
    }
    return pack(&wire.base, bytes, size);
}

static pt_status pack_heartbeat(const pt_heartbeat *h, uint8_t **bytes, size_t *size)
{
    PtWire__Tile held[PT_HELD_MAX];
    PtWire__Tile *pointers[PT_HELD_MAX];
    for (size_t i = 0; i < h->held_count; i++) {
        held[i] = wire_tile(&h->held[i]);
        pointers[i] = &held[i];
    }
    PtWire__Heartbeat wire = PT_WIRE__HEARTBEAT__INIT;
    wire.progress = h->progress;
    wire.credit = h->credit;
    wire.n_held = h->held_count;
    wire.held = pointers;
    return pack(&wire.base, bytes, size);
}

static pt_status pack_nothing(uint8_t **bytes, size_t *size)
{
    uint8_t *frame = pt_alloc(PT_FRAME_HEADER, 1);
    if (!frame) {
        return PT_NOMEM("a message");
    }
    *bytes = frame;
    *size = PT_FRAME_HEADER;
    return pt_ok();
}

static pt_status pack_payload(const pt_message *message, uint8_t **bytes, size_t *size)
{
    switch (message->type) {
    case PT_MSG_HELLO:
        return pack_hello(&message->as.hello, bytes, size);
    case PT_MSG_JOB:
        return pack_job(message, bytes, size);
    case PT_MSG_REFUSED:
        return pack_text(message->as.refused, bytes, size);
    case PT_MSG_BYE:
        return pack_text(message->as.bye, bytes, size);
    case PT_MSG_READY:
        return pack_ready(message->as.credit, bytes, size);
    case PT_MSG_ASSIGN:
        return pack_assign(&message->as.assign, bytes, size);
    case PT_MSG_STARTED:
    case PT_MSG_ACK:
    case PT_MSG_REVOKE:
        return pack_tile(&message->as.tile, bytes, size);
    case PT_MSG_RESULT:
    case PT_MSG_FAILED:
        return pack_result(message, bytes, size);
    case PT_MSG_HEARTBEAT:
        return pack_heartbeat(&message->as.heartbeat, bytes, size);
    case PT_MSG_WELCOME:
    case PT_MSG_DRAIN:
    case PT_MSG_TYPES:
        break;
    }
    return pack_nothing(bytes, size);
}

pt_status pt_message_encode(const pt_message *message, uint8_t **bytes, size_t *size)
{
    pt_status status = pt_message_check(message);
    if (status.code != PT_OK) {
        return pt_error(PT_E_USAGE, "a %s cannot be sent: %s", pt_message_name(message->type),
                        status.message);
    }
    uint8_t *frame = NULL;
    size_t length = 0;
    PT_TRY(pack_payload(message, &frame, &length));
    pt_frame_seal(frame, length, message);
    *bytes = frame;
    *size = length;
    return pt_ok();
}
