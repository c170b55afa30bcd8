#include "worker/detect/detector.h"
#include "worker/detect/place.h"

typedef struct oracle_detector {
    pt_detector base;
    pt_burner *burner;
    pt_placer placer;
} oracle_detector;

typedef struct burning {
    oracle_detector *detector;
    const pt_window *window;
    pt_instance_list *out;
} burning;

static pt_status take_object(void *user, int64_t object, int32_t class_id, pt_rect area, const uint8_t *bytes)
{
    burning *b = user;
    (void)object;
    return pt_place_mask(&b->detector->placer, b->window, area, bytes, class_id, 1.0f, b->out);
}

static pt_status detect(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out,
                        bool *capped)
{
    oracle_detector *d = (oracle_detector *)detector;
    burning b = {d, window, out};
    (void)capped;
    return pt_context(pt_burner_burn(d->burner, window->rect, take_object, &b), "tile %lld", (long long)tile);
}

static void close_detector(pt_detector *detector)
{
    oracle_detector *d = (oracle_detector *)detector;
    pt_burner_close(&d->burner);
    pt_placer_fini(&d->placer);
    pt_free(d);
}

static const pt_detector_vtable oracle_vtable = {.detect = detect, .close = close_detector};

pt_status pt_detector_new_oracle(const char *path, const pt_scene *scene, pt_detector **out)
{
    oracle_detector *d = pt_calloc(1, sizeof *d);
    if (!d) {
        return PT_NOMEM("the oracle");
    }
    pt_status status = pt_burner_open(path, scene, &d->burner);
    if (status.code != PT_OK) {
        pt_free(d);
        return status;
    }
    const pt_scene_info *info = pt_scene_describe(scene);
    d->base.vtable = &oracle_vtable;
    d->placer.scene = (pt_rect){0, 0, info->width, info->height};
    *out = &d->base;
    return status;
}
