#include "coordinator/protocol/job_spec.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 256 }; /* bytes of a value's text */

/* A value's text that grows up to SHOWN and then ends in dots. */
typedef struct shown {
    char text[SHOWN];
    size_t length;
} shown;

static void show(shown *s, const char *text)
{
    size_t room = SHOWN - 1 - s->length;
    size_t length = strlen(text);
    memcpy(s->text + s->length, text, length < room ? length : room);
    s->length += length < room ? length : room;
    s->text[s->length] = '\0';
    if (length > room) {
        memcpy(s->text + SHOWN - 4, "...", 4);
    }
}

/* As it was typed, where 15 digits tell it from its neighbours. */
static void show_number(shown *s, double value)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", value + 0.0);
    if (strtod(text, NULL) != value) {
        snprintf(text, sizeof text, "%.17g", value);
    }
    show(s, text);
}

static const char *const gsd_words[] = {"auto", "native", "a number"};
static const char *const engine_words[] = {"none", "model", "oracle", "replay", "null"};

static void show_word(shown *s, const char *const *words, size_t count, int32_t value)
{
    if (value >= 0 && (size_t)value < count) {
        show(s, words[value]);
    } else {
        show_number(s, value);
    }
}

typedef enum field_kind { TEXT, TEXTS, INT32, GSD, ENGINE, INT64, BOOL, NUMBER, BYTES, BYTES_HEX } field_kind;

/* A field of a struct, `count` values at `offset`. Of texts, `extra` is where their number stands; of any
 * other, where a bool says whether the field counts (0: always, as no such bool comes first). */
typedef struct field {
    const char *name;
    field_kind kind;
    size_t offset, count, extra;
} field;

#define AT(type, member) offsetof(type, member)
static const field group_fields[] = {
    {"paths", TEXTS, AT(pt_job_group, paths), 1, AT(pt_job_group, path_count)},
    {"fingerprint", BYTES_HEX, AT(pt_job_group, fingerprint), 32, 0},
    {"width", INT64, AT(pt_job_group, width), 1, 0},
    {"height", INT64, AT(pt_job_group, height), 1, 0},
    {"range_lo", NUMBER, AT(pt_job_group, range_lo), 3, 0},
    {"range_hi", NUMBER, AT(pt_job_group, range_hi), 3, 0},
};

static const field spec_fields[] = {
    {"program", TEXT, AT(pt_job_spec, program), 1, 0},
    {"scene.bands", INT32, AT(pt_job_spec, scene.bands), 3, 0},
    {"scene.gsd_mode", GSD, AT(pt_job_spec, scene.gsd_mode), 1, 0},
    {"scene.gsd", NUMBER, AT(pt_job_spec, scene.gsd), 1, 0},
    {"scene.model_gsd", NUMBER, AT(pt_job_spec, scene.model_gsd), 1, 0},
    {"scene.aoi", TEXT, AT(pt_job_spec, scene.aoi), 1, 0},
    {"scene.aoi_sha256", BYTES_HEX, AT(pt_job_spec, scene.aoi_sha256), 32, 0},
    {"scene.has_bbox", BOOL, AT(pt_job_spec, scene.has_bbox), 1, 0},
    {"scene.bbox", NUMBER, AT(pt_job_spec, scene.bbox), 4, AT(pt_job_spec, scene.has_bbox)},
    {"scene.has_range", BOOL, AT(pt_job_spec, scene.has_range), 1, 0},
    {"scene.range_lo", NUMBER, AT(pt_job_spec, scene.range_lo), 1, AT(pt_job_spec, scene.has_range)},
    {"scene.range_hi", NUMBER, AT(pt_job_spec, scene.range_hi), 1, AT(pt_job_spec, scene.has_range)},
    {"scene.strict", BOOL, AT(pt_job_spec, scene.strict), 1, 0},
    {"scene.drivers", TEXTS, AT(pt_job_spec, scene.drivers), 1, AT(pt_job_spec, scene.driver_count)},
    {"scene.fill", BYTES, AT(pt_job_spec, scene.fill), 3, 0},
    {"grid.tile", INT64, AT(pt_job_spec, grid.tile), 1, 0},
    {"grid.overlap", INT64, AT(pt_job_spec, grid.overlap), 1, 0},
    {"grid.lattice", INT64, AT(pt_job_spec, grid.lattice), 1, 0},
    {"engine.kind", ENGINE, AT(pt_job_spec, engine.kind), 1, 0},
    {"engine.path", TEXT, AT(pt_job_spec, engine.path), 1, 0},
    {"engine.sha256", BYTES_HEX, AT(pt_job_spec, engine.sha256), 32, 0},
    {"engine.score", NUMBER, AT(pt_job_spec, engine.score), 1, 0},
    {"engine.detections", INT32, AT(pt_job_spec, engine.detections), 1, 0},
    {"engine.proposals", INT32, AT(pt_job_spec, engine.proposals), 1, 0},
    {"engine.backend", TEXT, AT(pt_job_spec, engine.backend), 1, 0},
    {"engine.precision", TEXT, AT(pt_job_spec, engine.precision), 1, 0},
    {"output.min_area", NUMBER, AT(pt_job_spec, output.min_area), 1, 0},
    {"output.simplify", NUMBER, AT(pt_job_spec, output.simplify), 1, 0},
    {"output.square", BOOL, AT(pt_job_spec, output.square), 1, 0},
    {"output.format", TEXT, AT(pt_job_spec, output.format), 1, 0},
    {"output.attempts", INT32, AT(pt_job_spec, output.attempts), 1, 0},
    {"output.quarantine", BOOL, AT(pt_job_spec, output.quarantine), 1, 0},
};
_Static_assert(sizeof(pt_engine_kind) == sizeof(int32_t), "engine.kind is compared as an int32_t");

/* The i-th value at `at`, which is a member of that type. */
#define VALUE(type, at, i) (((type const *)(const void *)(at))[i])

static bool texts_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool text_lists_equal(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
    bool same = a_count == b_count;
    for (size_t i = 0; same && i < a_count; i++) {
        same = texts_equal(a[i], b[i]);
    }
    return same;
}

static bool numbers_equal(const void *a, const void *b, size_t count)
{
    bool same = true;
    for (size_t i = 0; i < count; i++) {
        same = same && VALUE(double, a, i) == VALUE(double, b, i);
    }
    return same;
}

static bool values_equal(const field *f, const void *a, const void *b)
{
    const char *at_a = (const char *)a + f->offset;
    const char *at_b = (const char *)b + f->offset;
    const char *more_a = (const char *)a + f->extra;
    const char *more_b = (const char *)b + f->extra;
    switch (f->kind) {
    case TEXT:
        return texts_equal(VALUE(char *, at_a, 0), VALUE(char *, at_b, 0));
    case TEXTS:
        return text_lists_equal(VALUE(char **, at_a, 0), VALUE(size_t, more_a, 0), VALUE(char **, at_b, 0),
                                VALUE(size_t, more_b, 0));
    case NUMBER:
        /* What one of them does not use is told by the bool itself. */
        return (f->extra > 0 && (!VALUE(bool, more_a, 0) || !VALUE(bool, more_b, 0))) ||
               numbers_equal(at_a, at_b, f->count);
    case INT32:
    case GSD:
    case ENGINE:
        return memcmp(at_a, at_b, f->count * sizeof(int32_t)) == 0;
    case INT64:
        return memcmp(at_a, at_b, f->count * sizeof(int64_t)) == 0;
    case BOOL:
    case BYTES:
    case BYTES_HEX:
        break;
    }
    return memcmp(at_a, at_b, f->count) == 0;
}

static void show_one(shown *s, const field *f, const void *at, size_t i)
{
    char text[4];
    switch (f->kind) {
    case TEXT:
    case TEXTS:
        show(s, VALUE(char *, at, i) ? VALUE(char *, at, i) : "none");
        return;
    case INT32:
        show_number(s, VALUE(int32_t, at, i));
        return;
    case GSD:
        show_word(s, gsd_words, sizeof gsd_words / sizeof *gsd_words, VALUE(int32_t, at, i));
        return;
    case ENGINE:
        show_word(s, engine_words, sizeof engine_words / sizeof *engine_words, VALUE(int32_t, at, i));
        return;
    case INT64: /* below 2^53: the grid's */
        show_number(s, (double)VALUE(int64_t, at, i));
        return;
    case BOOL:
        show(s, VALUE(bool, at, i) ? "true" : "false");
        return;
    case NUMBER:
        show_number(s, VALUE(double, at, i));
        return;
    case BYTES:
        show_number(s, VALUE(uint8_t, at, i));
        return;
    case BYTES_HEX:
        snprintf(text, sizeof text, "%02x", VALUE(uint8_t, at, i));
        show(s, text);
        return;
    }
}

static void show_value(shown *s, const field *f, const void *of)
{
    const void *at = (const char *)of + f->offset;
    size_t count = f->count;
    if (f->kind == TEXTS) {
        count = VALUE(size_t, (const char *)of + f->extra, 0);
        at = VALUE(char **, at, 0);
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && f->kind != BYTES_HEX) {
            show(s, ",");
        }
        show_one(s, f, at, i);
    }
}

static int compare_fields(const char *prefix, const field *fields, size_t count, const void *was,
                          const void *is, pt_job_difference *sink, void *user)
{
    int differences = 0;
    for (size_t i = 0; i < count; i++) {
        if (values_equal(&fields[i], was, is)) {
            continue;
        }
        differences++;
        char name[64];
        snprintf(name, sizeof name, "%s%s", prefix, fields[i].name);
        shown a = {0};
        shown b = {0};
        show_value(&a, &fields[i], was);
        show_value(&b, &fields[i], is);
        sink(user, name, a.text, b.text);
    }
    return differences;
}

int pt_job_spec_compare(const pt_job_spec *was, const pt_job_spec *is, pt_job_difference *sink, void *user)
{
    int differences =
        compare_fields("", spec_fields, sizeof spec_fields / sizeof *spec_fields, was, is, sink, user);
    size_t groups = was->group_count < is->group_count ? was->group_count : is->group_count;
    if (was->group_count != is->group_count) {
        char counts[2][24];
        snprintf(counts[0], sizeof counts[0], "%zu", was->group_count);
        snprintf(counts[1], sizeof counts[1], "%zu", is->group_count);
        sink(user, "groups", counts[0], counts[1]);
        differences++;
    }
    for (size_t g = 0; g < groups; g++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "groups[%zu].", g);
        differences += compare_fields(prefix, group_fields, sizeof group_fields / sizeof *group_fields,
                                      &was->groups[g], &is->groups[g], sink, user);
    }
    return differences;
}
