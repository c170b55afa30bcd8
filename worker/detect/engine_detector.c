#include "worker/detect/detector.h"
#include "worker/detect/place.h"

typedef struct engine_detector {
    pt_detector base;
    pt_engine *engine; /* borrowed */
    pt_placer placer;
} engine_detector;

pt_image pt_detector_image(const pt_window *window)
{
    return (pt_image){.rgb = window->rgb,
                      .width = (int)window->rect.w,
                      .height = (int)window->rect.h,
                      .row_stride = (ptrdiff_t)window->rect.w * 3};
}

static pt_status detect(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out,
                        bool *capped)
{
    engine_detector *d = (engine_detector *)detector;
    pt_image image = pt_detector_image(window);
    const pt_detection *items;
    size_t count;
    pt_status status = pt_engine_infer(d->engine, &image, 1);
    if (status.code == PT_OK) {
        status = pt_engine_detections(d->engine, 0, &items, &count);
    }
    if (status.code != PT_OK) {
        return pt_context(status, "tile %lld", (long long)tile);
    }
    pt_engine_caps caps = pt_engine_last_caps(d->engine);
    if (caps.proposals > 0 || caps.detections > 0) {
        *capped = true;
    }
    int mask_size = pt_engine_model(d->engine)->mask_size;
    for (size_t i = 0; i < count; i++) {
        PT_TRY(pt_place_detection(&d->placer, window, &items[i], mask_size, out));
    }
    return pt_ok();
}

static void close_detector(pt_detector *detector)
{
    engine_detector *d = (engine_detector *)detector;
    pt_placer_fini(&d->placer);
    pt_free(d);
}

static const pt_detector_vtable engine_vtable = {.detect = detect, .close = close_detector};

pt_status pt_detector_new_engine(pt_engine *engine, pt_rect scene, pt_detector **out)
{
    engine_detector *d = pt_calloc(1, sizeof *d);
    if (!d) {
        return PT_NOMEM("the engine's detector");
    }
    d->base.vtable = &engine_vtable;
    d->engine = engine;
    d->placer.scene = scene;
    *out = &d->base;
    return pt_ok();
}
