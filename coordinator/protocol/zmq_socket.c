#include "coordinator/protocol/zmq_socket.h"
#include "coordinator/protocol/endpoint.h"

#include <errno.h>
#include <string.h>
#include <zmq.h>

/* docs/decisions/0009-links.md tells how these were found. */
enum {
    LINGER_MS = 1000,
    HANDSHAKE_MS = 10000,
    /* What one connection may hold in memory each way is about this many messages. */
    SEND_HWM = 1000,
    RECEIVE_HWM = 100,
    /* Bytes unacknowledged for so long end a connection. */
    MAXRT_MS = 5000,
    KEEPALIVE_IDLE_S = 5,
    KEEPALIVE_INTERVAL_S = 2,
    KEEPALIVE_COUNT = 3,
};

pt_status pt_zmq_error(const char *what, const char *endpoint)
{
    int error = errno;
    if (error == ENOMEM || error == EMFILE || error == ENFILE) {
        return pt_error(PT_E_NOMEM, "cannot %s at %s: %s", what, endpoint, zmq_strerror(error));
    }
    return pt_error(PT_E_USAGE, "cannot %s at %s: %s", what, endpoint, zmq_strerror(error));
}

pt_status pt_zmq_set(void *socket, const pt_zmq_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (zmq_setsockopt(socket, options[i].name, &options[i].value, sizeof options[i].value) != 0) {
            return pt_error(PT_E_INTERNAL, "libzmq does not take option %d: %s", options[i].name,
                            zmq_strerror(errno));
        }
    }
    return pt_ok();
}

pt_status pt_zmq_set_common(void *socket, const char *endpoint, size_t message_max)
{
    int64_t most = message_max > INT64_MAX ? INT64_MAX : (int64_t)message_max;
    if (most < 1 || zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most) != 0) {
        return pt_error(PT_E_USAGE, "messages of at most %zu bytes are none", message_max);
    }
    const pt_zmq_option options[] = {
        {ZMQ_LINGER, LINGER_MS},
        {ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS},
        {ZMQ_SNDHWM, SEND_HWM},
        {ZMQ_RCVHWM, RECEIVE_HWM},
        {ZMQ_TCP_MAXRT, MAXRT_MS},
        {ZMQ_TCP_KEEPALIVE, 1},
        {ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S},
        {ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S},
        {ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT},
        {ZMQ_IPV6, pt_endpoint_is_ipv6(endpoint)},
    };
    return pt_zmq_set(socket, options, sizeof options / sizeof *options);
}

pt_status pt_zmq_set_keys(void *socket, const pt_key_pair *keys, const pt_public_key *server)
{
    int is_server = server == NULL;
    bool good = zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &is_server, sizeof is_server) == 0 &&
                zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, keys->secret, PT_KEY_TEXT) == 0 &&
                zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, keys->public_key.text, PT_KEY_TEXT) == 0 &&
                (!server || zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server->text, PT_KEY_TEXT) == 0);
    return good ? pt_ok() : pt_error(PT_E_USAGE, "the keys of a link are none: %s", zmq_strerror(errno));
}

bool pt_zmq_wait(void *socket, pt_bell *bell, int64_t deadline)
{
    int left = pt_deadline_left(deadline);
    zmq_pollitem_t items[] = {{.socket = socket, .events = ZMQ_POLLIN},
                              {.fd = bell->fd, .events = ZMQ_POLLIN}};
    int ready = zmq_poll(items, 2, left);
    if (ready > 0 && items[1].revents) {
        pt_bell_hush(bell);
    }
    /* A signal is like a ring: whoever waits looks again. */
    return ready > 0 || (ready < 0 && errno == EINTR) || left != 0;
}

static void free_frame(void *bytes, void *hint)
{
    (void)hint;
    pt_free(bytes);
}

bool pt_zmq_send_frame(void *socket, uint8_t *bytes, size_t size)
{
    zmq_msg_t part;
    if (zmq_msg_init_data(&part, bytes, size, free_frame, NULL) != 0) {
        pt_free(bytes);
        return false;
    }
    int sent;
    do {
        sent = zmq_msg_send(&part, socket, ZMQ_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        zmq_msg_close(&part);
    }
    return sent >= 0;
}

void pt_zmq_skip_parts(void *socket)
{
    int more = 1;
    size_t length = sizeof more;
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &length) == 0 && more) {
        char spare;
        if (zmq_recv(socket, &spare, sizeof spare, ZMQ_DONTWAIT) < 0 && errno != EINTR) {
            return;
        }
    }
}
