#include "tiling/scene/internal.h"

#include <string.h>

struct pt_burner {
    pt_shapes shapes; /* in file order, so the polygons of one object stand together */
    pt_shape_scratch scratch;
    uint8_t *bytes;
    size_t capacity;
};

pt_status pt_burner_open(const char *path, const pt_scene *scene, pt_burner **out)
{
    if (!path || !path[0]) {
        return pt_error(PT_E_USAGE, "no vector file was named to burn");
    }
    pt_burner *burner = pt_calloc(1, sizeof *burner);
    if (!burner) {
        return PT_NOMEM("a burner");
    }
    pt_status status = pt_shapes_load(path, &scene->info.georef, false, &burner->shapes);
    if (status.code != PT_OK) {
        pt_burner_close(&burner);
        return status;
    }
    *out = burner;
    return pt_ok();
}

/* The polygons [first, end) are one object's. */
static pt_status burn_object(pt_burner *burner, size_t first, size_t end, pt_rect area, pt_burn_sink *sink,
                             void *user)
{
    size_t n = (size_t)pt_rect_area(area);
    PT_TRY(pt_grow(&burner->bytes, &burner->capacity, n, 1));
    memset(burner->bytes, 0, n);
    int64_t count = 0;
    const pt_shape_polygon *polygons = burner->shapes.polygons;
    for (size_t i = first; i < end; i++) {
        PT_TRY(pt_shape_fill(&burner->shapes, &polygons[i], area, burner->bytes, (size_t)area.w,
                             &burner->scratch, &count));
    }
    return count ? sink(user, polygons[first].object, polygons[first].class_id, area, burner->bytes)
                 : pt_ok();
}

pt_status pt_burner_burn(pt_burner *burner, pt_rect rect, pt_burn_sink *sink, void *user)
{
    const pt_shape_polygon *polygons = burner->shapes.polygons;
    size_t count = burner->shapes.polygon_count, end = 0;
    for (size_t first = 0; first < count; first = end) {
        pt_rect area = {0, 0, 0, 0};
        for (end = first; end < count && polygons[end].object == polygons[first].object; end++) {
            area = pt_rect_union(area, pt_rect_intersect(rect, polygons[end].box));
        }
        if (!pt_rect_is_empty(area)) {
            PT_TRY(burn_object(burner, first, end, area, sink, user));
        }
    }
    return pt_ok();
}

void pt_burner_close(pt_burner **burner)
{
    pt_burner *b = *burner;
    if (!b) {
        return;
    }
    pt_shapes_fini(&b->shapes);
    pt_shape_scratch_fini(&b->scratch);
    pt_free(b->bytes);
    pt_free(b);
    *burner = NULL;
}
