#include "tiling/scene/internal.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <geodesic.h>
#include <math.h>
#include <string.h>

static const double gsd_close = 0.10;    /* a scene this near to the model's GSD is read as it is */
static const double gsd_same = 0.01;     /* "--gsd 1" for pixels of 1.0004 m means them as they are */
static const double upsample_warn = 2.0; /* scene pixels per file pixel beyond which detail is invented */
static const double max_side = 1 << 30;  /* scene pixels: GDAL's and the grid's integers hold */

bool pt_affine_invert(const double t[6], double out[6])
{
    double det = t[1] * t[5] - t[2] * t[4];
    if (!isfinite(det) || det == 0) {
        return false;
    }
    double a = t[5] / det, b = -t[2] / det, c = -t[4] / det, d = t[1] / det;
    out[1] = a;
    out[2] = b;
    out[4] = c;
    out[5] = d;
    out[0] = -(t[0] * a + t[3] * b);
    out[3] = -(t[0] * c + t[3] * d);
    return true;
}

bool pt_gsd_is_no_crs(OGRSpatialReferenceH crs)
{
    const char *name = crs ? OSRGetName(crs) : NULL;
    return !crs || OSRIsLocal(crs) || (name && strncmp(name, "Undefined ", 10) == 0);
}

bool pt_gsd_has_crs(GDALDatasetH dataset)
{
    double t[6];
    double inverse[6];
    OGRSpatialReferenceH crs = GDALGetSpatialRef(dataset);
    return !pt_gsd_is_no_crs(crs) && GDALGetGeoTransform(dataset, t) == CE_None &&
           pt_affine_invert(t, inverse);
}

/* Without its database PROJ makes local systems of good ones in silence: a placed scene would come out in
 * pixels. */
static pt_status check_proj(const char *path)
{
    OGRSpatialReferenceH probe = OSRNewSpatialReference(NULL);
    bool works = probe && OSRImportFromEPSG(probe, 4326) == OGRERR_NONE;
    OSRDestroySpatialReference(probe);
    if (!works) {
        return pt_error(
            PT_E_INPUT,
            "%s: its CRS cannot be told, since PROJ cannot open its database proj.db; let PROJ_LIB and "
            "PROJ_DATA name the folder that holds it, or unset them",
            path);
    }
    return pt_ok();
}

/* The file's transform and CRS; without both, pixels. */
static pt_status read_georef(GDALDatasetH dataset, bool plain, pt_scene_info *info, OGRSpatialReferenceH *crs)
{
    double *t = info->georef.transform;
    OGRSpatialReferenceH own = GDALGetSpatialRef(dataset);
    double inverse[6];
    bool placed = GDALGetGeoTransform(dataset, t) == CE_None && pt_affine_invert(t, inverse);
    bool gcps = GDALGetGCPCount(dataset) > 0 || GDALGetMetadata(dataset, "RPC") != NULL;
    info->has_crs = pt_gsd_has_crs(dataset);
    if (!info->has_crs) {
        static const double pixels[6] = {0, 1, 0, 0, 0, 1};
        memcpy(t, pixels, sizeof pixels);
        if (!plain) {
            PT_TRY(check_proj(info->path));
            PT_WARN(!placed && gcps
                        ? "placed by control points only, which is not enough: warp it with gdalwarp; "
                          "coordinates will be pixels"
                        : "no CRS or no geotransform; coordinates will be pixels, y negated",
                    PT_S("file", info->path));
        }
        return pt_ok();
    }
    char *wkt = NULL;
    const char *const how[] = {"FORMAT=WKT2_2019", "MULTILINE=NO", NULL};
    if (OSRExportToWktEx(own, &wkt, how) != OGRERR_NONE || !wkt) {
        CPLFree(wkt);
        return pt_error(PT_E_INPUT,
                        "%s: its CRS cannot be written as WKT; set it anew with gdal_edit.py -a_srs",
                        info->path);
    }
    info->georef.wkt = pt_strdup(wkt);
    CPLFree(wkt);
    *crs = own;
    return info->georef.wkt ? pt_ok() : PT_NOMEM("a CRS");
}

/* Metres between two file pixels' positions, on WGS 84; 0 when the CRS cannot say. */
static double ground_distance(OGRCoordinateTransformationH to_wgs84, const double t[6], const double a[2],
                              const double b[2])
{
    double x[2] = {t[0] + t[1] * a[0] + t[2] * a[1], t[0] + t[1] * b[0] + t[2] * b[1]};
    double y[2] = {t[3] + t[4] * a[0] + t[5] * a[1], t[3] + t[4] * b[0] + t[5] * b[1]};
    int ok[2] = {0, 0};
    OCTTransformEx(to_wgs84, 2, x, y, NULL, ok);
    if (!ok[0] || !ok[1] || !isfinite(x[0] + x[1] + y[0] + y[1])) {
        return 0;
    }
    struct geod_geodesic wgs84;
    geod_init(&wgs84, 6378137.0, 1 / 298.257223563);
    double metres = 0;
    geod_inverse(&wgs84, y[0], x[0], y[1], x[1], &metres, NULL, NULL);
    return isfinite(metres) ? metres : 0;
}

/* Averaged over a few pixels around the centre, so that rounding of degrees does not show. */
static void measure(OGRSpatialReferenceH crs, pt_scene_info *info)
{
    OGRSpatialReferenceH wgs84 = OSRNewSpatialReference(NULL);
    OSRImportFromEPSG(wgs84, 4326);
    OSRSetAxisMappingStrategy(wgs84, OAMS_TRADITIONAL_GIS_ORDER);
    OGRCoordinateTransformationH to_wgs84 = OCTNewCoordinateTransformation(crs, wgs84);
    if (to_wgs84) {
        const double *t = info->georef.transform;
        double cx = (double)info->native_width / 2, cy = (double)info->native_height / 2, span = 16;
        double left[2] = {cx - span / 2, cy}, right[2] = {cx + span / 2, cy};
        double top[2] = {cx, cy - span / 2}, bottom[2] = {cx, cy + span / 2};
        info->native_gsd_x = ground_distance(to_wgs84, t, left, right) / span;
        info->native_gsd_y = ground_distance(to_wgs84, t, top, bottom) / span;
        OCTDestroyCoordinateTransformation(to_wgs84);
    }
    OSRDestroySpatialReference(wgs84);
    if (info->native_gsd_x <= 0 || info->native_gsd_y <= 0) {
        info->native_gsd_x = info->native_gsd_y = 0;
    }
}

/* The GSD to read at; 0: native. */
static pt_status choose_gsd(const pt_scene_options *options, const pt_scene_info *info, double *gsd)
{
    bool known = info->native_gsd_x > 0;
    *gsd = 0;
    if (options->gsd_mode == PT_GSD_VALUE) {
        if (!(options->gsd > 0) || !isfinite(options->gsd)) {
            return pt_error(PT_E_USAGE, "a GSD of %g m makes no sense; give a positive number", options->gsd);
        }
        if (!known) {
            return pt_error(PT_E_INPUT,
                            "%s: the ground size of its pixels is unknown, so it cannot be read at "
                            "%g m; use --gsd native, or give it a CRS",
                            info->path, options->gsd);
        }
        double x = info->native_gsd_x / options->gsd, y = info->native_gsd_y / options->gsd;
        *gsd = fabs(x - 1) <= gsd_same && fabs(y - 1) <= gsd_same ? 0 : options->gsd;
    } else if (options->gsd_mode == PT_GSD_AUTO && known && options->model_gsd > 0) {
        double x = info->native_gsd_x / options->model_gsd, y = info->native_gsd_y / options->model_gsd;
        bool near = fabs(x - 1) <= gsd_close && fabs(y - 1) <= gsd_close;
        *gsd = near ? 0 : options->model_gsd;
    }
    return pt_ok();
}

/* Whole scene pixels over the whole file, so that the mapping between the two is exactly affine. */
static pt_status settle_grid(double gsd, pt_scene_info *info)
{
    double w = (double)info->native_width, h = (double)info->native_height;
    double width = gsd > 0 ? round(w * info->native_gsd_x / gsd) : w;
    double height = gsd > 0 ? round(h * info->native_gsd_y / gsd) : h;
    if (width > max_side || height > max_side) {
        return pt_error(PT_E_INPUT,
                        "%s: at %g m it would have %.0f x %.0f pixels, more than can be addressed; "
                        "choose a coarser --gsd",
                        info->path, gsd, width, height);
    }
    info->width = width < 1 ? 1 : (int64_t)width;
    info->height = height < 1 ? 1 : (int64_t)height;
    info->scale_x = w / (double)info->width;
    info->scale_y = h / (double)info->height;
    info->gsd = sqrt(info->native_gsd_x * info->scale_x * info->native_gsd_y * info->scale_y);
    double *t = info->georef.transform;
    t[1] *= info->scale_x;
    t[4] *= info->scale_x;
    t[2] *= info->scale_y;
    t[5] *= info->scale_y;
    if (gsd > 0 && (info->scale_x * upsample_warn < 1 || info->scale_y * upsample_warn < 1)) {
        PT_WARN("enlarging more than twice: the model wants finer detail than the scene holds; choose a "
                "model for "
                "coarser scenes, or read this one as it is with --gsd native",
                PT_S("file", info->path), PT_F("native_gsd", sqrt(info->native_gsd_x * info->native_gsd_y)),
                PT_F("gsd", gsd));
    }
    return pt_ok();
}

pt_status pt_gsd_settle(GDALDatasetH dataset, const pt_scene_options *options, pt_scene_info *info)
{
    OGRSpatialReferenceH crs = NULL;
    PT_TRY(read_georef(dataset, options->plain, info, &crs));
    if (!info->has_crs && options->require_crs) {
        return pt_error(PT_E_INPUT,
                        "%s: has no CRS; set it with gdal_edit.py -a_srs EPSG:..., or do without "
                        "--require-crs",
                        info->path);
    }
    if (info->has_crs) {
        measure(crs, info);
        if (info->native_gsd_x <= 0) {
            PT_WARN("the ground size of its pixels is unknown; reading it as it is",
                    PT_S("file", info->path));
        }
    }
    double gsd = 0;
    PT_TRY(choose_gsd(options, info, &gsd));
    if (!info->has_crs) {
        gsd = 0;
    }
    return settle_grid(gsd, info);
}
