#include "coordinator/protocol/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

static const char tcp[] = "tcp://";
static const char ipc[] = "ipc://";

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* The host part of "tcp://HOST:PORT", whose length is returned; 0 when there is none. */
static size_t host_of(const char *endpoint, const char **host)
{
    *host = endpoint + strlen(tcp);
    const char *colon = strrchr(*host, ':');
    return colon && colon[1] ? (size_t)(colon - *host) : 0;
}

/* libzmq takes 65536 and more for what is left of it in 16 bits. */
static bool is_port(const char *text)
{
    char *end;
    bool digit = text[0] >= '0' && text[0] <= '9';
    return strcmp(text, "*") == 0 || (digit && strtoul(text, &end, 10) <= UINT16_MAX && *end == '\0');
}

static bool is_loopback(const char *host, size_t length)
{
    char text[INET6_ADDRSTRLEN];
    struct in_addr address;
    if (length == strlen("localhost") && strncmp(host, "localhost", length) == 0) {
        return true;
    }
    if (length == strlen("[::1]") && strncmp(host, "[::1]", length) == 0) {
        return true;
    }
    if (length >= sizeof text) {
        return false;
    }
    memcpy(text, host, length);
    text[length] = '\0';
    return inet_pton(AF_INET, text, &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

pt_status pt_endpoint_check(const char *endpoint, bool *exposed)
{
    if (begins(endpoint, ipc) && endpoint[strlen(ipc)] != '\0') {
        *exposed = endpoint[strlen(ipc)] == '@'; /* no file whose permissions would keep others out */
        return pt_ok();
    }
    const char *host;
    size_t length = begins(endpoint, tcp) ? host_of(endpoint, &host) : 0;
    if (length == 0) {
        return pt_error(PT_E_USAGE, "%s is no endpoint: use tcp://HOST:PORT or ipc://PATH", endpoint);
    }
    if (!is_port(host + length + 1)) {
        return pt_error(PT_E_USAGE, "%s: the port is no number up to 65535", endpoint);
    }
    *exposed = !is_loopback(host, length);
    return pt_ok();
}

pt_status pt_endpoint_refused(const char *endpoint, int error)
{
    static const struct {
        int error;
        pt_code code;
        const char *remedy;
    } known[] = {
        {EADDRINUSE, PT_E_EXISTS, "another program does; choose another port, or stop it first"},
        {EADDRNOTAVAIL, PT_E_USAGE,
         "this machine has no such address; tcp://0.0.0.0:PORT stands for all that it has"},
        {ENODEV, PT_E_USAGE,
         "no address or interface of this machine has that name; tcp://0.0.0.0:PORT stands for all"},
        {EACCES, PT_E_USAGE, "that is not allowed; choose a port above 1023, or another folder"},
        {ENOENT, PT_E_USAGE, "the folder of that path does not exist; create it first"},
        {ENAMETOOLONG, PT_E_USAGE, "the path is too long for a socket; choose a shorter one"},
        {EMFILE, PT_E_NOMEM, "too many files are open; raise ulimit -n"},
        {ENFILE, PT_E_NOMEM, "too many files are open on this machine"},
        {ENOMEM, PT_E_NOMEM, "out of memory"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (known[i].error == error) {
            return pt_error(known[i].code, "cannot listen at %s: %s", endpoint, known[i].remedy);
        }
    }
    return pt_error(PT_E_USAGE, "cannot listen at %s: %s", endpoint, zmq_strerror(error));
}

bool pt_endpoint_is_ipv6(const char *endpoint)
{
    return begins(endpoint, "tcp://[");
}

/* Whether a program listens at the socket. When that cannot be found out, it may. */
static bool is_in_use(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool refused = fd >= 0 &&
                   connect(fd, (const struct sockaddr *)(const void *)address, sizeof *address) != 0 &&
                   errno == ECONNREFUSED;
    if (fd >= 0) {
        close(fd);
    }
    return !refused;
}

pt_status pt_endpoint_free(const char *endpoint)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat about;
    const char *path = begins(endpoint, ipc) ? endpoint + strlen(ipc) : "*";
    bool named = path[0] != '*' && path[0] != '@'; /* libzmq chooses one that is free; not a file */
    if (!named || strlen(path) >= sizeof address.sun_path || lstat(path, &about) != 0) {
        return pt_ok();
    }
    if (!S_ISSOCK(about.st_mode)) {
        return pt_error(PT_E_EXISTS, "cannot listen at %s: a file is in the way; choose another path",
                        endpoint);
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    return is_in_use(&address)
               ? pt_error(PT_E_EXISTS,
                          "cannot listen at %s: another program does; choose another path, or "
                          "stop it first",
                          endpoint)
               : pt_ok();
}

static bool is_loopback_address(const struct sockaddr *address)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
    return ntohl(in->sin_addr.s_addr) >> 24 == 127;
}

static void write_address(const struct sockaddr *address, char out[INET_ADDRSTRLEN])
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
    inet_ntop(AF_INET, &in->sin_addr, out, INET_ADDRSTRLEN);
}

static bool address_of_name(char out[INET_ADDRSTRLEN])
{
    char name[256];
    if (gethostname(name, sizeof name) != 0) {
        return false;
    }
    name[sizeof name - 1] = '\0';
    struct addrinfo wanted = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(name, NULL, &wanted, &found) != 0) {
        return false;
    }
    bool good = false;
    for (const struct addrinfo *a = found; a && !good; a = a->ai_next) {
        good = !is_loopback_address(a->ai_addr);
        if (good) {
            write_address(a->ai_addr, out);
        }
    }
    freeaddrinfo(found);
    return good;
}

static bool address_of_interface(char out[INET_ADDRSTRLEN])
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        return false;
    }
    bool good = false;
    for (const struct ifaddrs *i = all; i && !good; i = i->ifa_next) {
        good = i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
               !is_loopback_address(i->ifa_addr);
        if (good) {
            write_address(i->ifa_addr, out);
        }
    }
    freeifaddrs(all);
    return good;
}

pt_status pt_endpoint_reachable(const char *bound, char **out)
{
    const char *host = bound;
    size_t length = begins(bound, tcp) ? host_of(bound, &host) : 0;
    bool wildcard = (length == strlen("0.0.0.0") && begins(host, "0.0.0.0")) ||
                    (length == strlen("[::]") && begins(host, "[::]"));
    char address[INET_ADDRSTRLEN] = "127.0.0.1";
    if (wildcard && !address_of_name(address)) {
        address_of_interface(address);
    }
    char *text = wildcard ? pt_asprintf("%s%s%s", tcp, address, host + length) : pt_strdup(bound);
    if (!text) {
        return PT_NOMEM("an endpoint");
    }
    *out = text;
    return pt_ok();
}
