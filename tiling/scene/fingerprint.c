#define _LARGEFILE64_SOURCE 1 /* GDAL's offsets are 64 bits wide */
#include "tiling/scene/internal.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <string.h>

/* Over the network each sample costs a request, and the ends are in GDAL's cache after the opening. */
enum {
    END_BYTES = 64 << 10,
    SAMPLE_BYTES = 4 << 10,
    SAMPLES_LOCAL = 64,
    SAMPLES_REMOTE = 8,
};

typedef struct reading {
    VSILFILE *file;
    const char *name;
    uint8_t *bytes; /* END_BYTES of scratch */
    pt_sha256 *sha;
} reading;

static pt_status add_span(reading *r, uint64_t from, size_t size)
{
    if (VSIFSeekL(r->file, from, SEEK_SET) != 0 || VSIFReadL(r->bytes, 1, size, r->file) != size) {
        return pt_error(PT_E_INPUT, "%s: %zu bytes at %llu cannot be read; it may be cut short, or changing",
                        r->name, size, (unsigned long long)from);
    }
    pt_sha256_update(r->sha, r->bytes, size);
    return pt_ok();
}

static pt_status add_samples(reading *r, uint64_t size)
{
    uint8_t length[8];
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)(size >> (8 * i));
    }
    pt_sha256_update(r->sha, length, sizeof length);
    if (size <= (uint64_t)2 * END_BYTES) {
        uint64_t half = size / 2;
        PT_TRY(add_span(r, 0, (size_t)half));
        return add_span(r, half, (size_t)(size - half));
    }
    PT_TRY(add_span(r, 0, END_BYTES));
    uint64_t samples = pt_gdal_is_local(r->name) ? SAMPLES_LOCAL : SAMPLES_REMOTE;
    uint64_t between = size - (uint64_t)2 * END_BYTES;
    size_t each = between < SAMPLE_BYTES ? (size_t)between : SAMPLE_BYTES;
    for (uint64_t i = 0; i < samples; i++) {
        /* (between - each) * i may not fit when files are larger than 2^57 bytes; none are. */
        PT_TRY(add_span(r, END_BYTES + (between - each) * i / (samples - 1), each));
    }
    return add_span(r, size - END_BYTES, END_BYTES);
}

static pt_status add_all(reading *r, uint64_t size)
{
    for (uint64_t at = 0; at < size; at += END_BYTES) {
        PT_TRY(add_span(r, at, size - at < END_BYTES ? (size_t)(size - at) : END_BYTES));
    }
    return pt_ok();
}

static pt_status add_bytes(const char *name, pt_status (*add)(reading *r, uint64_t size), pt_sha256 *sha)
{
    bool is_folder = false;
    uint64_t size = 0;
    if (!pt_gdal_stat(name, &is_folder, &size) || is_folder) {
        return pt_error(PT_E_INPUT, "%s: no such file; check the path", name);
    }
    reading r = {.name = name, .sha = sha, .bytes = pt_alloc(END_BYTES, 1)};
    if (!r.bytes) {
        return PT_NOMEM("a fingerprint");
    }
    pt_status status;
    r.file = VSIFOpenL(name, "rb");
    if (r.file) {
        status = add(&r, size);
        VSIFCloseL(r.file);
    } else {
        status = pt_error(PT_E_INPUT, "%s: cannot be opened; check its access rights", name);
    }
    pt_free(r.bytes);
    return status;
}

static pt_status add_print(void *sha, const char *name)
{
    return add_bytes(name, add_samples, sha);
}

static bool is_note(const char *name)
{
    static const char ending[] = ".aux.xml";
    size_t length = strlen(name);
    return length >= sizeof ending - 1 && EQUAL(name + length - (sizeof ending - 1), ending);
}

typedef struct listing {
    char **names; /* owned, and each; in the order of finding, each once */
    size_t count, capacity;
} listing;

static bool holds(const listing *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++) {
        if (strcmp(l->names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static pt_status add_name(listing *l, const char *name)
{
    if (is_note(name) || holds(l, name)) {
        return pt_ok();
    }
    PT_TRY(pt_grow(&l->names, &l->capacity, l->count + 1, sizeof *l->names));
    char *copy = pt_strdup(name);
    if (!copy) {
        return PT_NOMEM("a file name");
    }
    l->names[l->count++] = copy;
    return pt_ok();
}

/* The file, and those beside it that GDAL reads with it. A VRT's list of files leaves the latter out. */
static pt_status add_file(listing *l, const char *name)
{
    static const char *const beside[] = {".ovr", ".msk"};
    PT_TRY(add_name(l, name));
    for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
        char *other = pt_asprintf("%s%s", name, beside[i]);
        if (!other) {
            return PT_NOMEM("a file name");
        }
        bool is_folder = false;
        uint64_t size = 0;
        pt_status status = pt_gdal_stat(other, &is_folder, &size) ? add_name(l, other) : pt_ok();
        pt_free(other);
        PT_TRY(status);
    }
    return pt_ok();
}

/* Adds the files of a raster, and so those that a VRT names. */
static pt_status add_dataset(listing *l, const char *name, const pt_scene *scene)
{
    GDALDatasetH dataset = NULL;
    PT_TRY(pt_gdal_open(name, scene->shown, (const char *const *)scene->drivers, &dataset));
    pt_gdal_log log;
    pt_gdal_watch(&log);
    char **files = GDALGetFileList(dataset);
    pt_status status = pt_ok();
    for (char **file = files; file && *file && status.code == PT_OK; file++) {
        status = add_file(l, *file);
    }
    CSLDestroy(files);
    GDALClose(dataset);
    pt_gdal_unwatch();
    return status;
}

static bool is_vrt(const char *name)
{
    static const char *const vrt[] = {"VRT", NULL};
    return GDALIdentifyDriverEx(name, GDAL_OF_RASTER, vrt, NULL) != NULL;
}

/* What GDAL's lists of files leave out. */
static pt_status add_named(void *list, const char *name)
{
    const char *file = name + pt_scene_before_file(name);
    bool is_folder = false;
    uint64_t size = 0;
    if (!pt_gdal_stat(file, &is_folder, &size)) {
        return pt_error(PT_E_INPUT, "%.200s: named in a VRT, but no file; name the file itself there", name);
    }
    return add_file(list, file);
}

static pt_status list_files(const pt_scene *scene, listing *l)
{
    PT_TRY(add_dataset(l, scene->name, scene));
    /* Grows while VRTs in it name other files. */
    for (size_t i = 0; i < l->count; i++) {
        if (is_vrt(l->names[i])) {
            PT_TRY(add_dataset(l, l->names[i], scene));
            PT_TRY(pt_scene_named(l->names[i], add_named, l));
        }
    }
    return pt_ok();
}

pt_status pt_scene_files(const pt_scene *scene, pt_scene_file_sink *sink, void *user)
{
    listing l = {0};
    pt_status status = list_files(scene, &l);
    if (status.code == PT_OK && l.count == 0) {
        status = pt_error(PT_E_UNSUPPORTED,
                          "%s: GDAL names no file behind it, so that workers cannot tell "
                          "whether they see the same",
                          scene->shown);
    }
    for (size_t i = 0; i < l.count && status.code == PT_OK; i++) {
        status = sink(user, l.names[i]);
    }
    for (size_t i = 0; i < l.count; i++) {
        pt_free(l.names[i]);
    }
    pt_free(l.names);
    return status;
}

pt_status pt_scene_fingerprint(const pt_scene *scene, uint8_t out[PT_SHA256_BYTES])
{
    pt_sha256 sha;
    pt_sha256_init(&sha);
    PT_TRY(pt_scene_files(scene, add_print, &sha));
    pt_sha256_final(&sha, out);
    return pt_ok();
}

pt_status pt_scene_layer_sha256(const char *path, uint8_t out[PT_SHA256_BYTES])
{
    pt_gdal_start();
    pt_sha256 sha;
    pt_sha256_init(&sha);
    char *name = pt_gdal_name(path);
    if (!name) {
        return PT_NOMEM("a file name");
    }
    pt_status status = add_bytes(name, add_all, &sha);
    pt_free(name);
    if (status.code == PT_OK) {
        pt_sha256_final(&sha, out);
    }
    return status;
}
