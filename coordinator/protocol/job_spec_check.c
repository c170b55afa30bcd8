#include "coordinator/protocol/codec.h"

#include <string.h>

enum {
    NAME_MAX_BYTES = 64,
    PATH_MAX_BYTES = 4096,
    PRECISION_MAX_BYTES = 16384, /* 64 layers with names of 127 bytes take half of it */
    BANDS_MAX = 65536,
    CAP_MAX = 1000000,
    ATTEMPTS_MAX = 1000
};

/* Far above any mosaic's, so that sums of tiles stay far from overflow: 2^40 tiles of 1,024 pixels make a
 * square of a thousand million pixels a side. */
static const int64_t tiles_max = INT64_C(1) << 40;
static const double number_max = 1e300;

static pt_status wrong(const char *field, const char *rule)
{
    return pt_error(PT_E_INPUT, "the job's %s %s", field, rule);
}

static pt_status check_name(const char *field, const char *text)
{
    if (!text || text[0] == '\0' || strlen(text) > NAME_MAX_BYTES || !pt_text_is_clean(text)) {
        return wrong(field, "must be a text of 1 to 64 bytes without control characters");
    }
    return pt_ok();
}

static pt_status check_precision(const pt_job_spec *spec)
{
    const char *text = spec->engine.precision;
    if ((text != NULL) != (spec->engine.kind == PT_ENGINE_MODEL)) {
        return wrong("engine.precision", "must be there for a network, and for nothing else");
    }
    if (text && (text[0] == '\0' || strlen(text) > PRECISION_MAX_BYTES || !pt_text_is_clean(text))) {
        return wrong("engine.precision", "must be a text of 1 to 16384 bytes without control characters");
    }
    return pt_ok();
}

/* Names of files are bytes; what would break a line of a log is refused. */
static bool is_printable(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool has_bad_step(const char *path, bool url)
{
    for (const char *step = path;; step++) {
        size_t length = strcspn(step, "/");
        bool up = length == 2 && strncmp(step, "..", 2) == 0;
        bool idle = length == 0 || (length == 1 && step[0] == '.');
        if (up || (idle && !url)) {
            return true;
        }
        step += length;
        if (*step == '\0') {
            return false;
        }
    }
}

static pt_status check_path(const char *field, const char *path)
{
    if (path[0] == '\0' || strlen(path) > PATH_MAX_BYTES || !is_printable(path)) {
        return wrong(field, "must have 1 to 4096 bytes without control characters");
    }
    bool url = strncmp(path, "/vsi", 4) == 0;
    if (has_bad_step(path, url)) {
        return wrong(field,
                     "must be relative to the root without empty, \".\" or \"..\" steps, or begin with /vsi");
    }
    return pt_ok();
}

static pt_status check_number(const char *field, double value, double low, double high)
{
    return pt_number_in(value, low, high) ? pt_ok() : wrong(field, "is out of range");
}

static pt_status check_count(const char *field, int64_t value, int64_t low, int64_t high)
{
    return value >= low && value <= high ? pt_ok() : wrong(field, "is out of range");
}

static pt_status check_group(const pt_job_spec *spec, size_t g, int64_t *tiles)
{
    const pt_job_group *group = &spec->groups[g];
    PT_TRY(check_count("number of paths", (int64_t)group->path_count, 1, INT32_MAX));
    for (size_t p = 0; p < group->path_count; p++) {
        PT_TRY(check_path("path", group->paths[p]));
    }
    for (int c = 0; c < 3; c++) {
        PT_TRY(check_number("range of a group", group->range_lo[c], -number_max, number_max));
        PT_TRY(check_number("range of a group", group->range_hi[c], -number_max, number_max));
    }
    pt_grid grid;
    pt_status status = pt_job_spec_grid(spec, g, &grid);
    if (status.code != PT_OK) {
        return pt_error(PT_E_INPUT, "%s", status.message);
    }
    int64_t count;
    if (!pt_i64_mul(grid.cols, grid.rows, &count) || count > tiles_max - *tiles) {
        return wrong("grid", "has too many tiles");
    }
    *tiles += count;
    return pt_ok();
}

static pt_status check_scene(const pt_job_spec *spec)
{
    for (int b = 0; b < 3; b++) {
        PT_TRY(check_count("scene.bands", spec->scene.bands[b], 0, BANDS_MAX));
    }
    enum { GSD_MODES = 3 }; /* of pt_gsd_mode */
    PT_TRY(check_count("scene.gsd_mode", spec->scene.gsd_mode, 0, GSD_MODES - 1));
    PT_TRY(check_number("scene.gsd", spec->scene.gsd, 0, number_max));
    PT_TRY(check_number("scene.model_gsd", spec->scene.model_gsd, 0, number_max));
    if (spec->scene.aoi) {
        PT_TRY(check_path("scene.aoi", spec->scene.aoi));
    }
    for (int i = 0; spec->scene.has_bbox && i < 4; i++) {
        PT_TRY(check_number("scene.bbox", spec->scene.bbox[i], -number_max, number_max));
    }
    if (spec->scene.has_range) {
        PT_TRY(check_number("scene.range", spec->scene.range_lo, -number_max, number_max));
        PT_TRY(check_number("scene.range", spec->scene.range_hi, -number_max, number_max));
    }
    for (size_t d = 0; d < spec->scene.driver_count; d++) {
        PT_TRY(check_name("scene.drivers", spec->scene.drivers[d]));
    }
    return pt_ok();
}

static pt_status check_engine(const pt_job_spec *spec)
{
    PT_TRY(check_count("engine.kind", spec->engine.kind, PT_ENGINE_MODEL, PT_ENGINE_NULL));
    if ((spec->engine.path == NULL) != (spec->engine.kind == PT_ENGINE_NULL)) {
        return wrong("engine.path", "must be there, unless the engine is null");
    }
    if (spec->engine.path) {
        PT_TRY(check_path("engine.path", spec->engine.path));
    }
    PT_TRY(check_number("engine.score", spec->engine.score, 0, 1));
    PT_TRY(check_count("engine.detections", spec->engine.detections, 0, CAP_MAX));
    PT_TRY(check_count("engine.proposals", spec->engine.proposals, 0, CAP_MAX));
    PT_TRY(check_name("engine.backend", spec->engine.backend));
    return check_precision(spec);
}

static pt_status check_output(const pt_job_spec *spec)
{
    PT_TRY(check_number("output.min_area", spec->output.min_area, 0, number_max));
    PT_TRY(check_number("output.simplify", spec->output.simplify, -number_max, number_max));
    PT_TRY(check_name("output.format", spec->output.format));
    return check_count("output.attempts", spec->output.attempts, 1, ATTEMPTS_MAX);
}

pt_status pt_job_spec_check(const pt_job_spec *spec)
{
    PT_TRY(check_name("program", spec->program));
    PT_TRY(check_count("number of groups", (int64_t)spec->group_count, 1, INT32_MAX));
    int64_t tiles = 0;
    for (size_t g = 0; g < spec->group_count; g++) {
        pt_status status = check_group(spec, g, &tiles);
        if (status.code != PT_OK) {
            return pt_context(status, "group %zu", g);
        }
    }
    PT_TRY(check_scene(spec));
    PT_TRY(check_engine(spec));
    return check_output(spec);
}
