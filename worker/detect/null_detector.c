/* Finds nothing and looks at nothing: what remains is everything but the network. */
#include "worker/detect/detector.h"

static pt_status detect(pt_detector *detector, int64_t tile, const pt_window *window, pt_instance_list *out,
                        bool *capped)
{
    (void)detector;
    (void)tile;
    (void)window;
    (void)out;
    (void)capped;
    return pt_ok();
}

static void close_detector(pt_detector *detector)
{
    pt_free(detector);
}

static const pt_detector_vtable null_vtable = {.detect = detect, .close = close_detector};

pt_status pt_detector_new_null(pt_detector **out)
{
    pt_detector *detector = pt_calloc(1, sizeof *detector);
    if (!detector) {
        return PT_NOMEM("the null detector");
    }
    detector->vtable = &null_vtable;
    detector->blind = true;
    *out = detector;
    return pt_ok();
}
