/* The wire between one coordinator and its workers: moves messages, knows nothing of tiles.
 *
 * A link has a hub (the coordinator's end) and ends (one per worker). Two kinds: over ZeroMQ between
 * processes, and inside one process. Both behave alike (tests/coordinator/protocol has the one suite):
 * messages of one sender arrive in order or not at all; a send never blocks; any of them may get lost when a
 * connection breaks.
 *
 * Peers: the hub names a connection by a number that is never used again. A worker that reconnects is a new
 * peer; its HELLO says who it is.
 *
 * Life cycle:
 *   pt_hub_open_zmq / pt_hub_open_local -> pt_hub_receive, pt_hub_send -> pt_hub_close
 *   pt_end_open_zmq / pt_end_open_local -> pt_end_receive, pt_end_send -> pt_end_close
 * A hub and an end belong to one thread each; only the wake functions may be called from any thread (and from
 * a signal handler: they write to an eventfd).
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_LINK_H
#define PANTILE_COORDINATOR_PROTOCOL_LINK_H

#include "coordinator/protocol/keys.h"
#include "coordinator/protocol/message.h"
#include "tiling/base/base.h"

typedef uint64_t pt_peer; /* 0 is nobody */

typedef struct pt_hub pt_hub;
typedef struct pt_end pt_end;

/* What a hub or end counts, for metrics. */
typedef struct pt_link_stats {
    uint64_t sent, received, sent_bytes, received_bytes;
    uint64_t refused;  /* frames that broke a rule */
    uint64_t expelled; /* peers dropped for it */
    uint64_t denied;   /* connections without a key on the list */
    uint64_t lost;     /* sends to a peer that was gone or did not keep up */
} pt_link_stats;

typedef struct pt_hub_vtable {
    /* Waits up to timeout_ms (0: not at all, -1: for ever) for a message, a wake, or the time. *got is false
     * when there is none. Frames that break the rules never come out: their peer is dropped. */
    pt_status (*receive)(pt_hub *hub, int timeout_ms, pt_peer *peer, pt_message *out, bool *got);
    /* Encodes and queues; the message stays the caller's. PT_OK also when the peer is gone (it is counted in
     * stats.lost, and *reached is false). Errors are those of encoding and memory. */
    pt_status (*send)(pt_hub *hub, pt_peer peer, const pt_message *message, bool *reached);
    /* Nothing is taken from this peer any more, and nothing is sent. */
    void (*expel)(pt_hub *hub, pt_peer peer);
    void (*wake)(pt_hub *hub); /* any thread: the receive at hand, or the next one, returns at once */
    pt_link_stats (*stats)(const pt_hub *hub);
    void (*close)(pt_hub *hub); /* sends what is queued for at most a second, then frees */
} pt_hub_vtable;

typedef struct pt_end_vtable {
    pt_status (*receive)(pt_end *end, int timeout_ms, pt_message *out, bool *got);
    pt_status (*send)(pt_end *end, const pt_message *message);
    /* A fresh connection, as a new peer: after a silence that is too long for a living coordinator. */
    pt_status (*reconnect)(pt_end *end);
    void (*wake)(pt_end *end);
    void (*close)(pt_end *end);
} pt_end_vtable;

struct pt_hub {
    const pt_hub_vtable *vtable;
};
struct pt_end {
    const pt_end_vtable *vtable;
};

/* In one process. Ends stay usable after the hub has closed: they just hear nothing more. */
pt_status pt_hub_open_local(pt_hub **out);
pt_status pt_end_open_local(pt_hub *hub, pt_end **out);

typedef struct pt_hub_options {
    /* "tcp://127.0.0.1:*" (a free port), "tcp://0.0.0.0:5555", "ipc:///path". An address that is neither ipc
     * nor loopback needs keys, unless `insecure`: PT_E_USAGE otherwise. */
    const char *endpoint;
    const pt_key_pair *keys;      /* borrowed during the call; NULL: no encryption, no authentication */
    const pt_public_key *allowed; /* borrowed during the call; only these clients come in */
    size_t allowed_count;
    bool insecure;
    size_t message_max; /* bytes of the largest frame that is taken */
} pt_hub_options;

pt_status pt_hub_open_zmq(const pt_hub_options *options, pt_hub **out);
/* The address workers connect to, with the port that was found; valid until close. A wildcard host is
 * replaced by an address of this machine that others can reach (endpoint.h says which). "" in one process. */
const char *pt_hub_endpoint(const pt_hub *hub);

typedef struct pt_end_options {
    const char *endpoint;
    const pt_key_pair *keys;     /* borrowed; this worker's; NULL with `server` NULL: no encryption */
    const pt_public_key *server; /* borrowed; the coordinator's */
    size_t message_max;
} pt_end_options;

/* PT_E_USAGE for what no end could ever connect to: "tcp://HOST:PORT" with a port, "ipc://PATH". */
pt_status pt_end_check(const char *endpoint);
pt_status pt_end_open_zmq(const pt_end_options *options, pt_end **out);

pt_status pt_hub_receive(pt_hub *hub, int timeout_ms, pt_peer *peer, pt_message *out, bool *got);
pt_status pt_hub_send(pt_hub *hub, pt_peer peer, const pt_message *message,
                      bool *reached); /* reached: may be NULL */
void pt_hub_expel(pt_hub *hub, pt_peer peer);
void pt_hub_wake(pt_hub *hub);
pt_link_stats pt_hub_stats(const pt_hub *hub);
void pt_hub_close(pt_hub **hub);

pt_status pt_end_receive(pt_end *end, int timeout_ms, pt_message *out, bool *got);
pt_status pt_end_send(pt_end *end, const pt_message *message);
pt_status pt_end_reconnect(pt_end *end);
void pt_end_wake(pt_end *end);
void pt_end_close(pt_end **end);

#endif
