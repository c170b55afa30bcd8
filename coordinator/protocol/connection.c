#include "coordinator/protocol/connection.h"

#include <dirent.h>
#include <linux/tcp.h> /* glibc's tcp_info lacks the bytes received */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

bool pt_connection_is_of(int fd, int port)
{
    struct sockaddr_storage own = {0};
    struct sockaddr_storage other;
    socklen_t length = sizeof own;
    socklen_t other_length = sizeof other;
    if (getsockname(fd, (struct sockaddr *)&own, &length) != 0 ||
        getpeername(fd, (struct sockaddr *)&other, &other_length) != 0) {
        return false;
    }
    switch (own.ss_family) {
    case AF_INET:
        return port > 0 && ntohs(((struct sockaddr_in *)&own)->sin_port) == port;
    case AF_INET6:
        return port > 0 && ntohs(((struct sockaddr_in6 *)&own)->sin6_port) == port;
    default:
        return port == 0 && own.ss_family == AF_UNIX;
    }
}

typedef struct pt_hoard_entry {
    uint64_t bytes; /* received up to the scan after the last complete message */
    bool finished;  /* a complete message since the last scan */
} pt_hoard_entry;

/* NULL when there is no memory: then this one is looked at another time. */
static pt_hoard_entry *entry_of(pt_hoard *hoard, int fd)
{
    size_t wanted = (size_t)fd + 1;
    if (pt_grow(&hoard->entries, &hoard->capacity, wanted, sizeof *hoard->entries).code != PT_OK) {
        return NULL;
    }
    for (; hoard->count < wanted; hoard->count++) {
        hoard->entries[hoard->count] = (pt_hoard_entry){0};
    }
    return &hoard->entries[fd];
}

void pt_hoard_finished(pt_hoard *hoard, int fd)
{
    pt_hoard_entry *entry = fd >= 0 ? entry_of(hoard, fd) : NULL;
    if (entry) {
        entry->finished = true;
    }
}

static bool scan_one(pt_hoard *hoard, int fd, uint64_t most)
{
    struct tcp_info info = {0};
    socklen_t length = sizeof info;
    pt_hoard_entry *entry = entry_of(hoard, fd);
    if (!entry || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) {
        return false;
    }
    uint64_t bytes = info.tcpi_bytes_received;
    if (bytes < entry->bytes) { /* another connection than last time */
        entry->bytes = 0;
    }
    bool too_much = !entry->finished && bytes - entry->bytes > most;
    if (entry->finished) {
        *entry = (pt_hoard_entry){.bytes = bytes};
    }
    if (too_much) {
        shutdown(fd, SHUT_RDWR);
    }
    return too_much;
}

int pt_hoard_scan(pt_hoard *hoard, int port, uint64_t most)
{
    DIR *files = opendir("/proc/self/fd");
    if (!files) {
        return 0;
    }
    int ended = 0;
    for (const struct dirent *file = readdir(files); file; file = readdir(files)) {
        int fd = file->d_name[0] == '.' ? -1 : (int)strtol(file->d_name, NULL, 10);
        if (fd >= 0 && pt_connection_is_of(fd, port)) {
            ended += scan_one(hoard, fd, most);
        }
    }
    closedir(files);
    return ended;
}

void pt_hoard_fini(pt_hoard *hoard)
{
    pt_free(hoard->entries);
    *hoard = (pt_hoard){0};
}
