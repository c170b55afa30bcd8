/* Writes the windows that another detector sees, for another program to run on (docs/replay.md). */
#include "worker/detect/detector.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct dump_detector {
    pt_detector base;
    pt_detector *inner;
    char *dir;
} dump_detector;

static pt_status write_failed(const char *path)
{
    return pt_error(errno == ENOSPC || errno == EDQUOT ? PT_E_NOSPACE : PT_E_WRITE, "%s: %s", path,
                    strerror(errno));
}

static pt_status write_ppm(const char *path, const pt_window *window)
{
    FILE *file = fopen(path, "wb");
    if (!file) {
        return write_failed(path);
    }
    size_t size = (size_t)pt_rect_area(window->rect) * 3;
    int head = fprintf(file, "P6\n%lld %lld\n255\n", (long long)window->rect.w, (long long)window->rect.h);
    bool good = head > 0 && fwrite(window->rgb, 1, size, file) == size && fflush(file) == 0;
    pt_status status = good ? pt_ok() : write_failed(path);
    fclose(file);
    return status;
}

static pt_status detect(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out,
                        bool *capped)
{
    dump_detector *d = (dump_detector *)detector;
    char *path = pt_asprintf("%s/%lld.ppm", d->dir, (long long)tile);
    if (!path) {
        return PT_NOMEM("a tile's file name");
    }
    pt_status status = write_ppm(path, window);
    pt_free(path);
    return status.code == PT_OK ? pt_detector_detect(d->inner, tile, window, out, capped) : status;
}

static void close_detector(pt_detector *detector)
{
    dump_detector *d = (dump_detector *)detector;
    pt_detector_free(&d->inner);
    pt_free(d->dir);
    pt_free(d);
}

static const pt_detector_vtable dump_vtable = {.detect = detect, .close = close_detector};

pt_status pt_detector_new_dump(const char *dir, pt_detector *inner, pt_detector **out)
{
    dump_detector *d = pt_calloc(1, sizeof *d);
    char *copy = pt_strdup(dir);
    if (!d || !copy) {
        pt_free(d);
        pt_free(copy);
        return PT_NOMEM("the tile dump");
    }
    d->base.vtable = &dump_vtable;
    d->dir = copy;
    d->inner = inner;
    *out = &d->base;
    return pt_ok();
}

static json_t *describe(const pt_grid *grid, double gsd, const uint8_t fill[3])
{
    json_t *windows = json_array();
    for (int64_t i = 0; windows && i < pt_grid_count(grid); i++) {
        pt_rect w = pt_grid_window(grid, i);
        json_array_append_new(windows, json_pack("{s:I,s:I,s:I,s:I,s:I}", "tile", (json_int_t)i, "x",
                                                 (json_int_t)w.x, "y", (json_int_t)w.y, "width",
                                                 (json_int_t)w.w, "height", (json_int_t)w.h));
    }
    return json_pack("{s:I,s:I,s:f,s:I,s:I,s:[i,i,i],s:o}", "width", (json_int_t)grid->width, "height",
                     (json_int_t)grid->height, "gsd", gsd, "tile", (json_int_t)grid->tile, "overlap",
                     (json_int_t)grid->overlap, "fill", fill[0], fill[1], fill[2], "windows", windows);
}

pt_status pt_dump_describe(const char *dir, const pt_grid *grid, double gsd, const uint8_t fill[3],
                           bool overwrite)
{
    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        return write_failed(dir);
    }
    char *path = pt_asprintf("%s/tiles.json", dir);
    if (!path) {
        return PT_NOMEM("the tile dump");
    }
    pt_status status = pt_ok();
    json_t *root = NULL;
    if (!overwrite && access(path, F_OK) == 0) {
        status =
            pt_error(PT_E_EXISTS, "%s: there is a dump already; name another folder or add --overwrite", dir);
        goto out;
    }
    root = describe(grid, gsd, fill);
    if (!root) {
        status = PT_NOMEM("the tile dump's description");
    } else if (json_dump_file(root, path, JSON_COMPACT | JSON_REAL_PRECISION(12)) != 0) {
        status = write_failed(path);
    }
out:
    json_decref(root);
    pt_free(path);
    return status;
}
