#include "worker/detect/detector.h"
#include "worker/detect/place.h"
#include "worker/detect/replay_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { FILE_MAX = 1 << 30 }; /* bytes; 100,000 masks of 28 x 28 as text stay below */

typedef struct replay_detector {
    pt_detector base;
    char *dir;
    double min_score;
    pt_placer placer;
} replay_detector;

static pt_status read_file(const char *path, char **text, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        return pt_error(
            PT_E_INPUT,
            "%s: %s; let the other program write one file for each tile of the dump (docs/replay.md)", path,
            strerror(errno));
    }
    pt_status status = pt_ok();
    char *buffer = NULL;
    size_t capacity = 0;
    size_t used = 0;
    size_t got;
    do {
        PT_TRY_OUT(pt_grow(&buffer, &capacity, used + 65536, 1));
        got = fread(buffer + used, 1, capacity - used, file);
        used += got;
        if (used > FILE_MAX) {
            status = pt_error(PT_E_INPUT, "%s: larger than 1 GiB", path);
            goto out;
        }
    } while (got > 0);
    if (ferror(file)) {
        status = pt_error(PT_E_READ, "%s: %s", path, strerror(errno));
        goto out;
    }
    *text = buffer;
    *size = used;
    buffer = NULL;
out:
    pt_free(buffer);
    fclose(file);
    return status;
}

static pt_status load(const char *path, int64_t tile, const pt_window *window, pt_replay_tile *out)
{
    char *text = NULL;
    size_t size = 0;
    PT_TRY(read_file(path, &text, &size));
    pt_status status = pt_replay_parse(text, size, tile, (int)window->rect.w, (int)window->rect.h, out);
    pt_free(text);
    return pt_context(status, "%s", path);
}

static pt_status detect(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out,
                        bool *capped)
{
    replay_detector *d = (replay_detector *)detector;
    (void)capped;
    char *path = pt_asprintf("%s/%lld.json", d->dir, (long long)tile);
    if (!path) {
        return PT_NOMEM("a replay file's name");
    }
    pt_replay_tile replay = {0};
    pt_status status = load(path, tile, window, &replay);
    pt_free(path);
    for (size_t i = 0; status.code == PT_OK && i < replay.count; i++) {
        if ((double)replay.items[i].score >= d->min_score) {
            status = pt_place_detection(&d->placer, window, &replay.items[i], replay.mask_sizes[i], out);
        }
    }
    pt_replay_tile_fini(&replay);
    return status;
}

static void close_detector(pt_detector *detector)
{
    replay_detector *d = (replay_detector *)detector;
    pt_placer_fini(&d->placer);
    pt_free(d->dir);
    pt_free(d);
}

static const pt_detector_vtable replay_vtable = {.detect = detect, .close = close_detector};

pt_status pt_detector_new_replay(const char *dir, pt_rect scene, double min_score, pt_detector **out)
{
    replay_detector *d = pt_calloc(1, sizeof *d);
    char *copy = pt_strdup(dir);
    if (!d || !copy) {
        pt_free(d);
        pt_free(copy);
        return PT_NOMEM("the replay");
    }
    d->base.vtable = &replay_vtable;
    d->dir = copy;
    d->min_score = min_score;
    d->placer.scene = scene;
    *out = &d->base;
    return pt_ok();
}
