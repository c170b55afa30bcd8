/* What coordinator and workers say to each other.
 *
 * A message is one frame: a header of 32 bytes (codec.h has its layout) and a payload whose schema is
 * messages.proto. Lengths are checked before anything is allocated; a frame that breaks any rule is refused
 * whole and costs its sender the connection.
 *
 *   worker                                  coordinator
 *   HELLO (what it is, what it has)     ->
 *                                       <-  JOB (the spec), when the worker has not opened it yet
 *   HELLO (with the digests it found)   ->
 *                                       <-  WELCOME, or REFUSED with both digests
 *   READY (how many tiles it may hold)  ->
 *                                       <-  ASSIGN
 *   STARTED (from here on it is blamed) ->
 *   RESULT or FAILED, until             <-  ACK (durable: forget it)
 *   HEARTBEAT (progress, tiles held)    <-> HEARTBEAT
 *   DRAIN (give me no more)             <-> DRAIN (finish what you hold, then BYE)
 *                                       <-  REVOKE (not wanted any more, if not started)
 *   BYE                                 <-> BYE
 *
 * A send that succeeded proves nothing. HELLO is repeated until answered and after each reconnect, RESULT
 * until acknowledged, ASSIGN when heartbeats do not list the tile; both sides treat repeats as harmless.
 *
 * Who is unknown says HELLO again:
 *   - Anything but HELLO and BYE from a peer that has no WELCOME from this coordinator (it was restarted,
 *     or it gave the worker up) is answered by a HELLO of the coordinator, whose `hello` is all zero,
 *     with its job and epoch. The worker answers with its own HELLO at once, keeps what it holds, takes
 *     the coordinator's epoch when that is not lower than its own, and after WELCOME says READY and
 *     repeats unacknowledged results. A result of a tile that the new coordinator never assigned is good
 *     work and is taken.
 *   - HELLO with `opened` false is answered by JOB. With `opened` true: by WELCOME, or by REFUSED when
 *     job_hash or engine_sha256 is not the job's. REFUSED and BYE are for good; nothing else ends a worker.
 *   - A HELLO with an instance that is known, from a new peer, is that worker after a reconnect: it keeps
 *     its leases, and the old peer is forgotten. A repeated HELLO from its own peer is answered again.
 *   - Every message but HELLO carries the job and the epoch that the worker heard last. The coordinator
 *     ignores and counts those of another job, and answers those of another epoch by its HELLO.
 *   - A heartbeat of a worker is answered by one heartbeat; the coordinator never sends one unasked.
 *   - BYE is answered by BYE. A worker that hears one says one and ends; a worker that says one first may
 *     wait for the answer for a second or so. The coordinator stays until the workers it knows have
 *     answered, a second at most.
 *
 * Life cycle: a zeroed pt_message is valid and empty; pt_message_fini frees what it owns. Values, not
 * thread-safe.
 */
#ifndef PANTILE_COORDINATOR_PROTOCOL_MESSAGE_H
#define PANTILE_COORDINATOR_PROTOCOL_MESSAGE_H

#include "coordinator/protocol/job_spec.h"
#include "tiling/base/base.h"
#include "tiling/instance/instance.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PT_PROTOCOL_VERSION = 2,
    PT_INSTANCE_ID = 16, /* random bytes: one life of one worker process */
    PT_SLOT_ID = 16,  /* random bytes of the supervisor, the slot's number in the last two: who takes a dead
                         worker's place says so by the same slot */
    PT_HELD_MAX = 64, /* tiles that a worker may hold at once */
};

typedef enum pt_message_type {
    PT_MSG_HELLO = 1,
    PT_MSG_JOB,
    PT_MSG_WELCOME,
    PT_MSG_REFUSED,
    PT_MSG_READY,
    PT_MSG_ASSIGN,
    PT_MSG_STARTED,
    PT_MSG_RESULT,
    PT_MSG_FAILED,
    PT_MSG_HEARTBEAT,
    PT_MSG_ACK,
    PT_MSG_REVOKE,
    PT_MSG_DRAIN,
    PT_MSG_BYE,
    PT_MSG_TYPES /* one past the last */
} pt_message_type;

typedef struct pt_hello {
    uint8_t instance[PT_INSTANCE_ID];
    uint8_t slot[PT_SLOT_ID];
    char name[128];    /* "host:pid", for people */
    char program[32];  /* version of pantile */
    char backend[128]; /* of its engine; empty until opened */
    int threads;
    bool wants_pixels;      /* cannot read the scene itself */
    bool opened;            /* the job's files are open: the digests below are what was found */
    bool has_engine_sha256; /* also without `opened` when the user named a model */
    uint8_t engine_sha256[32];
    uint8_t job_hash[32]; /* of the spec that was opened; zero before */
} pt_hello;

typedef struct pt_assignment {
    int64_t tile;    /* over all groups: pt_job_spec_locate */
    int attempt;     /* 1, 2, ... */
    uint8_t *pixels; /* owned; NULL: read them yourself. Else window.w * window.h times 3 bytes of RGB,
                        then as many times one byte of validity, 0 or 1 */
    size_t pixel_bytes;
    int area_state;  /* with pixels: pt_area_state as a number; others than data have no pixels */
    bool has_pixels; /* true also where area_state makes pixels unnecessary */
} pt_assignment;

typedef enum pt_tile_outcome {
    PT_TILE_DONE,    /* inferred; instances may be none */
    PT_TILE_EMPTY,   /* no valid pixel: not inferred */
    PT_TILE_OUTSIDE, /* outside the area of interest: not read */
    PT_TILE_FAILED,  /* `status` says why */
} pt_tile_outcome;

/* A zeroed result is valid and empty. */
typedef struct pt_result {
    int64_t tile;
    int attempt;
    pt_tile_outcome outcome;
    pt_status status;           /* of a failed tile */
    pt_instance_list instances; /* owned; scene pixels of the tile's group */
    bool capped;                /* a cap on proposals or detections was hit */
    double read_seconds, infer_seconds;
} pt_result;

void pt_result_fini(pt_result *result);

/* Equal results have equal digests, on every machine; unequal ones hardly ever. `payload`: encoded instances,
 * NULL when there are none. Not for secrets. */
uint64_t pt_result_digest(pt_tile_outcome outcome, bool capped, const uint8_t *payload, size_t size);

typedef struct pt_held {
    int64_t tile;
    int attempt;
    bool started;
} pt_held;

typedef struct pt_heartbeat {
    uint64_t progress; /* grows while the compute thread works; 0 from the coordinator */
    int credit;        /* as in READY */
    size_t held_count;
    pt_held held[PT_HELD_MAX]; /* assigned and not acknowledged */
} pt_heartbeat;

typedef struct pt_message {
    pt_message_type type;
    uint64_t job;   /* first eight bytes of the job's hash, little-endian; 0 before it is known */
    uint32_t epoch; /* the coordinator's life, raised by every restart; workers refuse a lower one */
    union {
        pt_hello hello; /* all zero from the coordinator, never from a worker */
        struct {
            uint8_t *spec; /* owned; pt_job_spec_encode's bytes */
            size_t size;
            double heartbeat_seconds;
        } job;
        char refused[PT_STATUS_MESSAGE]; /* why, with what to do */
        int credit;                      /* READY: tiles that it may hold, 1 .. PT_HELD_MAX */
        pt_assignment assign;
        pt_held tile; /* STARTED, ACK, REVOKE */
        /* RESULT (any outcome but failed) and FAILED. A result on its way to the ledger keeps the encoded
         * instances, which are stored as they came: see
         * pt_instances_encode and pt_instances_decode. */
        struct {
            pt_result result; /* instances empty until decoded */
            uint8_t *payload; /* owned; encoded instances, NULL when there are none */
            size_t size;
        } result;
        pt_heartbeat heartbeat;
        char bye[128]; /* why */
    } as;
} pt_message;

void pt_message_fini(pt_message *message);

/* Frame bytes, owned by the caller. PT_E_USAGE when a field breaks the rules that decoding holds; in texts,
 * what cannot be printed becomes '?'. A result's instances must be in `payload`, not in `result`. */
pt_status pt_message_encode(const pt_message *message, uint8_t **bytes, size_t *size);
/* From outside bytes: PT_E_INPUT says what is wrong; never more memory than a small multiple of `size`. The
 * caller owns *out. */
pt_status pt_message_decode(const uint8_t *bytes, size_t size, pt_message *out);

/* The instances of a result as bytes and back; outside bytes: bounded, every mask inside `window` and valid
 * as pt_mask_from_bytes makes them, scores and classes in range, PT_E_INPUT otherwise. Encoding is canonical:
 * equal lists give equal bytes. */
pt_status pt_instances_encode(const pt_instance_list *list, uint8_t **bytes, size_t *size);
pt_status pt_instances_decode(const uint8_t *bytes, size_t size, pt_rect window, pt_instance_list *out);

const char *pt_message_name(pt_message_type type); /* "HELLO", ...; never NULL */

#endif
