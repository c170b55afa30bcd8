#include "coordinator/assemble/assemble.h"

#include "coordinator/assemble/spool.h"

#include <stdlib.h>
#include <string.h>

struct pt_assembler {
    pt_grid grid;
    pt_assemble_options options;
    pt_stitcher *stitcher;
    pt_spool *spool;
    pt_assemble_report report;
};

pt_assemble_options pt_assemble_defaults(void)
{
    return (pt_assemble_options){
        .spool_dir = ".", .stitch = pt_stitch_defaults(), .vectorise = pt_vectorise_defaults()};
}

/* One object that is too large for an outline must not cost the job all others. */
static void leave_out(pt_assembler *a, const pt_object *object, const char *reason)
{
    a->report.too_large++;
    PT_WARN("an object is left out", PT_I("x", object->anchor_x), PT_I("y", object->anchor_y),
            PT_I("class_id", object->instance.class_id), PT_S("reason", reason));
}

/* The stitcher's sink: an object is finished. */
static pt_status take_object(void *user, pt_object *object)
{
    pt_assembler *a = user;
    pt_feature feature = {0};
    pt_status status = pt_vectorise(&object->instance, &a->options.vectorise, &feature);
    if (status.code == PT_E_UNSUPPORTED) {
        leave_out(a, object, status.message);
        return pt_ok();
    }
    PT_TRY(status);
    if (feature.count == 0) {
        a->report.dropped++;
        pt_feature_fini(&feature);
        return pt_ok();
    }
    feature.class_id = object->instance.class_id;
    feature.score_q = pt_score_quantise(object->instance.score);
    feature.tiles = object->tiles;
    feature.merged = object->merged;
    feature.truncated = object->instance.truncated;
    feature.anchor_x = object->anchor_x;
    feature.anchor_y = object->anchor_y;
    status = pt_spool_add(a->spool, &feature, object->instance.mask.area);
    pt_feature_fini(&feature);
    if (status.code == PT_OK) {
        a->report.objects++;
    }
    return status;
}

pt_status pt_assembler_new(const pt_grid *grid, const pt_assemble_options *options, pt_assembler **out)
{
    pt_assembler *a = pt_calloc(1, sizeof *a);
    if (!a) {
        return PT_NOMEM("the assembler");
    }
    a->grid = *grid;
    a->options = *options;
    a->options.spool_dir = NULL;
    a->report.tiles = pt_grid_count(grid);
    pt_status status = pt_spool_new(options->spool_dir, grid, &a->spool);
    if (status.code == PT_OK) {
        status = pt_stitcher_new(grid, options->stitch, take_object, a, &a->stitcher);
    }
    if (status.code != PT_OK) {
        pt_assembler_free(&a);
        return status;
    }
    *out = a;
    return status;
}

static void note_failed(pt_assembler *a, const pt_result *result)
{
    pt_assemble_report *r = &a->report;
    pt_rect window = pt_grid_window(&a->grid, result->tile);
    r->failed++;
    if (r->failed_named == PT_FAILED_TILES_NAMED) {
        return;
    }
    PT_WARN("tile failed", PT_I("tile", result->tile), PT_I("x", window.x), PT_I("y", window.y),
            PT_I("width", window.w), PT_I("height", window.h), PT_I("attempts", result->attempt),
            PT_S("reason", result->status.message));
    pt_failed_tile *f = &r->failed_tiles[r->failed_named++];
    f->tile = result->tile;
    f->window = window;
    f->attempts = result->attempt;
    memcpy(f->reason, result->status.message, sizeof f->reason);
}

static void count(pt_assembler *a, const pt_result *result)
{
    pt_assemble_report *r = &a->report;
    r->read_seconds += result->read_seconds;
    r->infer_seconds += result->infer_seconds;
    switch (result->outcome) {
    case PT_TILE_DONE:
        r->done++;
        r->capped += result->capped;
        r->pixels += pt_rect_area(pt_grid_window(&a->grid, result->tile));
        break;
    case PT_TILE_EMPTY:
        r->empty++;
        break;
    case PT_TILE_OUTSIDE:
        r->outside++;
        break;
    case PT_TILE_FAILED:
        note_failed(a, result);
        break;
    }
}

pt_status pt_assembler_add(pt_assembler *a, pt_result *result)
{
    if (result->tile < 0 || result->tile >= a->report.tiles) {
        return pt_error(PT_E_INTERNAL, "tile %lld was settled, which the grid does not have",
                        (long long)result->tile);
    }
    count(a, result);
    /* A failed tile's silence means nothing; an empty one's says that there is nothing. */
    bool looked = result->outcome != PT_TILE_FAILED;
    PT_TRY(pt_stitcher_add(a->stitcher, result->tile, looked ? &result->instances : NULL));
    a->report.stitch = pt_stitcher_stats(a->stitcher);
    if (a->options.progress) {
        a->options.progress(a->options.user, &a->report);
    }
    return pt_ok();
}

static int compare_failed(const void *left, const void *right)
{
    const pt_failed_tile *a = left;
    const pt_failed_tile *b = right;
    return (a->tile > b->tile) - (a->tile < b->tile);
}

pt_status pt_assembler_finish(pt_assembler *a)
{
    PT_TRY(pt_stitcher_finish(a->stitcher));
    a->report.stitch = pt_stitcher_stats(a->stitcher);
    qsort(a->report.failed_tiles, (size_t)a->report.failed_named, sizeof *a->report.failed_tiles,
          compare_failed);
    return pt_spool_sort(a->spool);
}

pt_status pt_assembler_write(pt_assembler *a, pt_writer *writer, pt_overlay *overlay)
{
    for (size_t i = 0; i < pt_spool_count(a->spool); i++) {
        pt_feature feature = {0};
        PT_TRY(pt_spool_read(a->spool, i, &feature));
        pt_status status = pt_writer_write(writer, &feature);
        if (status.code == PT_OK && overlay) {
            status = pt_overlay_draw(overlay, &feature);
        }
        pt_feature_fini(&feature);
        if (status.code != PT_OK) {
            return status;
        }
    }
    return pt_ok();
}

const pt_assemble_report *pt_assembler_report(const pt_assembler *a)
{
    return &a->report;
}

void pt_assembler_free(pt_assembler **assembler)
{
    if (!assembler || !*assembler) {
        return;
    }
    pt_assembler *a = *assembler;
    pt_stitcher_free(&a->stitcher);
    pt_spool_free(&a->spool);
    pt_free(a);
    *assembler = NULL;
}
