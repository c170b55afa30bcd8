#include "coordinator/protocol/job_spec.h"

pt_status pt_job_spec_grid(const pt_job_spec *spec, size_t group, pt_grid *out)
{
    if (group >= spec->group_count) {
        return pt_error(PT_E_INPUT, "the job has %zu groups of scenes, none with the number %zu",
                        spec->group_count, group);
    }
    const pt_job_group *g = &spec->groups[group];
    return pt_grid_init(g->width, g->height, spec->grid.tile, spec->grid.overlap, spec->grid.lattice, out);
}

int64_t pt_job_spec_tiles(const pt_job_spec *spec)
{
    int64_t tiles = 0;
    for (size_t g = 0; g < spec->group_count; g++) {
        pt_grid grid;
        if (pt_job_spec_grid(spec, g, &grid).code == PT_OK) {
            tiles += pt_grid_count(&grid);
        }
    }
    return tiles;
}

pt_status pt_job_spec_locate(const pt_job_spec *spec, int64_t tile, size_t *group, pt_grid *grid,
                             int64_t *index)
{
    int64_t first = 0;
    for (size_t g = 0; tile >= 0 && g < spec->group_count; g++) {
        pt_grid found;
        PT_TRY(pt_job_spec_grid(spec, g, &found));
        if (tile < first + pt_grid_count(&found)) {
            *group = g;
            *grid = found;
            *index = tile - first;
            return pt_ok();
        }
        first += pt_grid_count(&found);
    }
    return pt_error(PT_E_INPUT, "the job has %lld tiles, none with the number %lld", (long long)first,
                    (long long)tile);
}
