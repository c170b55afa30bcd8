#include "coordinator/protocol/zap.h"
#include "coordinator/protocol/zmq_socket.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { RAW_KEY = 32, FIELD_MAX = 256, FIELDS = 7 };

typedef struct raw_key {
    uint8_t bytes[RAW_KEY];
} raw_key;

struct pt_zap {
    void *socket;
    raw_key *allowed; /* sorted */
    size_t count;
    atomic_uint_least64_t denied;
    pthread_t thread;
};

/* The fields of a request, in RFC 27's order. */
enum { VERSION, REQUEST, DOMAIN, ADDRESS, IDENTITY, MECHANISM, CREDENTIAL };

typedef struct field {
    char bytes[FIELD_MAX];
    size_t size;
} field;

static int compare_keys(const void *a, const void *b)
{
    return memcmp(a, b, RAW_KEY);
}

/* Reads one question; false when the context ends. *good is false for one of another shape. */
static bool read_request(void *socket, field fields[FIELDS], bool *good)
{
    int count = 0;
    int more = 1;
    for (; more; count++) {
        field spare;
        field *f = count < FIELDS ? &fields[count] : &spare;
        int size;
        do {
            size = zmq_recv(socket, f->bytes, sizeof f->bytes, 0);
        } while (size < 0 && errno == EINTR);
        if (size < 0) {
            return false;
        }
        f->size = (size_t)size < sizeof f->bytes ? (size_t)size : 0;
        size_t length = sizeof more;
        zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &length);
    }
    *good = count == FIELDS;
    return true;
}

static bool is_allowed(const pt_zap *zap, const field fields[FIELDS])
{
    const field *mechanism = &fields[MECHANISM];
    return mechanism->size == 5 && memcmp(mechanism->bytes, "CURVE", 5) == 0 &&
           fields[CREDENTIAL].size == RAW_KEY &&
           bsearch(fields[CREDENTIAL].bytes, zap->allowed, zap->count, RAW_KEY, compare_keys);
}

static void answer(void *socket, const field *request, bool allowed, const char *user)
{
    const char *parts[] = {allowed ? "200" : "400", allowed ? "" : "this key is not on the list", user, ""};
    zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(socket, request->bytes, request->size, ZMQ_SNDMORE);
    for (int i = 0; i < 4; i++) {
        zmq_send(socket, parts[i], strlen(parts[i]), i < 3 ? ZMQ_SNDMORE : 0);
    }
}

static void *serve(void *argument)
{
    pt_zap *zap = argument;
    field fields[FIELDS];
    bool good = false;
    while (read_request(zap->socket, fields, &good)) {
        bool allowed = good && is_allowed(zap, fields);
        char user[PT_KEY_TEXT] = "";
        if (allowed) {
            zmq_z85_encode(user, (uint8_t *)fields[CREDENTIAL].bytes, RAW_KEY);
        } else {
            atomic_fetch_add(&zap->denied, 1);
        }
        answer(zap->socket, &fields[REQUEST], allowed, user);
    }
    zmq_close(zap->socket);
    return NULL;
}

static pt_status copy_keys(pt_zap *zap, const pt_public_key *allowed, size_t count)
{
    zap->allowed = pt_alloc(count, sizeof *zap->allowed);
    if (!zap->allowed) {
        return PT_NOMEM("the list of allowed keys");
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(allowed[i].text) != PT_KEY_TEXT - 1 ||
            !zmq_z85_decode(zap->allowed[i].bytes, allowed[i].text)) {
            return pt_error(PT_E_USAGE, "allowed key %zu is no key", i + 1);
        }
    }
    zap->count = count;
    qsort(zap->allowed, count, RAW_KEY, compare_keys);
    return pt_ok();
}

/* Signals are for the program's own threads. */
static int start_quietly(pt_zap *zap)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&zap->thread, NULL, serve, zap);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static pt_status start(pt_zap *zap, void *context)
{
    zap->socket = zmq_socket(context, ZMQ_REP);
    if (!zap->socket || zmq_bind(zap->socket, "inproc://zeromq.zap.01") != 0 || start_quietly(zap) != 0) {
        pt_status status = pt_zmq_error("ask who may connect", "inproc://zeromq.zap.01");
        if (zap->socket) {
            zmq_close(zap->socket);
        }
        return status;
    }
    return pt_ok();
}

static void free_zap(pt_zap *zap)
{
    pt_free(zap->allowed);
    pt_free(zap);
}

pt_status pt_zap_open(void *context, const pt_public_key *allowed, size_t count, pt_zap **out)
{
    pt_zap *zap = pt_calloc(1, sizeof *zap);
    if (!zap) {
        return PT_NOMEM("the list of allowed keys");
    }
    pt_status status = copy_keys(zap, allowed, count);
    if (status.code == PT_OK) {
        status = start(zap, context);
    }
    if (status.code != PT_OK) {
        free_zap(zap);
        return status;
    }
    *out = zap;
    return status;
}

uint64_t pt_zap_denied(const pt_zap *zap)
{
    return atomic_load(&zap->denied);
}

void pt_zap_close(void *context, pt_zap *zap)
{
    /* The thread's receive fails once the context goes; then it closes its socket, which lets the context go.
     */
    while (zmq_ctx_term(context) != 0 && errno == EINTR) {
    }
    if (zap) {
        pthread_join(zap->thread, NULL);
        free_zap(zap);
    }
}
