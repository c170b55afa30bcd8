#include "sample.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <cpl_conv.h>
#include <dirent.h>
#include <fcntl.h>
#include <gdal.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

char scratch[64];

int scratch_make(void **state)
{
    (void)state;
    GDALAllRegister();
    strcpy(scratch, "/tmp/pantile-writer-XXXXXX");
    return mkdtemp(scratch) ? 0 : 1;
}

static size_t each_file(bool remove)
{
    size_t count = 0;
    DIR *listing = opendir(scratch);
    for (struct dirent *e = readdir(listing); e; e = readdir(listing)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            count++;
            if (remove && unlinkat(dirfd(listing), e->d_name, 0) != 0) {
                unlinkat(dirfd(listing), e->d_name, AT_REMOVEDIR);
            }
        }
    }
    closedir(listing);
    return count;
}

void scratch_clear(void)
{
    each_file(true);
}

int scratch_remove(void **state)
{
    (void)state;
    umount2(scratch_path("disk"), MNT_DETACH); /* in case that test failed */
    scratch_clear();
    return rmdir(scratch);
}

size_t scratch_files(void)
{
    return each_file(false);
}

const char *scratch_path(const char *name)
{
    static char paths[4][200];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch, name);
    return path;
}

pt_georef sample_georef(int epsg, double x, double y, double pixel)
{
    pt_georef georef = {.transform = {x, pixel, 0, y, 0, -pixel}};
    if (epsg) {
        OGRSpatialReferenceH crs = OSRNewSpatialReference(NULL);
        OSRImportFromEPSG(crs, epsg);
        char *wkt = NULL;
        OSRExportToWktEx(crs, &wkt, (const char *const[]){"FORMAT=WKT2_2019", NULL});
        georef.wkt = strdup(wkt);
        CPLFree(wkt);
        OSRDestroySpatialReference(crs);
    }
    return georef;
}

void sample_georef_free(pt_georef *georef)
{
    free(georef->wkt);
    georef->wkt = NULL;
}

void sample_add_ring(pt_feature *feature, size_t polygon, const double *xy, size_t count)
{
    if (polygon == feature->count) {
        feature->polygons = pt_realloc(feature->polygons, ++feature->count, sizeof *feature->polygons);
        feature->polygons[polygon] = (pt_polygon){0};
    }
    pt_polygon *p = &feature->polygons[polygon];
    p->rings = pt_realloc(p->rings, p->count + 1, sizeof *p->rings);
    p->rings[p->count] = (pt_ring){pt_alloc(count, 2 * sizeof *xy), count};
    memcpy(p->rings[p->count++].xy, xy, count * 2 * sizeof *xy);
}

static void add_rectangle(pt_feature *feature, size_t polygon, double x, double y, double w, double h)
{
    /* counter-clockwise on the screen: down the left side first */
    double exterior[] = {x, y, x, y + h, x + w, y + h, x + w, y, x, y};
    double hole[] = {x, y, x + w, y, x + w, y + h, x, y + h, x, y};
    bool first = polygon == feature->count;
    sample_add_ring(feature, polygon, first ? exterior : hole, 5);
}

pt_feature sample_feature(double x, double y, double w, double h)
{
    pt_feature f = {.class_id = 1, .score_q = 65535, .tiles = 1, .truncated = true};
    add_rectangle(&f, 0, x, y, w, h);
    add_rectangle(&f, 0, x + w / 3, y + h / 3, w / 3, h / 3);
    return f;
}

pt_feature sample_pair(double x, double y, double w, double h)
{
    pt_feature f = {.class_id = 2, .score_q = 32768, .tiles = 3, .merged = true};
    add_rectangle(&f, 0, x, y, w, h);
    add_rectangle(&f, 1, x + 2 * w, y, w, h);
    return f;
}

static double ring_area(OGRGeometryH ring)
{
    double twice = 0;
    int n = OGR_G_GetPointCount(ring);
    double x0 = OGR_G_GetX(ring, 0), y0 = OGR_G_GetY(ring, 0);
    for (int i = 0; i + 1 < n; i++) {
        twice += (OGR_G_GetX(ring, i) - x0) * (OGR_G_GetY(ring, i + 1) - y0) -
                 (OGR_G_GetX(ring, i + 1) - x0) * (OGR_G_GetY(ring, i) - y0);
    }
    return twice / 2;
}

bool wound_right(OGRGeometryH geometry)
{
    bool polygon = wkbFlatten(OGR_G_GetGeometryType(geometry)) == wkbPolygon;
    for (int i = 0; i < OGR_G_GetGeometryCount(geometry); i++) {
        OGRGeometryH part = OGR_G_GetGeometryRef(geometry, i);
        if (polygon ? (ring_area(part) > 0) != (i == 0) : !wound_right(part)) {
            return false;
        }
    }
    return true;
}

static char *read_all(const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    char *text = malloc(1 << 20);
    *length = file ? fread(text, 1, 1 << 20, file) : 0;
    if (file) {
        fclose(file);
    }
    return text;
}

bool same_bytes(const char *path, const char *other)
{
    size_t a, b;
    char *p = read_all(path, &a), *q = read_all(other, &b);
    bool same = a > 0 && a == b && memcmp(p, q, a) == 0;
    free(p);
    free(q);
    return same;
}

void must(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}
