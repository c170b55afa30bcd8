#include "coordinator/protocol/codec.h"

#include <string.h>

static const uint8_t magic[4] = {'P', 'N', 'T', 'L'};

enum { AT_VERSION = 4, AT_TYPE = 6, AT_LENGTH = 8, AT_EPOCH = 12, AT_JOB = 16, AT_ZERO = 24, AT_CRC = 28 };

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) {
        value |= (uint64_t)at[i] << (8 * i);
    }
    return value;
}

static uint32_t checksum(const uint8_t *frame, size_t size)
{
    return pt_crc32c(pt_crc32c(0, frame, AT_CRC), frame + PT_FRAME_HEADER, size - PT_FRAME_HEADER);
}

void pt_frame_seal(uint8_t *frame, size_t size, const pt_message *message)
{
    memcpy(frame, magic, sizeof magic);
    put(frame + AT_VERSION, PT_PROTOCOL_VERSION, 2);
    put(frame + AT_TYPE, message->type, 2);
    put(frame + AT_LENGTH, size - PT_FRAME_HEADER, 4);
    put(frame + AT_EPOCH, message->epoch, 4);
    put(frame + AT_JOB, message->job, 8);
    put(frame + AT_ZERO, 0, 4);
    put(frame + AT_CRC, checksum(frame, size), 4);
}

pt_status pt_frame_check(const uint8_t *frame, size_t size, pt_message *out)
{
    if (size < PT_FRAME_HEADER || memcmp(frame, magic, sizeof magic) != 0) {
        return pt_error(PT_E_INPUT, "%zu bytes that are no frame of Pantile", size);
    }
    int version = (int)get(frame + AT_VERSION, 2);
    if (version != PT_PROTOCOL_VERSION) {
        return pt_error(PT_E_INPUT,
                        "the other side speaks version %d of the protocol, this program %d: use the "
                        "same version of pantile everywhere",
                        version, PT_PROTOCOL_VERSION);
    }
    uint64_t type = get(frame + AT_TYPE, 2);
    if (type < PT_MSG_HELLO || type >= PT_MSG_TYPES) {
        return pt_error(PT_E_INPUT, "a message of the unknown type %d", (int)type);
    }
    if (get(frame + AT_LENGTH, 4) != size - PT_FRAME_HEADER || get(frame + AT_ZERO, 4) != 0) {
        return pt_error(PT_E_INPUT, "a %s whose header does not fit its %zu bytes",
                        pt_message_name((pt_message_type)type), size);
    }
    if (get(frame + AT_CRC, 4) != checksum(frame, size)) {
        return pt_error(PT_E_INPUT, "a %s that was damaged on its way: its checksum is wrong",
                        pt_message_name((pt_message_type)type));
    }
    out->type = (pt_message_type)type;
    out->epoch = (uint32_t)get(frame + AT_EPOCH, 4);
    out->job = get(frame + AT_JOB, 8);
    return pt_ok();
}
