#include "tiling/scene/internal.h"

#include <cpl_conv.h>
#include <cpl_minixml.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a VRT is made of. GDAL does not tell where a VRT has no file under it, nor which blocks of those files
 * were never written: both read as zeros. It also opens the files with any driver. So the XML is read here.
 */

enum { DEPTH = 8, REMOTE_CHECKS = 256 };

/* A file that the XML names. */
typedef struct leaf {
    char *name;
    bool is_vrt, sparse;
} leaf;

/* From a VRT's pixels to the root's: x * scale + offset, within clip. */
typedef struct mapping {
    double scale_x, offset_x, scale_y, offset_y;
    double clip[4]; /* root pixels: x0, y0, x1, y1 */
} mapping;

typedef struct walk {
    const char *shown; /* the root, for messages */
    const char *const *drivers;
    const int *levels; /* to check: -1 and perhaps an overview */
    int level_count;
    int remote;
    pt_parts *parts;
} walk;

static int compare_leaves(const void *a, const void *b)
{
    const leaf *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static char *resolve(const CPLXMLNode *file, const char *folder)
{
    const char *text = CPLGetXMLValue(file, NULL, "");
    bool relative = EQUAL(CPLGetXMLValue(file, "relativeToVRT", "0"), "1");
    return pt_strdup(relative && folder[0] ? CPLProjectRelativeFilename(folder, text) : text);
}

static pt_status collect(const CPLXMLNode *node, const char *folder, leaf **leaves, size_t *count,
                         size_t *capacity)
{
    for (; node; node = node->psNext) {
        if (node->eType != CXT_Element) {
            continue;
        }
        if (EQUAL(node->pszValue, "SourceFilename") || EQUAL(node->pszValue, "SourceDataset")) {
            PT_TRY(pt_grow(leaves, capacity, *count + 1, sizeof **leaves));
            leaf l = {.name = resolve(node, folder)};
            if (!l.name) {
                return PT_NOMEM("a file name");
            }
            (*leaves)[(*count)++] = l;
        } else {
            PT_TRY(collect(node->psChild, folder, leaves, count, capacity));
        }
    }
    return pt_ok();
}

/* Sorts and drops what is named twice (once for each band, as a rule). */
static void make_unique(leaf *leaves, size_t *count)
{
    size_t kept = 0;
    if (*count > 1) {
        qsort(leaves, *count, sizeof *leaves, compare_leaves);
    }
    for (size_t i = 0; i < *count; i++) {
        if (kept > 0 && strcmp(leaves[kept - 1].name, leaves[i].name) == 0) {
            pt_free(leaves[i].name);
        } else {
            leaves[kept++] = leaves[i];
        }
    }
    *count = kept;
}

static void free_leaves(leaf *leaves, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pt_free(leaves[i].name);
    }
    pt_free(leaves);
}

static pt_status walk_vrt(walk *w, GDALDatasetH dataset, const char *name, int band, mapping m, int depth);

static bool has_holes(GDALDatasetH dataset)
{
    GDALRasterBandH band = GDALGetRasterBand(dataset, 1);
    return band &&
           (GDALGetDataCoverageStatus(band, 0, 0, GDALGetRasterBandXSize(band), GDALGetRasterBandYSize(band),
                                      GDAL_DATA_COVERAGE_STATUS_EMPTY, NULL) &
            GDAL_DATA_COVERAGE_STATUS_EMPTY) != 0;
}

/* Every file behind the VRT must be there, whole and of an allowed driver. */
static pt_status check_leaf(walk *w, leaf *l)
{
    if (!pt_gdal_is_local(l->name) && ++w->remote > REMOTE_CHECKS) {
        return pt_ok(); /* each costs some requests; the rest shows when it is read */
    }
    GDALDatasetH dataset = NULL;
    pt_status status = pt_gdal_open(l->name, l->name, w->drivers, &dataset);
    if (status.code == PT_OK) {
        pt_gdal_log log;
        pt_gdal_watch(&log);
        l->is_vrt = EQUAL(GDALGetDriverShortName(GDALGetDatasetDriver(dataset)), "VRT");
        l->sparse = !l->is_vrt && has_holes(dataset);
        for (int i = 0; i < w->level_count && status.code == PT_OK; i++) {
            status = pt_intact_check(dataset, l->name, l->name, NULL, w->levels[i]);
        }
        GDALClose(dataset);
        pt_gdal_unwatch();
    }
    return pt_context(status, "%s", w->shown);
}

static double number(const CPLXMLNode *node, const char *name, double otherwise)
{
    const char *text = node ? CPLGetXMLValue(node, name, NULL) : NULL;
    return text ? CPLAtof(text) : otherwise;
}

static bool read_box(const CPLXMLNode *source, const char *name, double box[4])
{
    const CPLXMLNode *node = CPLGetXMLNode((CPLXMLNode *)source, name);
    box[0] = number(node, "xOff", 0);
    box[1] = number(node, "yOff", 0);
    box[2] = number(node, "xSize", -1);
    box[3] = number(node, "ySize", -1);
    return box[2] > 0 && box[3] > 0;
}

/* The mapping of a source's own pixels: to this VRT by SrcRect and DstRect, then on to the root. */
static bool map_source(const CPLXMLNode *source, mapping m, mapping *out)
{
    double src[4], dst[4];
    if (!read_box(source, "SrcRect", src) || !read_box(source, "DstRect", dst)) {
        return false;
    }
    double kx = dst[2] / src[2], ky = dst[3] / src[3];
    out->scale_x = m.scale_x * kx;
    out->offset_x = m.scale_x * (dst[0] - src[0] * kx) + m.offset_x;
    out->scale_y = m.scale_y * ky;
    out->offset_y = m.scale_y * (dst[1] - src[1] * ky) + m.offset_y;
    out->clip[0] = fmax(m.clip[0], m.scale_x * dst[0] + m.offset_x);
    out->clip[1] = fmax(m.clip[1], m.scale_y * dst[1] + m.offset_y);
    out->clip[2] = fmin(m.clip[2], m.scale_x * (dst[0] + dst[2]) + m.offset_x);
    out->clip[3] = fmin(m.clip[3], m.scale_y * (dst[1] + dst[3]) + m.offset_y);
    return true;
}

static pt_status add_part(walk *w, const leaf *l, int band, bool overlay, mapping m)
{
    pt_parts *p = w->parts;
    PT_TRY(pt_grow(&p->items, &p->capacity, p->count + 1, sizeof *p->items));
    pt_part part = {.band = band,
                    .sparse = l->sparse,
                    .overlay = overlay,
                    .scale_x = m.scale_x,
                    .offset_x = m.offset_x,
                    .scale_y = m.scale_y,
                    .offset_y = m.offset_y};
    memcpy(part.clip, m.clip, sizeof part.clip);
    if (l->sparse && !(part.name = pt_strdup(l->name))) {
        return PT_NOMEM("a file name");
    }
    p->items[p->count++] = part;
    return pt_ok();
}

static pt_status add_source(walk *w, const CPLXMLNode *source, const char *folder, const leaf *leaves,
                            size_t leaf_count, mapping m, int depth)
{
    const CPLXMLNode *file = CPLGetXMLNode((CPLXMLNode *)source, "SourceFilename");
    mapping inner = m;
    if (!file || !map_source(source, m, &inner)) {
        w->parts->known = false;
        return pt_ok();
    }
    leaf key = {.name = resolve(file, folder)};
    if (!key.name) {
        return PT_NOMEM("a file name");
    }
    const leaf *l = bsearch(&key, leaves, leaf_count, sizeof *leaves, compare_leaves);
    pt_free(key.name);
    int band = (int)strtol(CPLGetXMLValue((CPLXMLNode *)source, "SourceBand", "1"), NULL, 10);
    bool overlay =
        CPLGetXMLNode((CPLXMLNode *)source, "NODATA") || CPLGetXMLNode((CPLXMLNode *)source, "UseMaskBand");
    if (!l || !l->is_vrt) {
        return l ? add_part(w, l, band < 1 ? 1 : band, overlay, inner) : pt_ok();
    }
    GDALDatasetH nested = NULL;
    PT_TRY(pt_context(pt_gdal_open(l->name, l->name, w->drivers, &nested), "%s", w->shown));
    pt_status status = walk_vrt(w, nested, l->name, band < 1 ? 1 : band, inner, depth + 1);
    GDALClose(nested);
    return status;
}

static const CPLXMLNode *find_band(const CPLXMLNode *root, int wanted)
{
    int found = 0;
    for (const CPLXMLNode *node = root ? root->psChild : NULL; node; node = node->psNext) {
        if (node->eType == CXT_Element && EQUAL(node->pszValue, "VRTRasterBand") && ++found == wanted) {
            return node;
        }
    }
    return NULL;
}

static bool is_source(const CPLXMLNode *node)
{
    return node->eType == CXT_Element &&
           (EQUAL(node->pszValue, "SimpleSource") || EQUAL(node->pszValue, "ComplexSource") ||
            EQUAL(node->pszValue, "AveragedSource"));
}

static pt_status walk_tree(walk *w, const CPLXMLNode *root, const char *folder, int number_of_band, mapping m,
                           int depth)
{
    leaf *leaves = NULL;
    size_t count = 0, capacity = 0;
    pt_status status = collect(root, folder, &leaves, &count, &capacity);
    make_unique(leaves, &count);
    for (size_t i = 0; i < count && status.code == PT_OK; i++) {
        status = check_leaf(w, &leaves[i]);
    }
    const CPLXMLNode *band = find_band(root, number_of_band);
    bool plain = band && !CPLGetXMLValue(band, "subClass", NULL); /* warped, derived: shapes unknown */
    w->parts->known &= plain;
    for (const CPLXMLNode *node = plain ? band->psChild : NULL; node && status.code == PT_OK;
         node = node->psNext) {
        if (is_source(node)) {
            status = add_source(w, node, folder, leaves, count, m, depth);
        } else if (node->eType == CXT_Element && strstr(node->pszValue, "Source")) {
            w->parts->known = false;
        }
    }
    free_leaves(leaves, count);
    return status;
}

static pt_status walk_vrt(walk *w, GDALDatasetH dataset, const char *name, int band, mapping m, int depth)
{
    if (depth > DEPTH) {
        return pt_error(PT_E_INPUT,
                        "%s: VRTs in it are nested more than %d deep; flatten it with gdalbuildvrt", w->shown,
                        DEPTH);
    }
    char **xml = GDALGetMetadata(dataset, "xml:VRT");
    CPLXMLNode *tree = xml && xml[0] ? CPLParseXMLString(xml[0]) : NULL;
    CPLXMLNode *root = tree ? CPLGetXMLNode(tree, "=VRTDataset") : NULL;
    char *folder = pt_strdup(name[0] == '<' ? "" : CPLGetPath(name));
    pt_status status = pt_ok();
    if (!folder) {
        status = PT_NOMEM("a file name");
    } else if (root && CPLGetXMLValue(root, "subClass", NULL)) {
        w->parts->known = false;
        status = walk_tree(w, root, folder, 0, m, depth);
    } else if (root) {
        status = walk_tree(w, root, folder, band, m, depth);
    }
    pt_free(folder);
    CPLDestroyXMLNode(tree);
    return status;
}

pt_status pt_parts_find(GDALDatasetH dataset, pt_scene *scene)
{
    if (!EQUAL(GDALGetDriverShortName(GDALGetDatasetDriver(dataset)), "VRT")) {
        return pt_ok();
    }
    int levels[2] = {-1, scene->level};
    walk w = {.shown = scene->shown,
              .drivers = (const char *const *)scene->drivers,
              .levels = levels,
              .level_count = scene->level < 0 ? 1 : 2,
              .parts = &scene->parts};
    mapping m = {1, 0, 1, 0, {0, 0, (double)scene->info.native_width, (double)scene->info.native_height}};
    scene->parts.known = true;
    return walk_vrt(&w, dataset, scene->name, scene->bands.channels[0].band, m, 0);
}

void pt_parts_fini(pt_parts *parts)
{
    for (size_t i = 0; i < parts->count; i++) {
        pt_free(parts->items[i].name);
    }
    pt_free(parts->items);
    *parts = (pt_parts){0};
}
