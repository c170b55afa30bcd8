#include "coordinator/service/metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One scrape every few seconds from one or two servers is what this is for. */
enum {
    CONNECTIONS_MAX = 32,
    CONNECTION_MEMORY = 16 << 10, /* bytes: a longer request is refused */
    IDLE_SECONDS = 10,
};

/* Not constant, for the library's sake: it takes what it sends as something to change. */
static char text_ok[] = "ok\n", text_elsewhere[] = "there are /metrics and /healthz\n",
            text_method[] = "only GET and HEAD\n", text_memory[] = "out of memory\n";

struct pt_metrics {
    struct MHD_Daemon *daemon;
    pt_metrics_look *look;
    void *user;
    pt_control_snapshot snapshot; /* of the server's one thread */
};

static enum MHD_Result reply(struct MHD_Connection *connection, unsigned status,
                             struct MHD_Response *response, const char *type)
{
    if (!response) {
        return MHD_NO; /* the connection is closed */
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    enum MHD_Result result = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned status, char *text)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_PERSISTENT);
    return reply(connection, status, response, "text/plain; charset=utf-8");
}

static enum MHD_Result reply_metrics(pt_metrics *m, struct MHD_Connection *connection)
{
    char *text = NULL;
    m->look(m->user, &m->snapshot);
    if (pt_metrics_render(&m->snapshot, &text).code != PT_OK) {
        return reply_text(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, text_memory);
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(strlen(text), text, pt_free);
    if (!response) {
        pt_free(text);
    }
    return reply(connection, MHD_HTTP_OK, response, "text/plain; version=0.0.4; charset=utf-8");
}

static enum MHD_Result answer(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_size, void **state)
{
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)state;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
        return reply_text(connection, MHD_HTTP_METHOD_NOT_ALLOWED, text_method);
    }
    if (strcmp(url, "/metrics") == 0) {
        return reply_metrics(user, connection);
    }
    if (strcmp(url, "/healthz") == 0) {
        return reply_text(connection, MHD_HTTP_OK, text_ok);
    }
    return reply_text(connection, MHD_HTTP_NOT_FOUND, text_elsewhere);
}

static pt_status bad_address(const char *address, const char *why)
{
    return pt_error(PT_E_USAGE, "metrics address %s: %s; it is HOST:PORT, such as 127.0.0.1:9464", address,
                    why);
}

/* "HOST:PORT", "[HOST]:PORT", ":PORT" and "PORT"; the last two on loopback. Hosts are numbers: which of its
 * addresses a machine serves on is not for a name server to say. */
static pt_status resolve(const char *address, struct addrinfo **out)
{
    char host[256] = "127.0.0.1";
    const char *colon = strrchr(address, ':');
    const char *port = colon ? colon + 1 : address;
    size_t length = colon ? (size_t)(colon - address) : 0;
    size_t brackets = length >= 2 && address[0] == '[' && colon[-1] == ']' ? 2 : 0;
    if (length - brackets >= sizeof host) {
        return bad_address(address, "the host is too long");
    }
    if (length > 0) {
        snprintf(host, sizeof host, "%.*s", (int)(length - brackets), address + brackets / 2);
    }
    if (port[0] == '\0' || strlen(port) > 5 || strspn(port, "0123456789") != strlen(port) ||
        strtol(port, NULL, 10) > UINT16_MAX) {
        return bad_address(address, "the port is no number up to 65535");
    }
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    int error = getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port, &hints, out);
    return error ? bad_address(address, gai_strerror(error)) : pt_ok();
}

static struct MHD_Daemon *start(pt_metrics *m, const struct addrinfo *where)
{
    /* Not epoll: at the limit it notices a connection that ended only at the next timeout. */
    unsigned flags = MHD_USE_POLL_INTERNAL_THREAD;
    if (where->ai_family == AF_INET6) {
        flags |= MHD_USE_IPv6;
    }
    errno = 0;
    return MHD_start_daemon(flags, 0, NULL, NULL, answer, m, MHD_OPTION_SOCK_ADDR, where->ai_addr,
                            MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_SECONDS, MHD_OPTION_END);
}

pt_status pt_metrics_open(const char *address, pt_metrics_look *look, void *user, pt_metrics **out)
{
    struct addrinfo *where = NULL;
    PT_TRY(resolve(address, &where));
    pt_status status = pt_ok();
    pt_metrics *m = pt_calloc(1, sizeof *m);
    if (!m) {
        status = PT_NOMEM("the metrics' server");
        goto out;
    }
    m->look = look;
    m->user = user;
    m->daemon = start(m, where);
    if (!m->daemon) {
        status = bad_address(address, errno ? strerror(errno) : "the server does not start");
        goto out;
    }
    *out = m;
    m = NULL;
out:
    freeaddrinfo(where);
    pt_free(m);
    return status;
}

int pt_metrics_port(const pt_metrics *m)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

void pt_metrics_close(pt_metrics **metrics)
{
    if (metrics && *metrics) {
        MHD_stop_daemon((*metrics)->daemon);
        pt_free(*metrics);
        *metrics = NULL;
    }
}
