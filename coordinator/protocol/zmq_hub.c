#include "coordinator/protocol/connection.h"
#include "coordinator/protocol/endpoint.h"
#include "coordinator/protocol/link.h"
#include "coordinator/protocol/peer_set.h"
#include "coordinator/protocol/zap.h"
#include "coordinator/protocol/zmq_socket.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

/* A ROUTER socket. It names each connection by itself (a zero byte and a counter of 32 bits, as libzmq does
 * for clients that ask for no name), so that a worker that comes back is never taken for its own dead
 * connection, and none can take another's name. */

enum {
    NAME = 5,              /* bytes of such a name */
    BACKLOG = 4096,        /* connections at once; the kernel may allow fewer */
    FILES = 1 << 17,       /* one for each worker is needed */
    REFUSED_AT_ONCE = 100, /* then the caller gets a turn, whatever a flood there is */
    LOGGED = 20,
    SCAN_MS = 250,
    /* Bytes that the kernel or libzmq hold of complete messages when a connection is looked at. */
    IN_FLIGHT = 16 << 20,
};

typedef struct zmq_hub {
    pt_hub base;
    void *context, *socket;
    pt_zap *zap; /* NULL without keys */
    pt_bell bell;
    pt_peer_set expelled, hung_up;
    pt_hoard hoard;
    int64_t next_scan;
    uint64_t hoard_most; /* bytes */
    pt_link_stats stats;
    char *endpoint; /* as workers say it */
    int port;       /* 0: ipc */
    char *file;     /* the socket of ipc at a path, which libzmq leaves there */
} zmq_hub;

static bool peer_of(zmq_msg_t *name, pt_peer *out)
{
    const uint8_t *n = zmq_msg_data(name);
    if (zmq_msg_size(name) != NAME || n[0] != 0) {
        return false;
    }
    *out = 1 + ((pt_peer)n[1] << 24 | (pt_peer)n[2] << 16 | (pt_peer)n[3] << 8 | n[4]);
    return true;
}

static bool name_of(pt_peer peer, uint8_t out[NAME])
{
    uint64_t count = peer - 1;
    memcpy(out,
           (const uint8_t[]){0, (uint8_t)(count >> 24), (uint8_t)(count >> 16), (uint8_t)(count >> 8),
                             (uint8_t)count},
           NAME);
    return peer != 0 && count <= UINT32_MAX;
}

/* Ends the connection that a message came from, once. libzmq tells the number of its file, which may belong
 * to another connection by now: only one of this hub's listener is touched, and should it be a good
 * worker's, that one connects again. */
static void hang_up(zmq_hub *hub, pt_peer peer, zmq_msg_t *part)
{
    if (peer != 0 && pt_peer_set_has(&hub->hung_up, peer)) {
        return;
    }
    int fd = zmq_msg_get(part, ZMQ_SRCFD);
    if (fd >= 0 && pt_connection_is_of(fd, hub->port)) {
        shutdown(fd, SHUT_RDWR);
    }
    if (peer != 0) {
        pt_peer_set_add(&hub->hung_up, peer);
    }
}

static void hub_expel(pt_hub *base, pt_peer peer)
{
    zmq_hub *hub = (zmq_hub *)base;
    if (peer != 0 && !pt_peer_set_has(&hub->expelled, peer)) {
        pt_peer_set_add(&hub->expelled, peer);
        hub->stats.expelled++;
    }
}

/* A frame broke a rule: its sender is dropped. */
static void refuse(zmq_hub *hub, pt_peer peer, zmq_msg_t *part, const char *why)
{
    hub->stats.refused++;
    hub_expel(&hub->base, peer);
    hang_up(hub, peer, part);
    if (hub->stats.refused <= LOGGED) {
        const char *user = zmq_msg_gets(part, "User-Id");
        const char *address = zmq_msg_gets(part, "Peer-Address");
        PT_WARN("a peer was dropped", PT_S("why", why), PT_S("address", address ? address : ""),
                PT_S("key", user ? user : ""));
    }
}

/* A complete message of two parts. */
static pt_status take(zmq_hub *hub, zmq_msg_t *name, zmq_msg_t *body, pt_peer *peer, pt_message *out,
                      bool *got)
{
    pt_peer from = 0;
    bool known = peer_of(name, &from);
    hub->stats.received++;
    hub->stats.received_bytes += zmq_msg_size(body);
    pt_hoard_finished(&hub->hoard, zmq_msg_get(body, ZMQ_SRCFD));
    if (zmq_msg_more(body)) {
        pt_zmq_skip_parts(hub->socket);
        refuse(hub, from, body, "a message of several parts");
    } else if (!known) {
        refuse(hub, from, body, "a connection that wants a name of its own");
    } else if (pt_peer_set_has(&hub->expelled, from)) {
        hang_up(hub, from, body);
    } else {
        pt_status status = pt_message_decode(zmq_msg_data(body), zmq_msg_size(body), out);
        if (status.code == PT_E_INPUT) {
            refuse(hub, from, body, status.message);
        } else {
            PT_TRY(status);
            *peer = from;
            *got = true;
        }
    }
    return pt_ok();
}

/* False when no message is there. */
static bool fetch(void *socket, zmq_msg_t *part, int flags)
{
    int size;
    do {
        size = zmq_msg_recv(part, socket, flags);
    } while (size < 0 && errno == EINTR);
    return size >= 0;
}

/* *any: there was a message, good or bad. */
static pt_status next_message(zmq_hub *hub, pt_peer *peer, pt_message *out, bool *any, bool *got)
{
    zmq_msg_t name, body;
    zmq_msg_init(&name);
    zmq_msg_init(&body);
    pt_status status = pt_ok();
    /* A ROUTER gives whole messages: what follows the name is there. */
    *any = fetch(hub->socket, &name, ZMQ_DONTWAIT);
    if (*any && zmq_msg_more(&name) && fetch(hub->socket, &body, 0)) {
        status = take(hub, &name, &body, peer, out, got);
    }
    zmq_msg_close(&name);
    zmq_msg_close(&body);
    return status;
}

/* Sleeps until there is something or the deadline, and looks at the connections once in a while: nothing but
 * the time tells of a message that never ends. False when the time is over. */
static bool wait_for_message(zmq_hub *hub, int64_t deadline)
{
    int64_t now = pt_deadline(0);
    if (hub->port > 0 && now >= hub->next_scan) {
        int ended = pt_hoard_scan(&hub->hoard, hub->port, hub->hoard_most);
        hub->stats.refused += (uint64_t)ended;
        hub->stats.expelled += (uint64_t)ended;
        hub->next_scan = now + SCAN_MS;
        if (ended > 0) {
            PT_WARN("peers were dropped", PT_S("why", "a message without an end"), PT_I("peers", ended));
        }
    }
    bool until_scan = hub->port > 0 && hub->next_scan < deadline;
    return pt_zmq_wait(hub->socket, &hub->bell, until_scan ? hub->next_scan : deadline) || until_scan;
}

static pt_status hub_receive(pt_hub *base, int timeout_ms, pt_peer *peer, pt_message *out, bool *got)
{
    zmq_hub *hub = (zmq_hub *)base;
    int64_t deadline = pt_deadline(timeout_ms);
    *got = false;
    for (int bad = 0; bad < REFUSED_AT_ONCE && !pt_bell_take(&hub->bell);) {
        bool any = false;
        PT_TRY(next_message(hub, peer, out, &any, got));
        if (*got || (!any && !wait_for_message(hub, deadline))) {
            break;
        }
        bad += any;
    }
    return pt_ok();
}

static pt_status hub_send(pt_hub *base, pt_peer peer, const pt_message *message, bool *reached)
{
    zmq_hub *hub = (zmq_hub *)base;
    uint8_t *bytes = NULL;
    size_t size = 0;
    uint8_t name[NAME];
    PT_TRY(pt_message_encode(message, &bytes, &size));
    bool sent = name_of(peer, name) && !pt_peer_set_has(&hub->expelled, peer);
    if (sent) {
        int named;
        do {
            named = zmq_send(hub->socket, name, sizeof name, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        } while (named < 0 && errno == EINTR);
        sent = named >= 0;
    }
    if (sent) {
        sent = pt_zmq_send_frame(hub->socket, bytes, size);
    } else {
        pt_free(bytes);
    }
    hub->stats.sent += sent;
    hub->stats.sent_bytes += sent ? size : 0;
    hub->stats.lost += !sent;
    *reached = sent;
    return pt_ok();
}

static void hub_wake(pt_hub *base)
{
    pt_bell_wake(&((zmq_hub *)base)->bell);
}

static pt_link_stats hub_stats(const pt_hub *base)
{
    const zmq_hub *hub = (const zmq_hub *)base;
    pt_link_stats stats = hub->stats;
    stats.denied = hub->zap ? pt_zap_denied(hub->zap) : 0;
    return stats;
}

static void hub_close(pt_hub *base)
{
    zmq_hub *hub = (zmq_hub *)base;
    if (hub->file) { /* while it is listened at: nobody else can have put another there */
        unlink(hub->file);
        pt_free(hub->file);
    }
    if (hub->socket) {
        zmq_close(hub->socket);
    }
    if (hub->context) {
        pt_zap_close(hub->context, hub->zap);
    }
    pt_bell_close(&hub->bell);
    pt_peer_set_fini(&hub->expelled);
    pt_peer_set_fini(&hub->hung_up);
    pt_hoard_fini(&hub->hoard);
    pt_free(hub->endpoint);
    pt_free(hub);
}

static const pt_hub_vtable zmq_hub_vtable = {
    .receive = hub_receive,
    .send = hub_send,
    .expel = hub_expel,
    .wake = hub_wake,
    .stats = hub_stats,
    .close = hub_close,
};

static pt_status check_options(const pt_hub_options *options)
{
    bool exposed = false;
    PT_TRY(pt_endpoint_check(options->endpoint, &exposed));
    if (exposed && !options->keys && !options->insecure) {
        return pt_error(
            PT_E_USAGE,
            "%s is open to others: give keys (pantile keygen), or say --insecure if everyone who can "
            "reach it may join and read",
            options->endpoint);
    }
    if (options->keys && options->allowed_count == 0) {
        return pt_error(PT_E_USAGE, "no key is allowed to connect to %s: give the workers' public keys",
                        options->endpoint);
    }
    return pt_ok();
}

/* A connection is a file. More are a convenience: without the right to them, fewer workers fit. */
static void allow_many_files(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max && files.rlim_cur < FILES) {
        files.rlim_cur = files.rlim_max < FILES ? files.rlim_max : FILES;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* libzmq removes the file of a name that it has chosen itself, and no other. */
static pt_status keep_file(zmq_hub *hub, const char *path, bool chosen)
{
    if (chmod(path, 0600) != 0) {
        return pt_error(PT_E_INTERNAL, "cannot keep others out of %s: %s", path, strerror(errno));
    }
    hub->file = chosen ? NULL : pt_strdup(path);
    return hub->file || chosen ? pt_ok() : PT_NOMEM("an endpoint");
}

static pt_status bind_hub(zmq_hub *hub, const pt_hub_options *options)
{
    char bound[1024];
    size_t length = sizeof bound;
    PT_TRY(pt_endpoint_free(options->endpoint));
    if (zmq_bind(hub->socket, options->endpoint) != 0) {
        return pt_endpoint_refused(options->endpoint, errno);
    }
    if (zmq_getsockopt(hub->socket, ZMQ_LAST_ENDPOINT, bound, &length) != 0) {
        return pt_zmq_error("listen", options->endpoint);
    }
    if (strncmp(bound, "tcp://", 6) == 0) {
        hub->port = (int)strtol(strrchr(bound, ':') + 1, NULL, 10);
    } else if (bound[6] != '@') {
        PT_TRY(keep_file(hub, bound + 6, strcmp(options->endpoint, "ipc://*") == 0));
    }
    return pt_endpoint_reachable(bound, &hub->endpoint);
}

static pt_status open_socket(zmq_hub *hub, const pt_hub_options *options)
{
    hub->context = zmq_ctx_new();
    hub->socket = hub->context ? zmq_socket(hub->context, ZMQ_ROUTER) : NULL;
    if (!hub->socket) {
        return pt_zmq_error("listen", options->endpoint);
    }
    const pt_zmq_option settings[] = {{ZMQ_ROUTER_MANDATORY, 1}, {ZMQ_BACKLOG, BACKLOG}};
    PT_TRY(pt_zmq_set(hub->socket, settings, sizeof settings / sizeof *settings));
    PT_TRY(pt_zmq_set_common(hub->socket, options->endpoint, options->message_max));
    if (options->keys) {
        PT_TRY(pt_zmq_set_keys(hub->socket, options->keys, NULL));
        PT_TRY(pt_zap_open(hub->context, options->allowed, options->allowed_count, &hub->zap));
    }
    return bind_hub(hub, options);
}

pt_status pt_hub_open_zmq(const pt_hub_options *options, pt_hub **out)
{
    PT_TRY(check_options(options));
    allow_many_files();
    zmq_hub *hub = pt_calloc(1, sizeof *hub);
    if (!hub) {
        return PT_NOMEM("a link");
    }
    hub->base.vtable = &zmq_hub_vtable;
    hub->bell.fd = -1;
    hub->hoard_most = (uint64_t)options->message_max + IN_FLIGHT;
    pt_status status = pt_bell_open(&hub->bell);
    if (status.code == PT_OK) {
        status = open_socket(hub, options);
    }
    if (status.code != PT_OK) {
        hub_close(&hub->base);
        return status;
    }
    *out = &hub->base;
    return status;
}

const char *pt_hub_endpoint(const pt_hub *hub)
{
    return hub->vtable == &zmq_hub_vtable ? ((const zmq_hub *)hub)->endpoint : "";
}
