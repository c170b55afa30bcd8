#include "coordinator/protocol/door.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char secure_word[] = "secure ", open_word[] = "open ";

pt_status pt_door_pair(int ends[2])
{
    int made[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made) != 0) {
        return pt_error(PT_E_NOMEM, "no socket for a worker: %s", strerror(errno));
    }
    ends[0] = made[0];
    ends[1] = made[1];
    return pt_ok();
}

/* What is told is far less than a socket holds. */
static pt_status send_text(int fd, const char *text, size_t size)
{
    ssize_t sent;
    do {
        sent = send(fd, text, size, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)size
               ? pt_ok()
               : pt_error(PT_E_STOPPED, "a worker cannot be told where to go: %s", strerror(errno));
}

pt_status pt_door_tell(int fd, const char *endpoint, const pt_key_pair *keys, const pt_public_key *server)
{
    char text[sizeof secure_word + PT_DOOR_URL + PT_KEYS_TEXT];
    if (strlen(endpoint) >= PT_DOOR_URL) {
        return pt_error(PT_E_USAGE, "%.40s...: an address of more than %d bytes", endpoint, PT_DOOR_URL - 1);
    }
    int length = snprintf(text, sizeof text, "%s%s\n", keys ? secure_word : open_word, endpoint);
    if (keys) {
        pt_keys_format(keys, server, text + length);
    }
    pt_status status = send_text(fd, text, strlen(text));
    explicit_bzero(text, sizeof text);
    return status;
}

/* One byte at a time: what follows the line is the keys'. */
static pt_status read_line(int fd, void (*waiting)(void *user), void *user, char *out, size_t size)
{
    size_t length = 0;
    while (length < size) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int count = poll(&ready, 1, 1000);
        if (count <= 0) {
            if (waiting) {
                waiting(user);
            }
            continue;
        }
        ssize_t got = read(fd, out + length, 1);
        if (got == 0 || (got < 0 && errno != EINTR)) {
            return pt_error(PT_E_STOPPED, "this worker is not wanted any more");
        }
        if (got > 0 && out[length] == '\n') {
            out[length] = '\0';
            return pt_ok();
        }
        length += got > 0;
    }
    return pt_error(PT_E_INPUT, "where to go: a line of more than %zu bytes", size);
}

pt_status pt_door_hear(int fd, void (*waiting)(void *user), void *user, pt_door *out)
{
    char line[sizeof secure_word + PT_DOOR_URL];
    pt_door door = {.secure = false};
    bool has_server = false;
    pt_status status = read_line(fd, waiting, user, line, sizeof line);
    const char *url = line;
    if (status.code == PT_OK) {
        door.secure = strncmp(line, secure_word, sizeof secure_word - 1) == 0;
        url += door.secure ? sizeof secure_word - 1 : sizeof open_word - 1;
        if ((!door.secure && strncmp(line, open_word, sizeof open_word - 1) != 0) ||
            strlen(url) >= PT_DOOR_URL) {
            status = pt_error(PT_E_INPUT, "where to go: '%.40s' is no address", line);
        }
    }
    if (status.code != PT_OK || !door.secure) {
        close(fd);
    } else {
        status = pt_keys_load_fd(fd, &door.keys, &door.server, &has_server);
    }
    if (status.code == PT_OK) {
        memcpy(door.endpoint, url, strlen(url) + 1);
        *out = door;
    }
    pt_key_pair_wipe(&door.keys);
    return status;
}
