#include "coordinator/protocol/job_spec.h"
#include "coordinator/protocol/codec.h"
#include "tiling/base/sha256.h"
#include <messages.pb-c.h> /* generated from messages.proto */

#include <string.h>

enum {
    SPEC_MAX = 16 << 20, /* bytes: some 400,000 paths */
    SPEC_GROWTH = 24,    /* memory per byte at most: a path of one letter takes 3 bytes on the wire and about
                            50 unpacked */
};

static void free_texts(char **list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pt_free(list[i]);
    }
    pt_free(list);
}

void pt_job_spec_fini(pt_job_spec *spec)
{
    for (size_t g = 0; g < spec->group_count; g++) {
        free_texts(spec->groups[g].paths, spec->groups[g].path_count);
    }
    pt_free(spec->groups);
    pt_free(spec->program);
    pt_free(spec->scene.aoi);
    free_texts(spec->scene.drivers, spec->scene.driver_count);
    pt_free(spec->engine.path);
    pt_free(spec->engine.backend);
    pt_free(spec->engine.precision);
    pt_free(spec->output.format);
    *spec = (pt_job_spec){0};
}

pt_status pt_job_spec_set_text(char **field, const char *text)
{
    char *copy = text ? pt_strdup(text) : NULL;
    if (text && !copy) {
        return PT_NOMEM("a job's specification");
    }
    pt_free(*field);
    *field = copy;
    return pt_ok();
}

pt_status pt_job_spec_add_text(char ***list, size_t *count, const char *text)
{
    char *copy = pt_strdup(text);
    char **grown = copy ? pt_realloc(*list, *count + 1, sizeof **list) : NULL;
    if (!grown) {
        pt_free(copy);
        return PT_NOMEM("a job's specification");
    }
    grown[(*count)++] = copy;
    *list = grown;
    return pt_ok();
}

pt_status pt_job_spec_add_group(pt_job_spec *spec, pt_job_group **out)
{
    pt_job_group *grown = pt_realloc(spec->groups, spec->group_count + 1, sizeof *grown);
    if (!grown) {
        return PT_NOMEM("a job's specification");
    }
    spec->groups = grown;
    *out = &grown[spec->group_count++];
    **out = (pt_job_group){0};
    return pt_ok();
}

static ProtobufCBinaryData binary(const uint8_t *bytes, size_t size)
{
    /* Packing only reads. */
    return (ProtobufCBinaryData){size, (uint8_t *)bytes};
}

/* Adding zero turns a negative zero, which is equal to zero, into zero. */
static void put_numbers(double *to, const double *from, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        to[i] = from[i] + 0.0;
    }
}

typedef struct wire_group {
    PtWire__Group wire;
    double range[6];
} wire_group;

static pt_status groups_to_wire(const pt_job_spec *spec, wire_group **groups, PtWire__Group ***pointers)
{
    wire_group *items = pt_calloc(spec->group_count, sizeof *items);
    PtWire__Group **all = pt_calloc(spec->group_count, sizeof *all);
    if (!items || !all) {
        pt_free(items);
        pt_free(all);
        return PT_NOMEM("a job's specification");
    }
    for (size_t g = 0; g < spec->group_count; g++) {
        const pt_job_group *group = &spec->groups[g];
        pt_wire__group__init(&items[g].wire);
        items[g].wire.n_path = group->path_count;
        items[g].wire.path = group->paths;
        items[g].wire.fingerprint = binary(group->fingerprint, sizeof group->fingerprint);
        items[g].wire.width = group->width;
        items[g].wire.height = group->height;
        put_numbers(items[g].range, group->range_lo, 3);
        put_numbers(items[g].range + 3, group->range_hi, 3);
        items[g].wire.n_range = 6;
        items[g].wire.range = items[g].range;
        all[g] = &items[g].wire;
    }
    *groups = items;
    *pointers = all;
    return pt_ok();
}

/* The numbers that the wire wants as arrays. */
typedef struct wire_scene {
    PtWire__SceneOptions wire;
    int32_t bands[3];
    double bbox[4], range[2];
} wire_scene;

static void scene_to_wire(const pt_job_spec *spec, wire_scene *out)
{
    pt_wire__scene_options__init(&out->wire);
    memcpy(out->bands, spec->scene.bands, sizeof out->bands);
    put_numbers(out->bbox, spec->scene.bbox, 4);
    put_numbers(out->range, (const double[2]){spec->scene.range_lo, spec->scene.range_hi}, 2);
    out->wire.n_band = 3;
    out->wire.band = out->bands;
    out->wire.gsd_mode = spec->scene.gsd_mode;
    out->wire.gsd = spec->scene.gsd + 0.0;
    out->wire.model_gsd = spec->scene.model_gsd + 0.0;
    out->wire.aoi = spec->scene.aoi;
    out->wire.aoi_sha256 = binary(spec->scene.aoi_sha256, sizeof spec->scene.aoi_sha256);
    out->wire.n_bbox = spec->scene.has_bbox ? 4 : 0;
    out->wire.bbox = out->bbox;
    out->wire.n_range = spec->scene.has_range ? 2 : 0;
    out->wire.range = out->range;
    out->wire.strict = spec->scene.strict;
    out->wire.n_driver = spec->scene.driver_count;
    out->wire.driver = spec->scene.drivers;
    out->wire.fill = binary(spec->scene.fill, sizeof spec->scene.fill);
}

static void engine_to_wire(const pt_job_spec *spec, PtWire__EngineOptions *out)
{
    pt_wire__engine_options__init(out);
    out->kind = spec->engine.kind;
    out->path = spec->engine.path;
    out->sha256 = binary(spec->engine.sha256, sizeof spec->engine.sha256);
    out->score = spec->engine.score + 0.0;
    out->detections = spec->engine.detections;
    out->proposals = spec->engine.proposals;
    out->backend = spec->engine.backend;
    out->precision = spec->engine.precision;
}

static void output_to_wire(const pt_job_spec *spec, PtWire__OutputOptions *out)
{
    pt_wire__output_options__init(out);
    out->min_area = spec->output.min_area + 0.0;
    out->simplify = spec->output.simplify + 0.0;
    out->square = spec->output.square;
    out->format = spec->output.format;
    out->attempts = spec->output.attempts;
    out->quarantine = spec->output.quarantine;
}

static pt_status pack_spec(const pt_job_spec *spec, uint8_t **bytes, size_t *size)
{
    wire_group *groups = NULL;
    PtWire__Spec wire = PT_WIRE__SPEC__INIT;
    PT_TRY(groups_to_wire(spec, &groups, &wire.group));
    wire.n_group = spec->group_count;
    wire_scene scene;
    scene_to_wire(spec, &scene);
    PtWire__GridOptions grid = PT_WIRE__GRID_OPTIONS__INIT;
    grid.tile = spec->grid.tile;
    grid.overlap = spec->grid.overlap;
    grid.lattice = spec->grid.lattice;
    PtWire__EngineOptions engine;
    engine_to_wire(spec, &engine);
    PtWire__OutputOptions output;
    output_to_wire(spec, &output);
    wire.program = spec->program;
    wire.scene = &scene.wire;
    wire.grid = &grid;
    wire.engine = &engine;
    wire.output = &output;
    pt_status status = pt_wire_pack(&wire.base, 0, bytes, size);
    pt_free(groups);
    pt_free(wire.group);
    return status;
}

pt_status pt_job_spec_encode(const pt_job_spec *spec, uint8_t **bytes, size_t *size)
{
    pt_status status = pt_job_spec_check(spec);
    if (status.code == PT_E_INPUT) {
        return pt_error(PT_E_USAGE, "%s", status.message);
    }
    PT_TRY(status);
    uint8_t *packed = NULL;
    size_t length = 0;
    PT_TRY(pack_spec(spec, &packed, &length));
    if (length > SPEC_MAX) {
        pt_free(packed);
        return pt_error(PT_E_USAGE,
                        "the job's specification takes %zu bytes, more than %d: give fewer scenes at once",
                        length, SPEC_MAX);
    }
    *bytes = packed;
    *size = length;
    return status;
}

/* A field of another length than the spec's is refused by name. */
static pt_status take_bytes(uint8_t *to, size_t size, const ProtobufCBinaryData *from, const char *field)
{
    if (from->len != size) {
        return pt_error(PT_E_INPUT, "%s has %zu bytes instead of %zu", field, from->len, size);
    }
    memcpy(to, from->data, size);
    return pt_ok();
}

static void take_text(char **to, char **from)
{
    *to = *from;
    *from = NULL;
}

static pt_status take_group(PtWire__Group *wire, pt_job_group *out)
{
    out->paths = wire->path;
    out->path_count = wire->n_path;
    wire->path = NULL;
    wire->n_path = 0;
    out->width = wire->width;
    out->height = wire->height;
    if (wire->n_range != 6) {
        return pt_error(PT_E_INPUT, "a group's range has %zu numbers instead of 6", wire->n_range);
    }
    memcpy(out->range_lo, wire->range, sizeof out->range_lo);
    memcpy(out->range_hi, wire->range + 3, sizeof out->range_hi);
    return take_bytes(out->fingerprint, sizeof out->fingerprint, &wire->fingerprint, "a group's fingerprint");
}

static pt_status take_groups(PtWire__Spec *wire, pt_job_spec *out)
{
    out->groups = pt_calloc(wire->n_group, sizeof *out->groups);
    if (!out->groups) {
        return PT_NOMEM("a job's specification");
    }
    for (; out->group_count < wire->n_group;) {
        pt_job_group *group = &out->groups[out->group_count++];
        PT_TRY(take_group(wire->group[out->group_count - 1], group));
    }
    return pt_ok();
}

static pt_status take_scene(PtWire__SceneOptions *wire, pt_job_spec *out)
{
    if (wire->n_band != 3 || (wire->n_bbox != 0 && wire->n_bbox != 4) ||
        (wire->n_range != 0 && wire->n_range != 2)) {
        return pt_error(PT_E_INPUT, "scene.bands, scene.bbox or scene.range has too many or too few numbers");
    }
    memcpy(out->scene.bands, wire->band, sizeof out->scene.bands);
    out->scene.gsd_mode = wire->gsd_mode;
    out->scene.gsd = wire->gsd;
    out->scene.model_gsd = wire->model_gsd;
    take_text(&out->scene.aoi, &wire->aoi);
    out->scene.has_bbox = wire->n_bbox > 0;
    out->scene.has_range = wire->n_range > 0;
    if (out->scene.has_bbox) {
        memcpy(out->scene.bbox, wire->bbox, sizeof out->scene.bbox);
    }
    if (out->scene.has_range) {
        out->scene.range_lo = wire->range[0];
        out->scene.range_hi = wire->range[1];
    }
    out->scene.strict = wire->strict;
    out->scene.drivers = wire->driver;
    out->scene.driver_count = wire->n_driver;
    wire->driver = NULL;
    wire->n_driver = 0;
    PT_TRY(take_bytes(out->scene.fill, sizeof out->scene.fill, &wire->fill, "scene.fill"));
    return take_bytes(out->scene.aoi_sha256, sizeof out->scene.aoi_sha256, &wire->aoi_sha256,
                      "scene.aoi_sha256");
}

static pt_status take_engine(PtWire__EngineOptions *wire, pt_job_spec *out)
{
    out->engine.kind = (pt_engine_kind)wire->kind;
    take_text(&out->engine.path, &wire->path);
    out->engine.score = wire->score;
    out->engine.detections = wire->detections;
    out->engine.proposals = wire->proposals;
    take_text(&out->engine.backend, &wire->backend);
    take_text(&out->engine.precision, &wire->precision);
    return take_bytes(out->engine.sha256, sizeof out->engine.sha256, &wire->sha256, "engine.sha256");
}

static void take_output(PtWire__OutputOptions *wire, pt_job_spec *out)
{
    out->output.min_area = wire->min_area;
    out->output.simplify = wire->simplify;
    out->output.square = wire->square;
    take_text(&out->output.format, &wire->format);
    out->output.attempts = wire->attempts;
    out->output.quarantine = wire->quarantine;
}

static pt_status take_spec(PtWire__Spec *wire, pt_job_spec *out)
{
    take_text(&out->program, &wire->program);
    PT_TRY(take_groups(wire, out));
    PT_TRY(take_scene(wire->scene, out));
    out->grid.tile = wire->grid->tile;
    out->grid.overlap = wire->grid->overlap;
    out->grid.lattice = wire->grid->lattice;
    PT_TRY(take_engine(wire->engine, out));
    take_output(wire->output, out);
    return pt_job_spec_check(out);
}

/* One spec has one hash, so no other spelling of it is taken. */
static pt_status check_canonical(const pt_job_spec *spec, const uint8_t *bytes, size_t size)
{
    uint8_t *again = NULL;
    size_t length = 0;
    PT_TRY(pack_spec(spec, &again, &length));
    bool same = length == size && memcmp(again, bytes, size) == 0;
    pt_free(again);
    return same ? pt_ok() : pt_error(PT_E_INPUT, "it is not written as this program would write it");
}

static pt_status decode(const uint8_t *bytes, size_t size, pt_job_spec *out)
{
    if (size > SPEC_MAX) {
        return pt_error(PT_E_INPUT, "%zu bytes are more than %d", size, SPEC_MAX);
    }
    ProtobufCMessage *wire = NULL;
    PT_TRY(pt_wire_unpack(&pt_wire__spec__descriptor, bytes, size, (size_t)64 * 1024 + SPEC_GROWTH * size,
                          &wire));
    pt_status status = take_spec((PtWire__Spec *)wire, out);
    pt_wire_free(wire);
    return status.code == PT_OK ? check_canonical(out, bytes, size) : status;
}

pt_status pt_job_spec_decode(const uint8_t *bytes, size_t size, pt_job_spec *out)
{
    pt_job_spec spec = {0};
    pt_status status = decode(bytes, size, &spec);
    if (status.code != PT_OK) {
        pt_job_spec_fini(&spec);
        return pt_context(status, "a job's specification was refused");
    }
    *out = spec;
    return status;
}

pt_status pt_job_spec_hash(const pt_job_spec *spec, uint8_t out[32])
{
    uint8_t *bytes = NULL;
    size_t size = 0;
    PT_TRY(pt_job_spec_encode(spec, &bytes, &size));
    pt_sha256 sha;
    pt_sha256_init(&sha);
    pt_sha256_update(&sha, bytes, size);
    pt_sha256_final(&sha, out);
    pt_free(bytes);
    return pt_ok();
}
