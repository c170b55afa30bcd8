/* The calls every detector answers. */
#include "worker/detect/detector.h"

pt_status pt_detector_detect(pt_detector *detector, int64_t tile, const pt_window *window,
                             pt_instance_list *out, bool *capped)
{
    return detector->vtable->detect(detector, tile, window, out, capped);
}

bool pt_detector_has_begin(const pt_detector *detector)
{
    return detector->vtable->begin != NULL;
}

pt_status pt_detector_begin(pt_detector *detector, int64_t tile, int attempt)
{
    return detector->vtable->begin ? detector->vtable->begin(detector, tile, attempt) : pt_ok();
}

void pt_detector_free(pt_detector **detector)
{
    if (detector && *detector) {
        (*detector)->vtable->close(*detector);
        *detector = NULL;
    }
}
