/* Key files on hostile bytes: what is taken is a pair (or a list) that is written the same when saved. */
#include "coordinator/protocol/keys.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One temporary file, written anew for each input; its name is gone at once. */
static int content(const uint8_t *data, size_t size)
{
    static int fd = -1;
    if (fd < 0) {
        char path[] = "/dev/shm/pantile-fuzz-keys-XXXXXX"; /* in memory: disks take milliseconds */
        fd = mkstemp(path);
        unlink(path);
    }
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, data, size, 0) != (ssize_t)size ||
        lseek(fd, 0, SEEK_SET) != 0) {
        abort();
    }
    return fd;
}

static void check_pair(int fd)
{
    pt_key_pair keys, back;
    pt_public_key server, server_back;
    bool has = false;
    bool has_back = false;
    pt_status status = pt_keys_load_fd(fd, &keys, &server, &has);
    if (status.code == PT_E_INPUT) {
        return;
    }
    int pipe_fd = -1;
    if (status.code != PT_OK || pt_keys_to_fd(&keys, has ? &server : NULL, &pipe_fd).code != PT_OK ||
        pt_keys_load_fd(pipe_fd, &back, &server_back, &has_back).code != PT_OK) {
        abort();
    }
    if (memcmp(&keys, &back, sizeof keys) != 0 || has != has_back ||
        (has && strcmp(server.text, server_back.text) != 0)) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd = content(data, size);
    check_pair(dup(fd));
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    pt_public_key *list = NULL;
    size_t count = 0;
    pt_status status = pt_public_keys_load(path, &list, &count);
    if (status.code != PT_E_INPUT && (status.code != PT_OK || count == 0)) {
        abort();
    }
    for (size_t i = 0; i < count; i++) {
        if (strlen(list[i].text) != PT_KEY_TEXT - 1) {
            abort();
        }
    }
    pt_free(list);
    return 0;
}
