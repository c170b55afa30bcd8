#include "tests/coordinator/protocol/samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 7;

void sample_seed(uint64_t value)
{
    seed = value;
}

int64_t sample_random(int64_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((seed >> 33) % (uint64_t)n);
}

static void must(pt_status status)
{
    if (status.code != PT_OK) {
        fprintf(stderr, "%s\n", status.message);
        abort();
    }
}

/* An ellipse with a ragged edge; its probabilities fall off around it. */
static pt_instance sample_instance(int side, bool probabilities)
{
    int64_t w = side / 2 + sample_random(side);
    int64_t h = side / 2 + sample_random(side);
    pt_rect area = {sample_window.x + sample_random(SAMPLE_SIDE - w),
                    sample_window.y + sample_random(SAMPLE_SIDE - h), w, h};
    uint8_t *bytes = calloc((size_t)(w * h), 1);
    for (int64_t y = 0; y < h; y++) {
        for (int64_t x = 0; x < w; x++) {
            double dx = ((double)x + 0.5) / (double)w * 2 - 1;
            double dy = ((double)y + 0.5) / (double)h * 2 - 1;
            double q = 128 + 600 * (0.8 - dx * dx - dy * dy) + (double)sample_random(40);
            bytes[y * w + x] = (uint8_t)(q < 0 ? 0 : q > 255 ? 255 : q);
        }
    }
    bytes[h / 2 * w + w / 2] = 255;
    pt_instance instance = {.class_id = 1 + (int32_t)sample_random(3),
                            .score = (float)sample_random(1000) / 999.0F,
                            .truncated = sample_random(2) == 1};
    must(pt_mask_from_bytes(area, bytes, w, PT_PROB_HALF, &instance.mask));
    if (probabilities) {
        instance.prob = (pt_prob){area, bytes};
    } else {
        free(bytes);
    }
    return instance;
}

pt_instance_list sample_instances(size_t count, int side, bool probabilities)
{
    pt_instance_list list = {0};
    for (size_t i = 0; i < count; i++) {
        pt_instance instance = sample_instance(side, probabilities);
        must(pt_instance_list_push(&list, &instance));
    }
    return list;
}

bool sample_lists_equal(const pt_instance_list *a, const pt_instance_list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        const pt_instance *p = &a->items[i];
        const pt_instance *q = &b->items[i];
        same = p->class_id == q->class_id && p->score == q->score && p->truncated == q->truncated &&
               pt_mask_equal(&p->mask, &q->mask) && pt_rect_equal(p->prob.box, q->prob.box) &&
               (p->prob.q == NULL) == (q->prob.q == NULL) &&
               (!p->prob.q || memcmp(p->prob.q, q->prob.q, (size_t)pt_rect_area(p->prob.box)) == 0);
    }
    return same;
}

pt_job_spec sample_spec(void)
{
    pt_job_spec spec = {0};
    must(pt_job_spec_set_text(&spec.program, "0.1.0"));
    for (int g = 0; g < 2; g++) {
        pt_job_group *group = NULL;
        must(pt_job_spec_add_group(&spec, &group));
        must(pt_job_spec_add_text(&group->paths, &group->path_count,
                                  g ? "a/b.tif" : "/vsicurl/https://host/x//y.tif"));
        must(pt_job_spec_add_text(&group->paths, &group->path_count, "a/...tif"));
        memset(group->fingerprint, 0xa0 + g, sizeof group->fingerprint);
        group->width = 3000 + g;
        group->height = 2000;
        for (int c = 0; c < 3; c++) {
            group->range_lo[c] = c + 0.1;
            group->range_hi[c] = 1000 + c + g;
        }
    }
    memcpy(spec.scene.bands, (const int32_t[]){1, 2, 3}, sizeof spec.scene.bands);
    spec.scene.gsd_mode = 2;
    spec.scene.gsd = 0.3;
    spec.scene.model_gsd = 0.25;
    must(pt_job_spec_set_text(&spec.scene.aoi, "areas/aoi.geojson"));
    memset(spec.scene.aoi_sha256, 3, sizeof spec.scene.aoi_sha256);
    spec.scene.has_bbox = true;
    memcpy(spec.scene.bbox, (const double[]){-1, -2.5, 3, 4}, sizeof spec.scene.bbox);
    spec.scene.has_range = true;
    spec.scene.range_lo = 5;
    spec.scene.range_hi = 6;
    spec.scene.strict = true;
    must(pt_job_spec_add_text(&spec.scene.drivers, &spec.scene.driver_count, "HFA"));
    memcpy(spec.scene.fill, (const uint8_t[]){124, 116, 104}, sizeof spec.scene.fill);
    spec.grid.tile = 512;
    spec.grid.overlap = 128;
    spec.grid.lattice = 32;
    spec.engine.kind = PT_ENGINE_MODEL;
    must(pt_job_spec_set_text(&spec.engine.path, "models/m.safetensors"));
    memset(spec.engine.sha256, 9, sizeof spec.engine.sha256);
    spec.engine.score = 0.05;
    spec.engine.detections = 1000;
    spec.engine.proposals = 2000;
    must(pt_job_spec_set_text(&spec.engine.backend, "auto"));
    must(pt_job_spec_set_text(&spec.engine.precision, "int8,mask=fp32"));
    spec.output.min_area = 4;
    spec.output.simplify = 0.5;
    spec.output.square = true;
    must(pt_job_spec_set_text(&spec.output.format, "GeoJSON"));
    spec.output.attempts = 3;
    spec.output.quarantine = true;
    return spec;
}

static void fill_hello(pt_hello *h, int variant)
{
    if (variant == 0) {
        return; /* the coordinator's */
    }
    for (int i = 0; i < 16; i++) {
        h->instance[i] = (uint8_t)sample_random(256);
        h->slot[i] = (uint8_t)sample_random(256);
    }
    snprintf(h->name, sizeof h->name, "h\xc3\xb6st:%d", variant);
    snprintf(h->program, sizeof h->program, "0.1.0");
    snprintf(h->backend, sizeof h->backend, "cpu");
    h->threads = 8;
    h->wants_pixels = variant == 1;
    h->opened = variant == 2;
    h->has_engine_sha256 = variant == 2;
    memset(h->engine_sha256, variant == 2 ? 5 : 0, sizeof h->engine_sha256);
    memset(h->job_hash, variant, sizeof h->job_hash);
}

static void fill_assign(pt_assignment *a, int variant)
{
    a->tile = 12345678901;
    a->attempt = 1 + variant;
    a->has_pixels = variant > 0;
    a->area_state = variant == 2 ? 1 : 0;
    if (variant == 1) {
        a->pixel_bytes = 4000;
        a->pixels = malloc(a->pixel_bytes);
        for (size_t i = 0; i < a->pixel_bytes; i++) {
            a->pixels[i] = (uint8_t)sample_random(i < 3000 ? 256 : 2);
        }
    }
}

static void fill_result(pt_message *m, int variant)
{
    pt_result *r = &m->as.result.result;
    r->tile = 42;
    r->attempt = 2;
    r->read_seconds = 0.25;
    r->infer_seconds = variant;
    if (m->type == PT_MSG_FAILED) {
        r->outcome = PT_TILE_FAILED;
        r->status = pt_error(PT_E_READ, "row %d cannot be read", variant);
        return;
    }
    r->outcome = (pt_tile_outcome)variant;
    r->capped = variant == 0;
    if (variant == 0) {
        pt_instance_list list = sample_instances(5, 30, true);
        must(pt_instances_encode(&list, &m->as.result.payload, &m->as.result.size));
        pt_instance_list_fini(&list);
    }
}

static void fill_heartbeat(pt_heartbeat *h, int variant)
{
    h->progress = variant == 2 ? UINT64_MAX : (uint64_t)variant;
    h->credit = variant * 2;
    h->held_count = variant == 2 ? PT_HELD_MAX : (size_t)variant;
    for (size_t i = 0; i < h->held_count; i++) {
        h->held[i] = (pt_held){.tile = sample_random(1 << 30), .attempt = 1 + (int)i, .started = i == 0};
    }
}

pt_message sample_message(pt_message_type type, int variant)
{
    pt_message m = {.type = type, .job = 0x0123456789abcdef, .epoch = 7 + (uint32_t)variant};
    pt_job_spec spec;
    switch (type) {
    case PT_MSG_HELLO:
        fill_hello(&m.as.hello, variant);
        break;
    case PT_MSG_JOB:
        spec = sample_spec();
        must(pt_job_spec_encode(&spec, &m.as.job.spec, &m.as.job.size));
        m.as.job.heartbeat_seconds = 2;
        pt_job_spec_fini(&spec);
        break;
    case PT_MSG_REFUSED:
        snprintf(m.as.refused, sizeof m.as.refused, "%.*s", variant * 250, "another model");
        break;
    case PT_MSG_BYE:
        memset(m.as.bye, 'x', (size_t)variant * 60);
        break;
    case PT_MSG_READY:
        m.as.credit = 1 + variant * 31;
        break;
    case PT_MSG_ASSIGN:
        fill_assign(&m.as.assign, variant);
        break;
    case PT_MSG_RESULT:
    case PT_MSG_FAILED:
        fill_result(&m, variant);
        break;
    case PT_MSG_HEARTBEAT:
        fill_heartbeat(&m.as.heartbeat, variant);
        break;
    case PT_MSG_STARTED:
    case PT_MSG_ACK:
    case PT_MSG_REVOKE:
        m.as.tile = (pt_held){.tile = variant, .attempt = 1 + variant, .started = variant == 1};
        break;
    default:
        break;
    }
    return m;
}
