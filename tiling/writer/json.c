/* GeoJSON and GeoJSONSeq, written as text here: GDAL's own drivers do not notice a write that fails (3.6
 * reports success for a file cut off by a full disk), and a cut file must never get its final name. */
#include "tiling/writer/sink.h"

#include <cpl_string.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { DEGREE_DECIMALS = 7, PIXEL_DECIMALS = 3 };

typedef struct json_sink {
    pt_sink base;
    FILE *file;
    bool sequence; /* one feature a line */
    bool degrees;  /* else pixels */
    bool any;      /* a feature has been written */
    char *text;    /* the record being put together */
    size_t used, capacity;
    bool lacks_memory;
} json_sink;

static void put(json_sink *s, const char *text, size_t length)
{
    if (s->lacks_memory || pt_grow(&s->text, &s->capacity, s->used + length, 1).code != PT_OK) {
        s->lacks_memory = true;
        return;
    }
    memcpy(s->text + s->used, text, length);
    s->used += length;
}

static void put_text(json_sink *s, const char *text)
{
    put(s, text, strlen(text));
}

/* units / 10^decimals without trailing zeros, but with `least` decimals; integers only, so that no locale or
 * rounding of printf has a say. */
static void put_decimal(json_sink *s, int64_t units, int decimals, int least)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%0*" PRIu64, decimals + 1,
                          units < 0 ? (uint64_t)0 - (uint64_t)units : (uint64_t)units);
    int fraction = decimals;
    while (fraction > least && digits[length - 1] == '0') {
        length--;
        fraction--;
    }
    if (units < 0) {
        put(s, "-", 1);
    }
    put(s, digits, (size_t)(length - fraction));
    if (fraction > 0) {
        put(s, ".", 1);
        put(s, digits + length - fraction, (size_t)fraction);
    }
}

static void put_string(json_sink *s, const char *text)
{
    put(s, "\"", 1);
    for (const char *c = text; *c; c++) {
        char escaped[8];
        if (*c == '"' || *c == '\\') {
            snprintf(escaped, sizeof escaped, "\\%c", *c);
            put_text(s, escaped);
        } else if ((unsigned char)*c < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*c);
            put_text(s, escaped);
        } else {
            put(s, c, 1);
        }
    }
    put(s, "\"", 1);
}

static void put_integer(json_sink *s, const char *name, int64_t value)
{
    char number[64];
    snprintf(number, sizeof number, "\"%s\":%" PRId64, name, value);
    put_text(s, number);
}

/* At least one decimal, so that readers take every such field for a real number. */
static void put_measure(json_sink *s, const char *name, bool known, double value, int decimals)
{
    put_text(s, name);
    if (known) {
        put_decimal(s, pt_shape_units(value, decimals), decimals, 1);
    } else {
        put_text(s, "null");
    }
}

static void put_properties(json_sink *s, const pt_record *r)
{
    put_text(s, "\"properties\":{");
    put_integer(s, "id", r->id);
    put_text(s, ",\"class\":");
    put_string(s, r->class_name);
    put_measure(s, ",\"score\":", true, r->score, 4);
    put_measure(s, ",\"area_m2\":", r->measured, r->area_m2, 2);
    put_measure(s, ",\"perimeter_m\":", r->measured, r->perimeter_m, 2);
    put_text(s, ",");
    put_integer(s, "tiles", r->tiles);
    put_text(s, r->merged ? ",\"merged\":true" : ",\"merged\":false");
    put_text(s, r->truncated ? ",\"truncated\":true}" : ",\"truncated\":false}");
}

/* Texts from anywhere; bytes that are no UTF-8 would make the whole file invalid. */
static void put_foreign_string(json_sink *s, const char *text)
{
    char *ascii = CPLIsUTF8(text, -1) ? NULL : CPLForceToASCII(text, -1, '?');
    put_string(s, ascii ? ascii : text);
    CPLFree(ascii);
}

static void put_own_properties(json_sink *s, const pt_record *r)
{
    put_text(s, "\"properties\":{");
    for (size_t i = 0; i < r->property_count; i++) {
        const pt_property *p = &r->properties[i];
        put_text(s, i ? "," : "");
        if (p->kind == PT_PROPERTY_INTEGER) {
            put_integer(s, p->name, p->integer);
            continue;
        }
        put_string(s, p->name);
        if (p->kind == PT_PROPERTY_REAL) {
            put_measure(s, ":", true, p->real, p->decimals);
        } else if (p->text) {
            put_text(s, ":");
            put_foreign_string(s, p->text);
        } else {
            put_text(s, ":null");
        }
    }
    put_text(s, "}");
}

static void put_ring(json_sink *s, OGRGeometryH ring)
{
    int decimals = s->degrees ? DEGREE_DECIMALS : PIXEL_DECIMALS;
    int count = OGR_G_GetPointCount(ring);
    for (int i = 0; i < count; i++) {
        double x, y;
        OGR_G_GetPoint(ring, i, &x, &y, &(double){0});
        put_text(s, i ? ",[" : "[[");
        put_decimal(s, pt_shape_units(x, decimals), decimals, 0);
        put(s, ",", 1);
        put_decimal(s, pt_shape_units(y, decimals), decimals, 0);
        put(s, "]", 1);
    }
    put(s, "]", 1);
}

static void put_polygon(json_sink *s, OGRGeometryH polygon)
{
    int rings = OGR_G_GetGeometryCount(polygon);
    for (int i = 0; i < rings; i++) {
        put_text(s, i ? "," : "[");
        put_ring(s, OGR_G_GetGeometryRef(polygon, i));
    }
    put(s, "]", 1);
}

static void put_geometry(json_sink *s, OGRGeometryH multi)
{
    if (!multi) {
        put_text(s, "\"geometry\":null");
        return;
    }
    int parts = OGR_G_GetGeometryCount(multi);
    put_text(s, parts == 1 ? "\"geometry\":{\"type\":\"Polygon\",\"coordinates\":"
                           : "\"geometry\":{\"type\":\"MultiPolygon\",\"coordinates\":[");
    for (int i = 0; i < parts; i++) {
        put_text(s, i ? "," : "");
        put_polygon(s, OGR_G_GetGeometryRef(multi, i));
    }
    put_text(s, parts == 1 ? "}" : "]}");
}

/* Writes the text put together; the first failure is the writer's last. */
static pt_status flush_text(json_sink *s)
{
    size_t length = s->used;
    s->used = 0;
    if (s->lacks_memory) {
        s->lacks_memory = false;
        return PT_NOMEM("a feature's text");
    }
    errno = 0;
    if (fwrite(s->text, 1, length, s->file) != length) {
        return pt_partial_failed(s->base.partial, errno, "");
    }
    return pt_ok();
}

static pt_status json_start(pt_sink *sink, OGRSpatialReferenceH crs)
{
    json_sink *s = (json_sink *)sink;
    s->degrees = crs != NULL;
    s->file = fopen(sink->partial->temp, "wb");
    if (!s->file) {
        return pt_partial_failed(sink->partial, errno, "");
    }
    if (s->sequence) {
        return pt_ok();
    }
    put_text(s, "{\"type\":\"FeatureCollection\",");
    if (!s->degrees) {
        /* RFC 7946 knows no other CRS than WGS 84; its predecessor had this for none. */
        put_text(s, "\"crs\":null,");
    }
    put_text(s, "\"features\":[");
    return flush_text(s);
}

static pt_status json_write(pt_sink *sink, const pt_record *record)
{
    json_sink *s = (json_sink *)sink;
    if (!s->sequence) {
        put_text(s, s->any ? ",\n" : "\n");
    }
    put_text(s, "{\"type\":\"Feature\",");
    if (record->properties) {
        put_own_properties(s, record);
    } else {
        put_properties(s, record);
    }
    put_text(s, ",");
    put_geometry(s, record->geometry);
    put_text(s, s->sequence ? "}\n" : "}");
    s->any = true;
    return flush_text(s);
}

static pt_status json_finish(pt_sink *sink)
{
    json_sink *s = (json_sink *)sink;
    if (!s->sequence) {
        put_text(s, "\n]}\n");
        PT_TRY(flush_text(s));
    }
    FILE *file = s->file;
    s->file = NULL;
    errno = 0;
    if (fclose(file) != 0) {
        return pt_partial_failed(sink->partial, errno, "");
    }
    return pt_ok();
}

static void json_free(pt_sink *sink)
{
    json_sink *s = (json_sink *)sink;
    if (s->file) {
        fclose(s->file);
    }
    pt_free(s->text);
    pt_free(s);
}

static const pt_sink_class json_class = {json_start, json_write, json_finish, json_free, true};

pt_sink *pt_sink_new_json(const pt_partial *partial, bool sequence)
{
    json_sink *s = pt_calloc(1, sizeof *s);
    if (!s) {
        return NULL;
    }
    s->base = (pt_sink){&json_class, partial};
    s->sequence = sequence;
    return &s->base;
}
