#include "tiling/writer/capture.h"
#include "tiling/writer/partial.h"
#include "tiling/writer/writer.h"

#include <cpl_vsi.h>
#include <errno.h>
#include <gdal.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct pt_overlay {
    uint8_t *rgb; /* width * height * 3 */
    int width, height;
    double scale_x, scale_y;
};

/* Bright colours that differ from roofs and vegetation and from each other, for classes 1, 2, ... in turn. */
static const uint8_t palette[][3] = {{255, 220, 0},  {0, 220, 255},  {255, 64, 200}, {120, 255, 60},
                                     {255, 130, 20}, {90, 130, 255}, {255, 80, 80},  {200, 255, 220}};
enum { FILL_PERCENT = 16, HALO_PERCENT = 55, LINE_PIXELS = 2, HALO_PIXELS = 4 };

static bool overlay_bytes(int width, int height, size_t *out)
{
    size_t pixels;
    return width > 0 && height > 0 && pt_size_mul((size_t)width, (size_t)height, &pixels) &&
           pt_size_mul(pixels, 3, out);
}

pt_status pt_overlay_new(const uint8_t *rgb, int width, int height, double scale_x, double scale_y,
                         pt_overlay **out)
{
    size_t bytes;
    if (!overlay_bytes(width, height, &bytes) || !(scale_x > 0) || !(scale_y > 0) || !isfinite(scale_x) ||
        !isfinite(scale_y)) {
        return pt_error(PT_E_USAGE, "an overlay of %d x %d pixels at scale %g, %g is impossible", width,
                        height, scale_x, scale_y);
    }
    pt_overlay *overlay = pt_calloc(1, sizeof *overlay);
    uint8_t *copy = pt_alloc(bytes, 1);
    if (!overlay || !copy) {
        pt_free(overlay);
        pt_free(copy);
        return PT_NOMEM("an overlay picture");
    }
    memcpy(copy, rgb, bytes);
    *overlay = (pt_overlay){copy, width, height, scale_x, scale_y};
    *out = overlay;
    return pt_ok();
}

static void blend(pt_overlay *o, int x, int y, const uint8_t colour[3], int percent)
{
    uint8_t *pixel = o->rgb + ((size_t)y * (size_t)o->width + (size_t)x) * 3;
    for (int c = 0; c < 3; c++) {
        pixel[c] = (uint8_t)((pixel[c] * (100 - percent) + colour[c] * percent + 50) / 100);
    }
}

static int clamp(double v, int last)
{
    return v < 0 ? 0 : v > last ? last : (int)v;
}

static int compare_doubles(const void *a, const void *b)
{
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

/* Where the polygon's rings cross the line y, in picture pixels. */
static size_t crossings(const pt_overlay *o, const pt_polygon *polygon, double y, double *x)
{
    size_t count = 0;
    for (size_t r = 0; r < polygon->count; r++) {
        const pt_ring *ring = &polygon->rings[r];
        for (size_t i = 0; i + 1 < ring->count; i++) {
            const double *a = ring->xy + 2 * i, *b = a + 2;
            double ay = a[1] * o->scale_y, by = b[1] * o->scale_y;
            if ((ay > y) != (by > y)) {
                x[count++] = (a[0] + (y - ay) / (by - ay) * (b[0] - a[0])) * o->scale_x;
            }
        }
    }
    return count;
}

static void fill_row(pt_overlay *o, int y, const double *x, size_t count, const uint8_t colour[3])
{
    for (size_t i = 0; i + 1 < count; i += 2) {
        /* pixels whose centres lie between */
        int from = clamp(ceil(x[i] - 0.5), o->width), to = clamp(ceil(x[i + 1] - 0.5), o->width);
        for (int k = from; k < to; k++) {
            blend(o, k, y, colour, FILL_PERCENT);
        }
    }
}

static pt_status fill(pt_overlay *o, const pt_polygon *polygon, const uint8_t colour[3])
{
    size_t points = 0;
    double top = INFINITY, bottom = -INFINITY;
    for (size_t r = 0; r < polygon->count; r++) {
        points += polygon->rings[r].count;
    }
    for (size_t i = 0; i < polygon->rings[0].count; i++) {
        double y = polygon->rings[0].xy[2 * i + 1] * o->scale_y;
        top = fmin(top, y);
        bottom = fmax(bottom, y);
    }
    double *x = pt_alloc(points, sizeof *x);
    if (!x) {
        return PT_NOMEM("an overlay's fill");
    }
    int last = clamp(ceil(bottom), o->height);
    for (int y = clamp(floor(top), o->height); y < last; y++) {
        size_t count = crossings(o, polygon, y + 0.5, x);
        qsort(x, count, sizeof *x, compare_doubles);
        fill_row(o, y, x, count, colour);
    }
    pt_free(x);
    return pt_ok();
}

static void stamp(pt_overlay *o, double x, double y, int size, const uint8_t colour[3], int percent)
{
    int left = (int)floor(x - size / 2.0 + 0.5), top = (int)floor(y - size / 2.0 + 0.5);
    for (int j = top < 0 ? 0 : top; j < top + size && j < o->height; j++) {
        for (int i = left < 0 ? 0 : left; i < left + size && i < o->width; i++) {
            blend(o, i, j, colour, percent);
        }
    }
}

/* Cuts the parameter range in which a + t * d lies between low and high. */
static void clip(double a, double d, double low, double high, double *from, double *to)
{
    if (d == 0) {
        if (a < low || a > high) {
            *to = -1;
        }
        return;
    }
    double t0 = (low - a) / d, t1 = (high - a) / d;
    *from = fmax(*from, fmin(t0, t1));
    *to = fmin(*to, fmax(t0, t1));
}

static void line(pt_overlay *o, const double *a, const double *b, int size, const uint8_t colour[3],
                 int percent)
{
    double ax = a[0] * o->scale_x, ay = a[1] * o->scale_y;
    double dx = b[0] * o->scale_x - ax, dy = b[1] * o->scale_y - ay;
    double length = fmax(fabs(dx), fabs(dy)), from = 0, to = 1;
    clip(ax, dx, -size, o->width + size, &from, &to);
    clip(ay, dy, -size, o->height + size, &from, &to);
    if (!(to >= from)) {
        return;
    }
    int steps = (int)ceil((to - from) * length) + 1;
    for (int i = 0; i <= steps; i++) {
        double t = from + (to - from) * i / steps;
        stamp(o, ax + t * dx, ay + t * dy, size, colour, percent);
    }
}

static void outline(pt_overlay *o, const pt_polygon *polygon, int size, const uint8_t colour[3], int percent)
{
    for (size_t r = 0; r < polygon->count; r++) {
        const pt_ring *ring = &polygon->rings[r];
        for (size_t i = 0; i + 1 < ring->count; i++) {
            line(o, ring->xy + 2 * i, ring->xy + 2 * i + 2, size, colour, percent);
        }
    }
}

pt_status pt_overlay_draw(pt_overlay *overlay, const pt_feature *feature)
{
    static const uint8_t dark[3] = {20, 20, 20};
    size_t colours = sizeof palette / sizeof *palette;
    const uint8_t *colour = palette[(uint32_t)(feature->class_id - 1) % colours];
    for (size_t p = 0; p < feature->count; p++) {
        PT_TRY(fill(overlay, &feature->polygons[p], colour));
        outline(overlay, &feature->polygons[p], HALO_PIXELS, dark, HALO_PERCENT);
        outline(overlay, &feature->polygons[p], LINE_PIXELS, colour, 100);
    }
    return pt_ok();
}

/* The picture as a PNG in GDAL's memory file `name`. */
static bool encode(const pt_overlay *o, const char *name)
{
    GDALDriverH memory = GDALGetDriverByName("MEM"), png = GDALGetDriverByName("PNG");
    GDALDatasetH copy = NULL,
                 picture = memory ? GDALCreate(memory, "", o->width, o->height, 3, GDT_Byte, NULL) : NULL;
    if (picture && png &&
        GDALDatasetRasterIO(picture, GF_Write, 0, 0, o->width, o->height, o->rgb, o->width, o->height,
                            GDT_Byte, 3, NULL, 3, 3 * o->width, 1) == CE_None) {
        copy = GDALCreateCopy(png, name, picture, FALSE, NULL, NULL, NULL);
    }
    bool made = copy != NULL;
    GDALClose(copy);
    GDALClose(picture);
    return made;
}

/* Through memory, since GDAL would not tell of every write that fails. */
static pt_status copy_out(const pt_partial *partial, const char *name)
{
    vsi_l_offset length = 0;
    const uint8_t *bytes = VSIGetMemFileBuffer(name, &length, FALSE);
    FILE *file = fopen(partial->temp, "wb");
    if (!file) {
        return pt_partial_failed(partial, errno, "");
    }
    errno = 0;
    bool written = bytes && fwrite(bytes, 1, (size_t)length, file) == length;
    int error = errno;
    if (fclose(file) != 0 && written) {
        written = false;
        error = errno;
    }
    return written ? pt_ok() : pt_partial_failed(partial, error, "");
}

pt_status pt_overlay_check(const char *path)
{
    const char *ending = strrchr(path, '.');
    return ending && strcasecmp(ending, ".png") == 0
               ? pt_ok()
               : pt_error(PT_E_USAGE, "%s: an overlay is a PNG picture; end its name in .png", path);
}

pt_status pt_overlay_save(pt_overlay *overlay, const char *path, bool overwrite)
{
    PT_TRY(pt_overlay_check(path));
    GDALAllRegister();
    pt_partial partial = {0};
    pt_capture capture;
    pt_status status;
    char name[64];
    snprintf(name, sizeof name, "/vsimem/pantile-overlay-%p.png", (void *)overlay);
    pt_capture_begin(&capture);
    PT_TRY_OUT(pt_partial_open(path, overwrite, &partial));
    if (!encode(overlay, name)) {
        status = pt_error(PT_E_WRITE, "%s: GDAL cannot make a PNG: %s", path, capture.message);
        goto out;
    }
    PT_TRY_OUT(copy_out(&partial, name));
    status = pt_partial_commit(&partial);
out:
    VSIUnlink(name);
    pt_partial_close(&partial);
    pt_capture_end();
    return status;
}

void pt_overlay_free(pt_overlay **overlay)
{
    if (*overlay) {
        pt_free((*overlay)->rgb);
        pt_free(*overlay);
        *overlay = NULL;
    }
}
