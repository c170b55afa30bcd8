#include "coordinator/protocol/endpoint.h"
#include "coordinator/protocol/link.h"
#include "coordinator/protocol/zmq_socket.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

/* A DEALER socket. libzmq connects again by itself when a connection breaks; the hub then sees a new peer and
 * asks for HELLO. */

enum {
    CONNECT_MS = 1000, /* a SYN that gets no answer is given up and sent anew */
    RETRY_MS = 100,    /* doubled up to: */
    RETRY_MOST_MS = 500,
};

typedef struct zmq_end {
    pt_end base;
    void *context, *socket;
    pt_bell bell;
    char *endpoint;
    bool has_keys;
    pt_key_pair keys;
    pt_public_key server;
    size_t message_max;
} zmq_end;

static pt_status connect_socket(const zmq_end *end, void *socket)
{
    const pt_zmq_option settings[] = {{ZMQ_CONNECT_TIMEOUT, CONNECT_MS},
                                      {ZMQ_RECONNECT_IVL, RETRY_MS},
                                      {ZMQ_RECONNECT_IVL_MAX, RETRY_MOST_MS}};
    PT_TRY(pt_zmq_set(socket, settings, sizeof settings / sizeof *settings));
    PT_TRY(pt_zmq_set_common(socket, end->endpoint, end->message_max));
    if (end->has_keys) {
        PT_TRY(pt_zmq_set_keys(socket, &end->keys, &end->server));
    }
    return zmq_connect(socket, end->endpoint) == 0 ? pt_ok() : pt_zmq_error("connect", end->endpoint);
}

static pt_status new_socket(const zmq_end *end, void **out)
{
    void *socket = zmq_socket(end->context, ZMQ_DEALER);
    if (!socket) {
        return pt_zmq_error("connect", end->endpoint);
    }
    pt_status status = connect_socket(end, socket);
    if (status.code != PT_OK) {
        zmq_close(socket);
        return status;
    }
    *out = socket;
    return status;
}

/* False when no message is there. A refused one is passed over: the coordinator repeats what matters. */
static pt_status next_message(zmq_end *end, pt_message *out, bool *any, bool *got)
{
    zmq_msg_t part;
    zmq_msg_init(&part);
    int size;
    do {
        size = zmq_msg_recv(&part, end->socket, ZMQ_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    pt_status status = pt_ok();
    *any = size >= 0;
    if (*any && zmq_msg_more(&part)) {
        pt_zmq_skip_parts(end->socket);
    } else if (*any) {
        status = pt_message_decode(zmq_msg_data(&part), zmq_msg_size(&part), out);
        *got = status.code == PT_OK;
        if (status.code == PT_E_INPUT) {
            PT_WARN("the coordinator's message was passed over", PT_S("why", status.message));
            status = pt_ok();
        }
    }
    zmq_msg_close(&part);
    return status;
}

static pt_status end_receive(pt_end *base, int timeout_ms, pt_message *out, bool *got)
{
    zmq_end *end = (zmq_end *)base;
    int64_t deadline = pt_deadline(timeout_ms);
    *got = false;
    while (!pt_bell_take(&end->bell)) {
        bool any = false;
        PT_TRY(next_message(end, out, &any, got));
        if (*got || (!any && !pt_zmq_wait(end->socket, &end->bell, deadline))) {
            break;
        }
    }
    return pt_ok();
}

static pt_status end_send(pt_end *base, const pt_message *message)
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    PT_TRY(pt_message_encode(message, &bytes, &size));
    pt_zmq_send_frame(((zmq_end *)base)->socket, bytes, size);
    return pt_ok();
}

static pt_status end_reconnect(pt_end *base)
{
    zmq_end *end = (zmq_end *)base;
    void *socket = NULL;
    PT_TRY(new_socket(end, &socket));
    const pt_zmq_option at_once = {ZMQ_LINGER, 0};
    pt_zmq_set(end->socket, &at_once, 1);
    zmq_close(end->socket);
    end->socket = socket;
    return pt_ok();
}

static void end_wake(pt_end *base)
{
    pt_bell_wake(&((zmq_end *)base)->bell);
}

static void end_close(pt_end *base)
{
    zmq_end *end = (zmq_end *)base;
    if (end->socket) {
        zmq_close(end->socket);
    }
    while (end->context && zmq_ctx_term(end->context) != 0 && errno == EINTR) {
    }
    pt_bell_close(&end->bell);
    pt_key_pair_wipe(&end->keys);
    pt_free(end->endpoint);
    pt_free(end);
}

static const pt_end_vtable zmq_end_vtable = {
    .receive = end_receive,
    .send = end_send,
    .reconnect = end_reconnect,
    .wake = end_wake,
    .close = end_close,
};

static pt_status fill(zmq_end *end, const pt_end_options *options)
{
    end->message_max = options->message_max;
    end->has_keys = options->keys != NULL;
    if (end->has_keys) {
        end->keys = *options->keys;
        end->server = *options->server;
    }
    PT_TRY(pt_bell_open(&end->bell));
    end->endpoint = pt_strdup(options->endpoint);
    if (!end->endpoint) {
        return PT_NOMEM("a link");
    }
    end->context = zmq_ctx_new();
    return end->context ? new_socket(end, &end->socket) : pt_zmq_error("connect", end->endpoint);
}

pt_status pt_end_check(const char *endpoint)
{
    bool exposed;
    PT_TRY(pt_endpoint_check(endpoint, &exposed));
    const char *port = strrchr(endpoint, ':') + 1;
    if (*port != '/' && strspn(port, "*0") == strlen(port)) {
        return pt_error(PT_E_USAGE, "%s: name the port that the coordinator listens at", endpoint);
    }
    return pt_ok();
}

pt_status pt_end_open_zmq(const pt_end_options *options, pt_end **out)
{
    PT_TRY(pt_end_check(options->endpoint));
    if ((options->keys == NULL) != (options->server == NULL)) {
        return pt_error(PT_E_USAGE,
                        "a worker's keys and its coordinator's public key go together: give both to "
                        "connect to %s, or neither",
                        options->endpoint);
    }
    zmq_end *end = pt_calloc(1, sizeof *end);
    if (!end) {
        return PT_NOMEM("a link");
    }
    end->base.vtable = &zmq_end_vtable;
    end->bell.fd = -1;
    pt_status status = fill(end, options);
    if (status.code != PT_OK) {
        end_close(&end->base);
        return status;
    }
    *out = &end->base;
    return status;
}
