#include "tiling/instance/feature.h"

static void polygon_fini(pt_polygon *polygon)
{
    for (size_t i = 0; i < polygon->count; i++) {
        pt_free(polygon->rings[i].xy);
    }
    pt_free(polygon->rings);
}

void pt_feature_fini(pt_feature *feature)
{
    for (size_t i = 0; i < feature->count; i++) {
        polygon_fini(&feature->polygons[i]);
    }
    pt_free(feature->polygons);
    *feature = (pt_feature){0};
}
