#include "tiling/scene/internal.h"

#include <cpl_conv.h>
#include <cpl_minixml.h>
#include <cpl_string.h>
#include <math.h>
#include <string.h>

/* Several files as one scene: a VRT written here, in memory, with whole-pixel places, so that the mosaic's
 * pixels are the files' own. (GDALBuildVRT keeps fractions of a pixel, and leaves files out with a warning
 * alone.) */

typedef struct tile {
    const char *shown; /* borrowed */
    char *name;
    double transform[6];
    int width, height, bands;
    OGRSpatialReferenceH crs; /* owned; NULL: none */
    uint64_t kind;            /* a hash of what must be equal: types, colours, palettes, nodata */
    bool has_crs;             /* as the scene will say */
    bool placed;              /* north up, with a CRS and a transform */
    bool masked;              /* some of its pixels may be invalid */
    bool mask_band;
} tile;

static void tile_fini(tile *t)
{
    if (t->crs) {
        OSRDestroySpatialReference(t->crs);
    }
    pt_free(t->name);
    *t = (tile){0};
}

static void tiles_free(tile *tiles, size_t count)
{
    for (size_t i = 0; tiles && i < count; i++) {
        tile_fini(&tiles[i]);
    }
    pt_free(tiles);
}

/* FNV-1a, 64 bits (Fowler, Noll, Vo). */
static void mix(uint64_t *hash, const void *bytes, size_t count)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < count; i++) {
        *hash = (*hash ^ p[i]) * 0x100000001b3U;
    }
}

static void mix_band(uint64_t *hash, GDALRasterBandH band)
{
    int facts[3] = {GDALGetRasterDataType(band), GDALGetRasterColorInterpretation(band), 0};
    double nodata = GDALGetRasterNoDataValue(band, &facts[2]);
    mix(hash, facts, sizeof facts);
    if (facts[2]) {
        mix(hash, &nodata, sizeof nodata);
    }
    GDALColorTableH table = GDALGetRasterColorTable(band);
    for (int i = 0; table && i < GDALGetColorEntryCount(table); i++) {
        GDALColorEntry entry = {0, 0, 0, 0};
        GDALGetColorEntryAsRGB(table, i, &entry);
        mix(hash, &entry, sizeof entry);
    }
}

static void describe(GDALDatasetH dataset, tile *t)
{
    t->width = GDALGetRasterXSize(dataset);
    t->height = GDALGetRasterYSize(dataset);
    t->bands = GDALGetRasterCount(dataset);
    t->kind = 0xcbf29ce484222325U;
    for (int b = 1; b <= t->bands; b++) {
        int flags = GDALGetMaskFlags(GDALGetRasterBand(dataset, b));
        mix_band(&t->kind, GDALGetRasterBand(dataset, b));
        t->masked |= flags != GMF_ALL_VALID;
        t->mask_band |= (flags & GMF_PER_DATASET) != 0 && (flags & GMF_ALPHA) == 0;
    }
    OGRSpatialReferenceH crs = GDALGetSpatialRef(dataset);
    t->crs = crs ? OSRClone(crs) : NULL;
    const double *g = t->transform;
    t->has_crs = pt_gsd_has_crs(dataset);
    t->placed = GDALGetGeoTransform(dataset, t->transform) == CE_None && t->crs && g[2] == 0 && g[4] == 0 &&
                g[1] != 0 && g[5] != 0;
}

static pt_status load_tile(const char *path, const char *const *drivers, tile *t)
{
    t->shown = path;
    t->name = pt_gdal_name(path);
    if (!t->name) {
        return PT_NOMEM("a file name");
    }
    GDALDatasetH dataset = NULL;
    PT_TRY(pt_gdal_open(t->name, path, drivers, &dataset));
    pt_gdal_log log;
    pt_gdal_watch(&log);
    describe(dataset, t);
    GDALClose(dataset);
    pt_gdal_unwatch();
    return pt_ok();
}

static pt_status load_tiles(const char *const *paths, size_t count, const pt_scene_options *options,
                            tile **out)
{
    char **drivers = NULL;
    PT_TRY(pt_drivers_list(options, &drivers));
    tile *tiles = pt_calloc(count, sizeof *tiles);
    pt_status status = tiles ? pt_ok() : PT_NOMEM("the parts of a mosaic");
    for (size_t i = 0; status.code == PT_OK && i < count; i++) {
        status = load_tile(paths[i], (const char *const *)drivers, &tiles[i]);
    }
    pt_drivers_free(drivers);
    if (status.code != PT_OK) {
        tiles_free(tiles, count);
        return status;
    }
    *out = tiles;
    return pt_ok();
}

/* Why two files cannot be one scene; NULL: they can. */
static const char *disagreement(const tile *a, const tile *b)
{
    if (!a->placed || !b->placed) {
        return "is rotated or has no CRS";
    }
    if (a->bands != b->bands || a->kind != b->kind) {
        return "differs in bands, sample type, palette or nodata";
    }
    /* Over the larger file the grids must stay within half a pixel of each other. */
    double side_x = fmax(a->width, b->width), side_y = fmax(a->height, b->height);
    if (fabs(a->transform[1] / b->transform[1] - 1) * side_x > 0.5 ||
        fabs(a->transform[5] / b->transform[5] - 1) * side_y > 0.5) {
        return "differs in pixel size";
    }
    const char *const loosely[] = {"IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", NULL};
    return OSRIsSameEx(a->crs, b->crs, loosely) ? NULL : "differs in CRS";
}

/* b's place on a's grid, to the nearest whole pixel. */
static pt_rect place(const tile *a, const tile *b)
{
    double x = round((b->transform[0] - a->transform[0]) / a->transform[1]);
    double y = round((b->transform[3] - a->transform[3]) / a->transform[5]);
    const double limit = 1 << 30;
    x = x > limit ? limit : x < -limit ? -limit : x;
    y = y > limit ? limit : y < -limit ? -limit : y;
    return (pt_rect){(int64_t)x, (int64_t)y, b->width, b->height};
}

static bool touch(pt_rect a, pt_rect b)
{
    return a.x <= b.x + b.w && b.x <= a.x + a.w && a.y <= b.y + b.h && b.y <= a.y + a.h;
}

static size_t find_root(size_t *parent, size_t i)
{
    while (parent[i] != i) {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    return i;
}

static void join_tiles(const tile *tiles, size_t count, size_t *parent)
{
    for (size_t i = 0; i < count; i++) {
        parent[i] = i;
        for (size_t j = 0; j < i; j++) {
            size_t a = find_root(parent, i), b = find_root(parent, j);
            pt_rect own = {0, 0, tiles[i].width, tiles[i].height};
            if (a != b && tiles[i].placed && tiles[j].placed && touch(own, place(&tiles[i], &tiles[j])) &&
                !disagreement(&tiles[i], &tiles[j])) {
                parent[a < b ? b : a] = a < b ? a : b; /* the root is the group's first file */
            }
        }
    }
}

/* Found before any work is done: no file could hold both. */
static pt_status refuse_mixture(const tile *tiles, size_t count)
{
    size_t with = count, without = count;
    for (size_t i = count; i-- > 0;) {
        *(tiles[i].has_crs ? &with : &without) = i;
    }
    return with == count || without == count
               ? pt_ok()
               : pt_error(PT_E_INPUT, "%s has a CRS and %s has none; run them one by one", tiles[with].shown,
                          tiles[without].shown);
}

pt_status pt_scene_group(const char *const *paths, size_t count, const pt_scene_options *options,
                         size_t *groups, size_t *group_count)
{
    PT_TRY(pt_scene_check_arguments(paths, count, options));
    tile *tiles = NULL;
    size_t *parent = pt_alloc(count, sizeof *parent);
    if (!parent) {
        return PT_NOMEM("groups of scenes");
    }
    pt_status status = load_tiles(paths, count, options, &tiles);
    if (status.code == PT_OK && (status = refuse_mixture(tiles, count)).code != PT_OK) {
        tiles_free(tiles, count);
    }
    if (status.code == PT_OK) {
        size_t next = 0;
        join_tiles(tiles, count, parent);
        for (size_t i = 0; i < count; i++) {
            size_t root = find_root(parent, i);
            groups[i] = root == i ? next++ : groups[root];
        }
        *group_count = next;
        tiles_free(tiles, count);
    }
    pt_free(parent);
    return status;
}

/* --- the VRT --- */

static void add_text(CPLXMLNode *parent, const char *name, const char *text)
{
    CPLCreateXMLElementAndValue(parent, name, text);
}

static void add_attribute(CPLXMLNode *node, const char *name, const char *format, double value)
{
    char text[64];
    CPLsnprintf(text, sizeof text, format, value);
    CPLAddXMLAttributeAndValue(node, name, text);
}

static void add_rect(CPLXMLNode *parent, const char *name, pt_rect r)
{
    CPLXMLNode *node = CPLCreateXMLNode(parent, CXT_Element, name);
    add_attribute(node, "xOff", "%.0f", (double)r.x);
    add_attribute(node, "yOff", "%.0f", (double)r.y);
    add_attribute(node, "xSize", "%.0f", (double)r.w);
    add_attribute(node, "ySize", "%.0f", (double)r.h);
}

/* Later files lie over earlier ones, but only where they are valid. */
static void add_source(CPLXMLNode *band, const tile *t, pt_rect at, const char *source_band, const char *type,
                       bool is_mask, const char *nodata)
{
    bool complex = t->masked || nodata;
    CPLXMLNode *source = CPLCreateXMLNode(band, CXT_Element, complex ? "ComplexSource" : "SimpleSource");
    CPLXMLNode *file = CPLCreateXMLElementAndValue(source, "SourceFilename", t->name);
    CPLAddXMLAttributeAndValue(file, "relativeToVRT", "0");
    CPLAddXMLAttributeAndValue(file, "shared", "0");
    add_text(source, "SourceBand", source_band);
    CPLXMLNode *facts = CPLCreateXMLNode(source, CXT_Element, "SourceProperties");
    add_attribute(facts, "RasterXSize", "%.0f", t->width);
    add_attribute(facts, "RasterYSize", "%.0f", t->height);
    CPLAddXMLAttributeAndValue(facts, "DataType", type);
    add_attribute(facts, "BlockXSize", "%.0f", 512 < t->width ? 512 : t->width);
    add_attribute(facts, "BlockYSize", "%.0f", 512 < t->height ? 512 : t->height);
    add_rect(source, "SrcRect", (pt_rect){0, 0, t->width, t->height});
    add_rect(source, "DstRect", at);
    if (is_mask && complex) {
        add_text(source, "NODATA", "0");
    } else if (nodata) {
        add_text(source, "NODATA", nodata);
    } else if (complex) {
        add_text(source, "UseMaskBand", "true");
    }
}

static void add_palette(CPLXMLNode *node, GDALColorTableH table)
{
    CPLXMLNode *palette = table ? CPLCreateXMLNode(node, CXT_Element, "ColorTable") : NULL;
    static const char *const names[4] = {"c1", "c2", "c3", "c4"};
    for (int i = 0; table && i < GDALGetColorEntryCount(table); i++) {
        GDALColorEntry e = {0, 0, 0, 0};
        GDALGetColorEntryAsRGB(table, i, &e);
        short parts[4] = {e.c1, e.c2, e.c3, e.c4};
        CPLXMLNode *entry = CPLCreateXMLNode(palette, CXT_Element, "Entry");
        for (int k = 0; k < 4; k++) {
            add_attribute(entry, names[k], "%.0f", parts[k]);
        }
    }
}

typedef struct mosaic {
    const tile *tiles;
    size_t count;
    pt_rect box; /* on the first file's grid */
} mosaic;

static void add_sources(CPLXMLNode *band, const mosaic *m, const char *source_band, const char *type,
                        bool is_mask, const char *nodata)
{
    for (size_t i = 0; i < m->count; i++) {
        pt_rect at = pt_rect_shift(place(&m->tiles[0], &m->tiles[i]), -m->box.x, -m->box.y);
        add_source(band, &m->tiles[i], at, source_band, type, is_mask, nodata);
    }
}

static void add_band(CPLXMLNode *root, const mosaic *m, GDALDatasetH first, int number)
{
    GDALRasterBandH band = GDALGetRasterBand(first, number);
    CPLXMLNode *node = CPLCreateXMLNode(root, CXT_Element, "VRTRasterBand");
    const char *type = GDALGetDataTypeName(GDALGetRasterDataType(band));
    CPLAddXMLAttributeAndValue(node, "dataType", type);
    add_attribute(node, "band", "%.0f", number);
    GDALColorInterp meaning = GDALGetRasterColorInterpretation(band);
    if (meaning != GCI_Undefined) {
        add_text(node, "ColorInterp", GDALGetColorInterpretationName(meaning));
    }
    add_palette(node, GDALGetRasterColorTable(band));
    int has_nodata = 0;
    char nodata[64], name[16];
    double value = GDALGetRasterNoDataValue(band, &has_nodata);
    CPLsnprintf(nodata, sizeof nodata, "%.17g", value);
    if (has_nodata) {
        add_text(node, "NoDataValue", isnan(value) ? "nan" : nodata);
    }
    CPLsnprintf(name, sizeof name, "%d", number);
    add_sources(node, m, name, type, false, has_nodata ? (isnan(value) ? "nan" : nodata) : NULL);
}

static void add_mask(CPLXMLNode *root, const mosaic *m)
{
    bool any = false;
    for (size_t i = 0; i < m->count; i++) {
        any |= m->tiles[i].mask_band;
    }
    if (any) {
        CPLXMLNode *node =
            CPLCreateXMLNode(CPLCreateXMLNode(root, CXT_Element, "MaskBand"), CXT_Element, "VRTRasterBand");
        CPLAddXMLAttributeAndValue(node, "dataType", "Byte");
        add_sources(node, m, "mask,1", "Byte", true, NULL);
    }
}

static void add_axes(CPLXMLNode *node, OGRSpatialReferenceH crs)
{
    int count = 0;
    const int *axes = OSRGetDataAxisToSRSAxisMapping(crs, &count);
    if (axes && count >= 2) {
        char text[32];
        CPLsnprintf(text, sizeof text, "%d,%d", axes[0], axes[1]);
        CPLAddXMLAttributeAndValue(node, "dataAxisToSRSAxisMapping", text);
    }
}

static CPLXMLNode *build(const mosaic *m, GDALDatasetH first)
{
    const double *g = m->tiles[0].transform;
    char text[400], *wkt = NULL;
    CPLXMLNode *root = CPLCreateXMLNode(NULL, CXT_Element, "VRTDataset");
    add_attribute(root, "rasterXSize", "%.0f", (double)m->box.w);
    add_attribute(root, "rasterYSize", "%.0f", (double)m->box.h);
    const char *const how[] = {"FORMAT=WKT2_2019", "MULTILINE=NO", NULL};
    if (OSRExportToWktEx(m->tiles[0].crs, &wkt, how) == OGRERR_NONE && wkt) {
        CPLXMLNode *crs = CPLCreateXMLElementAndValue(root, "SRS", wkt);
        add_axes(crs, m->tiles[0].crs);
    }
    CPLFree(wkt);
    CPLsnprintf(text, sizeof text, "%.17g, %.17g, 0, %.17g, 0, %.17g", g[0] + (double)m->box.x * g[1], g[1],
                g[3] + (double)m->box.y * g[5], g[5]);
    add_text(root, "GeoTransform", text);
    for (int b = 1; b <= m->tiles[0].bands; b++) {
        add_band(root, m, first, b);
    }
    add_mask(root, m);
    return root;
}

static pt_status write_xml(const mosaic *m, const char *const *drivers, char **out)
{
    GDALDatasetH first = NULL;
    PT_TRY(pt_gdal_open(m->tiles[0].name, m->tiles[0].shown, drivers, &first));
    pt_gdal_log log;
    pt_gdal_watch(&log);
    CPLXMLNode *root = build(m, first);
    char *text = CPLSerializeXMLTree(root);
    char *copy = text ? pt_strdup(text) : NULL;
    CPLFree(text);
    CPLDestroyXMLNode(root);
    GDALClose(first);
    pt_gdal_unwatch();
    if (!copy) {
        return PT_NOMEM("a mosaic");
    }
    *out = copy;
    return pt_ok();
}

pt_status pt_mosaic_describe(const char *const *paths, size_t count, const pt_scene_options *options,
                             const char *const *drivers, char **xml)
{
    tile *tiles = NULL;
    PT_TRY(load_tiles(paths, count, options, &tiles));
    pt_status status = pt_ok();
    mosaic m = {tiles, count, {0, 0, 0, 0}};
    for (size_t i = 0; status.code == PT_OK && i < count; i++) {
        const char *why = disagreement(&tiles[0], &tiles[i]);
        if (why) {
            status = pt_error(PT_E_INPUT, "%s: %s, so it cannot be one scene with %s; give them separately",
                              paths[i], why, paths[0]);
        } else {
            m.box = pt_rect_union(m.box, place(&tiles[0], &tiles[i]));
        }
    }
    if (status.code == PT_OK && (m.box.w > INT32_MAX || m.box.h > INT32_MAX)) {
        status = pt_error(
            PT_E_INPUT, "%s and the others lie too far apart for one scene; give them separately", paths[0]);
    }
    if (status.code == PT_OK) {
        status = write_xml(&m, drivers, xml);
    }
    tiles_free(tiles, count);
    return status;
}
