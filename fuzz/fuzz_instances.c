/* Encoded instances on hostile bytes: what is taken lies in the window, keeps the rules of masks, and is
 * encoded to the same bytes again. */
#include "tests/coordinator/protocol/samples.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const pt_instance *in)
{
    const pt_mask *mask = &in->mask;
    int64_t area = 0;
    for (size_t i = 0; i < mask->count; i++) {
        const pt_span *s = &mask->spans[i];
        if (s->x0 < 0 || s->x0 >= s->x1 || s->x1 > mask->box.w || s->y < 0 || s->y >= mask->box.h ||
            (i > 0 && (s->y < s[-1].y || (s->y == s[-1].y && s->x0 <= s[-1].x1)))) {
            abort();
        }
        area += s->x1 - s->x0;
    }
    if (area != mask->area || area == 0 || !pt_rect_contains(sample_window, mask->box) || in->class_id < 1 ||
        !(in->score >= 0 && in->score <= 1)) {
        abort();
    }
    if (in->prob.q &&
        (!pt_rect_contains(sample_window, in->prob.box) || !pt_rect_contains(in->prob.box, mask->box))) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    pt_instance_list list;
    pt_status status = pt_instances_decode(data, size, sample_window, &list);
    if (status.code == PT_E_INPUT) {
        return 0;
    }
    uint8_t *again;
    size_t again_size;
    if (status.code != PT_OK || pt_instances_encode(&list, &again, &again_size).code != PT_OK) {
        abort();
    }
    if (again_size != size || memcmp(again, data, size) != 0) {
        abort();
    }
    for (size_t i = 0; i < list.count; i++) {
        check(&list.items[i]);
    }
    pt_free(again);
    pt_instance_list_fini(&list);
    return 0;
}
