#include "coordinator/assemble/coverage.h"

#include "tiling/writer/writer.h"

#include <inttypes.h>

struct pt_coverage {
    pt_writer *writer;
    const pt_job_spec *spec;         /* borrowed */
    const pt_georef *const *georefs; /* borrowed */
    size_t placed;                   /* 1 + the group that the writer places by; 0: none yet */
    int64_t last;                    /* tile; -1: none yet */
};

pt_status pt_coverage_check(const char *path)
{
    return pt_writer_check_json(path);
}

pt_status pt_coverage_open(const char *path, bool overwrite, const pt_job_spec *spec,
                           const pt_georef *const *georefs, pt_coverage **out)
{
    PT_TRY(pt_coverage_check(path));
    pt_coverage *c = pt_calloc(1, sizeof *c);
    if (!c) {
        return PT_NOMEM("the coverage layer");
    }
    c->spec = spec;
    c->georefs = georefs;
    c->last = -1;
    pt_writer_options options = pt_writer_defaults();
    options.overwrite = overwrite;
    pt_status status = pt_writer_open(path, &options, &c->writer);
    if (status.code != PT_OK) {
        pt_coverage_close(&c);
        return status;
    }
    *out = c;
    return status;
}

static const char *state_name(pt_tile_outcome outcome)
{
    static const char *const names[] = {[PT_TILE_DONE] = "done",
                                        [PT_TILE_EMPTY] = "empty",
                                        [PT_TILE_OUTSIDE] = "outside",
                                        [PT_TILE_FAILED] = "quarantined"};
    return names[outcome];
}

static pt_status write_tile(pt_coverage *c, const pt_coverage_tile *t, size_t group, pt_rect core)
{
    double x0 = (double)core.x, y0 = (double)core.y;
    double x1 = x0 + (double)core.w, y1 = y0 + (double)core.h;
    double corners[] = {x0, y0, x0, y1, x1, y1, x1, y0, x0, y0}; /* counter-clockwise with y up */
    pt_ring ring = {corners, 5};
    pt_polygon polygon = {&ring, 1};
    const pt_property properties[] = {
        {.name = "tile", .kind = PT_PROPERTY_INTEGER, .integer = t->tile},
        {.name = "group", .kind = PT_PROPERTY_INTEGER, .integer = (int64_t)group},
        {.name = "state", .kind = PT_PROPERTY_TEXT, .text = state_name(t->outcome)},
        {.name = "worker", .kind = PT_PROPERTY_TEXT, .text = t->worker},
        {.name = "attempts", .kind = PT_PROPERTY_INTEGER, .integer = t->attempts},
        {.name = "seconds", .kind = PT_PROPERTY_REAL, .real = t->seconds, .decimals = 3},
        {.name = "detections", .kind = PT_PROPERTY_INTEGER, .integer = t->detections},
        {.name = "reason", .kind = PT_PROPERTY_TEXT, .text = t->reason},
    };
    return pt_writer_write_with(c->writer, &(pt_feature){.polygons = &polygon, .count = 1}, properties,
                                sizeof properties / sizeof *properties);
}

pt_status pt_coverage_add(pt_coverage *coverage, const pt_coverage_tile *tile)
{
    size_t group;
    pt_grid grid;
    int64_t index;
    if (tile->tile <= coverage->last || tile->outcome < PT_TILE_DONE || tile->outcome > PT_TILE_FAILED) {
        return pt_error(PT_E_INTERNAL, "tile %" PRId64 " comes out of turn, or in no state", tile->tile);
    }
    PT_TRY(pt_job_spec_locate(coverage->spec, tile->tile, &group, &grid, &index));
    if (coverage->placed != group + 1) {
        PT_TRY(pt_writer_source(coverage->writer, coverage->georefs[group]));
        coverage->placed = group + 1;
    }
    PT_TRY(write_tile(coverage, tile, group, pt_grid_core(&grid, index)));
    coverage->last = tile->tile;
    return pt_ok();
}

pt_status pt_coverage_commit(pt_coverage *coverage)
{
    return pt_writer_commit(coverage->writer);
}

void pt_coverage_close(pt_coverage **coverage)
{
    if (*coverage) {
        pt_writer_close(&(*coverage)->writer);
        pt_free(*coverage);
    }
    *coverage = NULL;
}
