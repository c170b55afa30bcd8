#include "tiling/stitch/parts.h"

#include <stdlib.h>
#include <string.h>

/* Areas of masks inside a window, times SHARE_ONE, must fit 63 bits. */
static const int64_t max_tile = (int64_t)1 << 20;

pt_stitch_options pt_stitch_defaults(void)
{
    return (pt_stitch_options){.agreement = 0.5, .duplicate = 0.5, .edge = 4};
}

void pt_object_fini(pt_object *object)
{
    pt_instance_fini(&object->instance);
    *object = (pt_object){0};
}

static pt_status check_options(const pt_grid *grid, const pt_stitch_options *o)
{
    if (grid->tile > max_tile) {
        return pt_error(PT_E_USAGE, "tiles of %lld pixels cannot be stitched: use %lld at most",
                        (long long)grid->tile, (long long)max_tile);
    }
    if (!(o->agreement > 0 && o->agreement <= 1)) {
        return pt_error(PT_E_USAGE,
                        "a stitching agreement of %g is impossible: it must be above 0 and at most 1",
                        o->agreement);
    }
    if (!(o->duplicate > 0)) {
        return pt_error(PT_E_USAGE,
                        "a duplicate share of %g is impossible: it must be above 0 (above 1 keeps all)",
                        o->duplicate);
    }
    if (o->edge < 1 || o->edge > max_tile) {
        return pt_error(PT_E_USAGE, "an edge of %lld pixels is impossible: it must be 1 to %lld",
                        (long long)o->edge, (long long)max_tile);
    }
    return pt_ok();
}

static int64_t to_share(double fraction)
{
    double clipped = fraction < 2 ? fraction : 2;
    int64_t share = (int64_t)(clipped * SHARE_ONE + 0.5);
    return share > 0 ? share : 1;
}

pt_status pt_stitcher_new(const pt_grid *grid, pt_stitch_options options, pt_object_sink *sink, void *user,
                          pt_stitcher **out)
{
    PT_TRY(check_options(grid, &options));
    pt_stitcher *s = pt_calloc(1, sizeof *s);
    if (!s) {
        return PT_NOMEM("the stitcher");
    }
    pt_status status = pt_tile_book_init(grid, &s->book);
    if (status.code != PT_OK) {
        pt_free(s);
        return status;
    }
    s->grid = *grid;
    s->agreement = to_share(options.agreement);
    s->duplicate = to_share(options.duplicate);
    s->edge = options.edge < grid->overlap ? options.edge : grid->overlap;
    s->sink = sink;
    s->user = user;
    s->failure = pt_ok();
    pthread_mutex_init(&s->lock, NULL);
    pthread_mutex_init(&s->sink_lock, NULL);
    *out = s;
    return pt_ok();
}

static void outbox_fini(pt_outbox *box)
{
    for (size_t i = 0; i < box->count; i++) {
        pt_object_fini(&box->items[i]);
    }
    pt_free(box->items);
    *box = (pt_outbox){0};
}

void pt_stitcher_free(pt_stitcher **stitcher)
{
    pt_stitcher *s = *stitcher;
    if (!s) {
        return;
    }
    while (s->components) {
        pt_component_free(s, s->components);
    }
    outbox_fini(&s->outbox);
    pt_tile_book_fini(&s->book);
    pthread_mutex_destroy(&s->sink_lock);
    pthread_mutex_destroy(&s->lock);
    pt_free(s);
    *stitcher = NULL;
}

/* The tile's detections, each a component of its own, in an order that their contents give. */
static pt_status new_waiting_tile(pt_stitcher *s, int64_t tile, pt_instance_list *list, pt_waiting_tile **out)
{
    pt_waiting_tile *w = pt_calloc(1, sizeof *w);
    pt_status status = w ? pt_ok() : PT_NOMEM("a tile's detections");
    if (!w) {
        return status;
    }
    w->tile = tile;
    size_t count = list ? list->count : 0;
    w->detections = pt_calloc(count, sizeof(pt_detection *));
    if (!w->detections) {
        status = PT_NOMEM("a tile's detections");
        goto out;
    }
    if (count > 0) {
        qsort(list->items, count, sizeof *list->items, pt_instance_compare);
    }
    for (; w->count < count; w->count++) {
        PT_TRY_OUT(pt_component_new(s, tile, w->count, &list->items[w->count], &w->detections[w->count]));
    }
    s->stats.detections += (int64_t)count;
    if (s->stats.waiting > s->stats.waiting_peak) {
        s->stats.waiting_peak = s->stats.waiting;
    }
    *out = w;
    w = NULL;
out:
    pt_waiting_tile_free(w);
    return status;
}

static pt_status meet_tile(pt_stitcher *s, const pt_waiting_tile *a, const pt_waiting_tile *b)
{
    pt_rect shared = pt_rect_intersect(pt_grid_window(&s->grid, a->tile), pt_grid_window(&s->grid, b->tile));
    for (size_t i = 0; i < a->count; i++) {
        if (pt_rect_is_empty(pt_rect_intersect(a->detections[i]->instance.mask.box, shared))) {
            continue;
        }
        for (size_t k = 0; k < b->count; k++) {
            PT_TRY(pt_component_meet(s, a->detections[i], b->detections[k]));
        }
    }
    return pt_ok();
}

/* No tile that could touch this one's detections is missing any more. */
static void surround(pt_stitcher *s, const pt_waiting_tile *w)
{
    for (size_t i = 0; i < w->count; i++) {
        pt_component *component = w->detections[i]->component;
        if (--component->open == 0) {
            pt_component_list(&s->to_resolve, component);
        }
    }
}

static pt_status meet_neighbour(pt_stitcher *s, pt_waiting_tile *w, int64_t neighbour)
{
    if (s->book.state[neighbour] == PT_TILE_MISSING) {
        w->missing++;
        return pt_ok();
    }
    pt_waiting_tile *other = pt_tile_book_find(&s->book, neighbour);
    if (!other) {
        return pt_ok();
    }
    PT_TRY(meet_tile(s, w, other));
    if (--other->missing == 0) {
        surround(s, other);
        pt_tile_book_remove(&s->book, neighbour);
    }
    return pt_ok();
}

static pt_status meet_neighbours(pt_stitcher *s, pt_waiting_tile *w)
{
    pt_grid_range range = pt_grid_touching(&s->grid, pt_grid_window(&s->grid, w->tile));
    for (int64_t row = range.row0; row < range.row1; row++) {
        for (int64_t col = range.col0; col < range.col1; col++) {
            int64_t neighbour = pt_grid_index(&s->grid, col, row);
            if (neighbour != w->tile) {
                PT_TRY(meet_neighbour(s, w, neighbour));
            }
        }
    }
    return pt_ok();
}

static pt_status add_tile(pt_stitcher *s, int64_t tile, pt_instance_list *list)
{
    s->book.state[tile] = list ? PT_TILE_SEEN : PT_TILE_UNSEEN;
    pt_waiting_tile *w = NULL;
    PT_TRY(new_waiting_tile(s, tile, list, &w));
    pt_status status = meet_neighbours(s, w);
    if (status.code == PT_OK && w->missing == 0) {
        surround(s, w);
    } else if (status.code == PT_OK && w->count > 0) {
        status = pt_tile_book_insert(&s->book, w);
        w = status.code == PT_OK ? NULL : w;
    }
    pt_waiting_tile_free(w);
    PT_TRY(status);
    for (pt_component *c; (c = pt_component_unlist(&s->to_resolve));) {
        PT_TRY(pt_component_resolve(s, c));
    }
    for (pt_component *c; (c = pt_component_unlist(&s->to_settle));) {
        PT_TRY(pt_component_settle(s, c));
    }
    return pt_ok();
}

static pt_status check_tile(const pt_stitcher *s, int64_t tile, const pt_instance_list *list)
{
    if (tile < 0 || tile >= pt_grid_count(&s->grid)) {
        return pt_error(PT_E_INTERNAL, "tile %lld is not one of the grid's %lld", (long long)tile,
                        (long long)pt_grid_count(&s->grid));
    }
    if (s->book.state[tile] != PT_TILE_MISSING) {
        return pt_error(PT_E_INTERNAL, "tile %lld was given to the stitcher twice", (long long)tile);
    }
    return list ? pt_instances_check(&s->grid, tile, list) : pt_ok();
}

/* What a failed stitcher, or an argument that changes nothing, says without touching the state. */
static pt_status add_locked(pt_stitcher *s, int64_t tile, pt_instance_list *list)
{
    PT_TRY(s->failure);
    PT_TRY(check_tile(s, tile, list));
    s->failure = add_tile(s, tile, list);
    return s->failure;
}

static pt_status failure_of(pt_stitcher *s, const pt_status *latest)
{
    pthread_mutex_lock(&s->lock);
    if (latest && s->failure.code == PT_OK) {
        s->failure = *latest;
    }
    pt_status failure = s->failure;
    pthread_mutex_unlock(&s->lock);
    return failure;
}

static pt_status emit(pt_stitcher *s, pt_outbox *box)
{
    pthread_mutex_lock(&s->sink_lock);
    pt_status status = failure_of(s, NULL);
    for (size_t i = 0; status.code == PT_OK && i < box->count; i++) {
        status = s->sink(s->user, &box->items[i]);
        if (status.code != PT_OK) {
            failure_of(s, &status);
        }
    }
    pthread_mutex_unlock(&s->sink_lock);
    return status;
}

pt_status pt_stitcher_add(pt_stitcher *stitcher, int64_t tile, pt_instance_list *instances)
{
    pthread_mutex_lock(&stitcher->lock);
    pt_status status = add_locked(stitcher, tile, instances);
    pt_outbox box = stitcher->outbox;
    stitcher->outbox = (pt_outbox){0};
    pthread_mutex_unlock(&stitcher->lock);
    if (instances) {
        pt_instance_list_fini(instances);
    }
    if (status.code == PT_OK && box.count > 0) {
        status = emit(stitcher, &box);
    }
    outbox_fini(&box);
    return status;
}

pt_status pt_stitcher_finish(pt_stitcher *stitcher)
{
    pthread_mutex_lock(&stitcher->lock);
    pt_status status = stitcher->failure;
    const uint8_t *missing =
        memchr(stitcher->book.state, PT_TILE_MISSING, (size_t)pt_grid_count(&stitcher->grid));
    if (status.code == PT_OK && missing) {
        status = pt_error(PT_E_INTERNAL, "tile %lld was never given to the stitcher",
                          (long long)(missing - stitcher->book.state));
    } else if (status.code == PT_OK && stitcher->components) {
        status = pt_error(PT_E_INTERNAL, "all tiles were stitched, yet %lld detections still wait",
                          (long long)stitcher->stats.waiting);
    }
    pthread_mutex_unlock(&stitcher->lock);
    return status;
}

pt_stitch_stats pt_stitcher_stats(pt_stitcher *stitcher)
{
    pthread_mutex_lock(&stitcher->lock);
    pt_stitch_stats stats = stitcher->stats;
    pthread_mutex_unlock(&stitcher->lock);
    return stats;
}
