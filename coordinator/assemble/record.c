#include "coordinator/assemble/record.h"

#include <string.h>

/* Everything but the geometry; followed by polygons: ring count, then per ring point count and coordinates.
 */
typedef struct head {
    int64_t anchor_x, anchor_y;
    uint64_t polygons;
    int32_t class_id, tiles;
    uint16_t score_q;
    uint8_t merged, truncated;
    uint32_t unused; /* no padding: records are compared byte by byte */
} head;

static pt_status append(pt_record *record, const void *bytes, size_t size)
{
    size_t wanted;
    if (!pt_size_add(record->size, size, &wanted)) {
        return PT_NOMEM("a feature's record");
    }
    PT_TRY(pt_grow(&record->bytes, &record->capacity, wanted, 1));
    memcpy(record->bytes + record->size, bytes, size);
    record->size = wanted;
    return pt_ok();
}

static pt_status append_count(pt_record *record, size_t count)
{
    uint64_t value = count;
    return append(record, &value, sizeof value);
}

static pt_status append_polygon(pt_record *record, const pt_polygon *polygon)
{
    PT_TRY(append_count(record, polygon->count));
    for (size_t r = 0; r < polygon->count; r++) {
        const pt_ring *ring = &polygon->rings[r];
        PT_TRY(append_count(record, ring->count));
        PT_TRY(append(record, ring->xy, ring->count * 2 * sizeof *ring->xy));
    }
    return pt_ok();
}

pt_status pt_record_encode(pt_record *record, const pt_feature *feature)
{
    head h = {.anchor_x = feature->anchor_x,
              .anchor_y = feature->anchor_y,
              .polygons = feature->count,
              .class_id = feature->class_id,
              .tiles = feature->tiles,
              .score_q = feature->score_q,
              .merged = feature->merged,
              .truncated = feature->truncated};
    record->size = 0;
    PT_TRY(append(record, &h, sizeof h));
    for (size_t p = 0; p < feature->count; p++) {
        PT_TRY(append_polygon(record, &feature->polygons[p]));
    }
    return pt_ok();
}

typedef struct cursor {
    const unsigned char *at;
    size_t left;
} cursor;

static pt_status broken(void)
{
    return pt_error(PT_E_INTERNAL, "the spool of finished features does not hold what was written");
}

static pt_status take(cursor *c, void *out, size_t size)
{
    if (size > c->left) {
        return broken();
    }
    memcpy(out, c->at, size);
    c->at += size;
    c->left -= size;
    return pt_ok();
}

/* A count of items that take `least` bytes each or more: what is left bounds it. */
static pt_status take_count(cursor *c, size_t least, size_t *out)
{
    uint64_t value = 0;
    PT_TRY(take(c, &value, sizeof value));
    if (value > c->left / least) {
        return broken();
    }
    *out = (size_t)value;
    return pt_ok();
}

static pt_status take_ring(cursor *c, pt_ring *ring)
{
    size_t count = 0;
    PT_TRY(take_count(c, 2 * sizeof *ring->xy, &count));
    ring->xy = pt_alloc(count * 2, sizeof *ring->xy);
    if (!ring->xy) {
        return PT_NOMEM("a feature's ring");
    }
    ring->count = count;
    return take(c, ring->xy, count * 2 * sizeof *ring->xy);
}

static pt_status take_polygon(cursor *c, pt_polygon *polygon)
{
    size_t count = 0;
    PT_TRY(take_count(c, sizeof(uint64_t), &count));
    polygon->rings = pt_calloc(count, sizeof *polygon->rings);
    if (!polygon->rings) {
        return PT_NOMEM("a feature's polygon");
    }
    polygon->count = count;
    for (size_t r = 0; r < count; r++) {
        PT_TRY(take_ring(c, &polygon->rings[r]));
    }
    return pt_ok();
}

static pt_status take_feature(cursor *c, pt_feature *feature)
{
    head h;
    PT_TRY(take(c, &h, sizeof h));
    if (h.polygons > c->left / sizeof(uint64_t)) {
        return broken();
    }
    feature->polygons = pt_calloc((size_t)h.polygons, sizeof *feature->polygons);
    if (!feature->polygons) {
        return PT_NOMEM("a feature's polygons");
    }
    feature->count = (size_t)h.polygons;
    feature->class_id = h.class_id;
    feature->score_q = h.score_q;
    feature->tiles = h.tiles;
    feature->merged = h.merged != 0;
    feature->truncated = h.truncated != 0;
    feature->anchor_x = h.anchor_x;
    feature->anchor_y = h.anchor_y;
    for (size_t p = 0; p < feature->count; p++) {
        PT_TRY(take_polygon(c, &feature->polygons[p]));
    }
    return c->left == 0 ? pt_ok() : broken();
}

pt_status pt_record_decode(const unsigned char *bytes, size_t size, pt_feature *out)
{
    cursor c = {bytes, size};
    pt_feature feature = {0};
    pt_status status = take_feature(&c, &feature);
    if (status.code != PT_OK) {
        pt_feature_fini(&feature);
        return status;
    }
    *out = feature;
    return status;
}

void pt_record_fini(pt_record *record)
{
    pt_free(record->bytes);
    memset(record, 0, sizeof *record);
}
