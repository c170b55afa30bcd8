/* The calls every detector answers. */
#include "worker/detect/detector.h"

pt_status pt_detector_detect(pt_detector *detector, int64_t tile, const pt_window *window,
                             pt_instance_list *out, bool *capped)
{
    return detector->vtable->detect(detector, tile, window, out, capped);
}

void pt_detector_free(pt_detector **detector)
{
    if (detector && *detector) {
        (*detector)->vtable->close(*detector);
        *detector = NULL;
    }
}
