#include "worker/job/worker_job.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct listing {
    char **names; /* owned, and each */
    size_t count, capacity;
} listing;

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_replay(const char *name)
{
    static const char ending[] = ".json";
    size_t length = strlen(name);
    return length >= sizeof ending && strcmp(name + length - (sizeof ending - 1), ending) == 0;
}

static pt_status list_folder(DIR *dir, const char *path, listing *l)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry) {
            return errno ? pt_error(PT_E_READ, "%s: %s", path, strerror(errno)) : pt_ok();
        }
        if (is_replay(entry->d_name)) {
            PT_TRY(pt_grow(&l->names, &l->capacity, l->count + 1, sizeof *l->names));
            if (!(l->names[l->count] = pt_strdup(entry->d_name))) {
                return PT_NOMEM("a file name");
            }
            l->count++;
        }
    }
}

static pt_status add_entry(pt_sha256 *sha, const char *folder, const char *name)
{
    char *path = pt_asprintf("%s/%s", folder, name);
    if (!path) {
        return PT_NOMEM("a path");
    }
    struct stat about;
    pt_status status = pt_ok();
    if (stat(path, &about) != 0) {
        status = pt_error(PT_E_INPUT, "%s: %s", path, strerror(errno));
    } else {
        uint8_t size[8];
        for (int i = 0; i < 8; i++) {
            size[i] = (uint8_t)((uint64_t)about.st_size >> (8 * i));
        }
        pt_sha256_update(sha, name, strlen(name) + 1);
        pt_sha256_update(sha, size, sizeof size);
    }
    pt_free(path);
    return status;
}

static pt_status digest_folder(const char *path, uint8_t out[PT_SHA256_BYTES])
{
    DIR *dir = opendir(path);
    if (!dir) {
        return pt_error(PT_E_INPUT, "%s: %s", path, strerror(errno));
    }
    listing l = {0};
    pt_sha256 sha;
    pt_sha256_init(&sha);
    pt_status status = list_folder(dir, path, &l);
    if (l.count > 1) {
        qsort(l.names, l.count, sizeof *l.names, compare_names);
    }
    for (size_t i = 0; i < l.count && status.code == PT_OK; i++) {
        status = add_entry(&sha, path, l.names[i]);
    }
    for (size_t i = 0; i < l.count; i++) {
        pt_free(l.names[i]);
    }
    pt_free(l.names);
    closedir(dir);
    if (status.code == PT_OK) {
        pt_sha256_final(&sha, out);
    }
    return status;
}

pt_status pt_worker_engine_sha256(pt_engine_kind kind, const char *path, uint8_t out[PT_SHA256_BYTES])
{
    switch (kind) {
    case PT_ENGINE_MODEL:
        return pt_sha256_file(path, out);
    case PT_ENGINE_ORACLE:
        return pt_scene_layer_sha256(path, out);
    case PT_ENGINE_REPLAY:
        return digest_folder(path, out);
    case PT_ENGINE_NULL:
        memset(out, 0, PT_SHA256_BYTES);
        return pt_ok();
    }
    return pt_error(PT_E_USAGE, "no engine is of kind %d", (int)kind);
}
