#include "tests/coordinator/protocol/link_kinds.h"

enum { MESSAGE_MAX = 64 << 20 };

/* One pair of keys for the hub, one for all ends, made when they are first needed. */
static const pt_key_pair *keys_of(bool hub)
{
    static pt_key_pair keys[2];
    pt_key_pair *k = &keys[hub];
    if (!k->secret[0] && pt_key_pair_new(k).code != PT_OK) {
        return NULL;
    }
    return k;
}

static pt_status open_plain_hub(pt_hub **out)
{
    const pt_hub_options options = {.endpoint = "ipc://*", .message_max = MESSAGE_MAX};
    return pt_hub_open_zmq(&options, out);
}

static pt_status open_plain_end(pt_hub *hub, pt_end **out)
{
    const pt_end_options options = {.endpoint = pt_hub_endpoint(hub), .message_max = MESSAGE_MAX};
    return pt_end_open_zmq(&options, out);
}

static pt_status open_curve_hub(pt_hub **out)
{
    const pt_hub_options options = {.endpoint = "tcp://127.0.0.1:*",
                                    .keys = keys_of(true),
                                    .allowed = &keys_of(false)->public_key,
                                    .allowed_count = 1,
                                    .message_max = MESSAGE_MAX};
    return pt_hub_open_zmq(&options, out);
}

static pt_status open_curve_end(pt_hub *hub, pt_end **out)
{
    const pt_end_options options = {.endpoint = pt_hub_endpoint(hub),
                                    .keys = keys_of(false),
                                    .server = &keys_of(true)->public_key,
                                    .message_max = MESSAGE_MAX};
    return pt_end_open_zmq(&options, out);
}

const link_kind link_kinds[] = {
    {"in one process", pt_hub_open_local, pt_end_open_local},
    {"ZeroMQ, a socket in the file system", open_plain_hub, open_plain_end},
    {"ZeroMQ, TCP with keys", open_curve_hub, open_curve_end},
};
const int link_kind_count = sizeof link_kinds / sizeof *link_kinds;
