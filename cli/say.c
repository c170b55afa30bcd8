/* The lines that tell what a job works on. */
#include "cli/job.h"

#include <stdio.h>
#include <string.h>

void pt_job_crs_name(const pt_scene_info *info, char *out, size_t size)
{
    const char *wkt = info->georef.wkt;
    if (!info->has_crs || !wkt) {
        snprintf(out, size, "none");
        return;
    }
    /* WKT2 ends in the identifier of the whole, WKT1 in its AUTHORITY; else the name is the first quoted
     * text. */
    const char *id = NULL;
    for (const char *at = wkt; (at = strstr(at, "\"EPSG\"")); at++) {
        id = at + strlen("\"EPSG\"");
    }
    size_t tail = id ? strlen(id) : 0;
    if (id && tail < 24) {
        id += strspn(id, ", \"");
        int n = (int)strspn(id, "0123456789");
        if (n > 0) {
            snprintf(out, size, "EPSG:%.*s", n, id);
            return;
        }
    }
    const char *name = strchr(wkt, '"');
    snprintf(out, size, "%.*s", name ? (int)strcspn(name + 1, "\"") : 0, name ? name + 1 : "");
}

void pt_job_say_model(const pt_job *job)
{
    if (job->kind != PT_ENGINE_MODEL) {
        return;
    }
    if (pt_console_is_json()) {
        PT_INFO("model", PT_S("name", job->model->name), PT_S("architecture", job->model->architecture),
                PT_S("sha256", job->model->sha256), PT_S("precision", job->precision),
                PT_F("score", job->score));
        return;
    }
    pt_console_line("model   %s (%s, sha256 %.12s), %s, score >= %g", job->model->name,
                    job->model->architecture, job->model->sha256, job->precision, job->score);
}

static void format_range(const pt_scene_info *info, char *out, size_t size)
{
    bool bytes = strcmp(info->type, "Byte") == 0;
    bool plain = bytes;
    for (int i = 0; i < 3; i++) {
        plain = plain && info->range_lo[i] == 0 && info->range_hi[i] == 255;
    }
    if (plain) {
        snprintf(out, size, "bytes as they are");
    } else if (info->bands[0] == info->bands[1]) {
        snprintf(out, size, "%g .. %g", info->range_lo[0], info->range_hi[0]);
    } else {
        snprintf(out, size, "R %g .. %g, G %g .. %g, B %g .. %g", info->range_lo[0], info->range_hi[0],
                 info->range_lo[1], info->range_hi[1], info->range_lo[2], info->range_hi[2]);
    }
}

static void format_gsd(const pt_scene_info *info, char *out, size_t size)
{
    if (info->gsd <= 0) {
        snprintf(out, size, "unknown, read as it is");
    } else if (info->width == info->native_width && info->height == info->native_height) {
        snprintf(out, size, "%.3f m, read as it is", info->gsd);
    } else {
        snprintf(out, size, "%.3f x %.3f m -> %.3f m (%lld x %lld px)", info->native_gsd_x,
                 info->native_gsd_y, info->gsd, (long long)info->width, (long long)info->height);
    }
}

void pt_job_say_scene(const pt_scene_info *info, const pt_grid *grid)
{
    char crs[128];
    char range[160];
    char gsd[160];
    pt_job_crs_name(info, crs, sizeof crs);
    format_range(info, range, sizeof range);
    format_gsd(info, gsd, sizeof gsd);
    if (pt_console_is_json()) {
        PT_INFO("scene", PT_S("path", info->path), PT_S("driver", info->driver),
                PT_I("native_width", info->native_width), PT_I("native_height", info->native_height),
                PT_I("width", info->width), PT_I("height", info->height), PT_S("crs", crs),
                PT_F("native_gsd_x", info->native_gsd_x), PT_F("native_gsd_y", info->native_gsd_y),
                PT_F("gsd", info->gsd), PT_S("range", range), PT_I("tiles", pt_grid_count(grid)),
                PT_I("tile", grid->tile), PT_I("overlap", grid->overlap));
        return;
    }
    pt_console_line("scene   %s: %lld x %lld px, %s, %d band%s of %s, CRS %s", info->path,
                    (long long)info->native_width, (long long)info->native_height, info->driver,
                    info->band_count, info->band_count == 1 ? "" : "s", info->type, crs);
    pt_console_line("gsd     %s", gsd);
    pt_console_line("range   %s, bands %d,%d,%d", range, info->bands[0], info->bands[1], info->bands[2]);
    pt_console_line("tiles   %lld (%lld x %lld) of %lld px, overlap %lld px", (long long)pt_grid_count(grid),
                    (long long)grid->cols, (long long)grid->rows, (long long)grid->tile,
                    (long long)grid->overlap);
}
