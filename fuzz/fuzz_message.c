/* The frames of a link on hostile bytes. A first byte of 0 takes the rest as a whole frame; any other is a
 * message's type and the rest its payload, sealed here, since no fuzzer finds a checksum. What is taken can
 * be encoded, and comes back the same. */
#include "coordinator/protocol/codec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const uint8_t *frame, size_t size)
{
    pt_message message, back;
    uint8_t *bytes[2];
    size_t sizes[2];
    pt_status status = pt_message_decode(frame, size, &message);
    if (status.code == PT_E_INPUT) {
        return;
    }
    if (status.code != PT_OK || pt_message_encode(&message, &bytes[0], &sizes[0]).code != PT_OK ||
        pt_message_decode(bytes[0], sizes[0], &back).code != PT_OK ||
        pt_message_encode(&back, &bytes[1], &sizes[1]).code != PT_OK) {
        abort();
    }
    if (sizes[0] != sizes[1] || memcmp(bytes[0], bytes[1], sizes[0]) != 0) {
        abort();
    }
    pt_free(bytes[0]);
    pt_free(bytes[1]);
    pt_message_fini(&message);
    pt_message_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || data[0] == 0) {
        check(data + (size > 0), size - (size > 0));
        return 0;
    }
    uint8_t *frame = malloc(PT_FRAME_HEADER + size - 1);
    if (!frame) {
        abort();
    }
    memcpy(frame + PT_FRAME_HEADER, data + 1, size - 1);
    const pt_message header = {.type = (pt_message_type)data[0]};
    pt_frame_seal(frame, PT_FRAME_HEADER + size - 1, &header);
    check(frame, PT_FRAME_HEADER + size - 1);
    free(frame);
    return 0;
}
