#include "cli/coco.h"

#include <string.h>

/* Counts alternate between runs of 0 and of 1, the first being of 0. From the fourth on each is stored as the
 * difference to the one two before, in groups of five bits, lowest first, bit 5 set while more follow, offset
 * by 48 ('0'). That is the format of the COCO API's compressed counts. */
typedef struct encoder {
    pt_coco_text *out;
    int64_t before[2]; /* the last count but one, the last */
    size_t counts;
} encoder;

static pt_status put_count(encoder *e, int64_t count)
{
    int64_t x = e->counts > 2 ? count - e->before[0] : count;
    bool more;
    do {
        int group = (int)(x & 0x1f);
        x >>= 5; /* arithmetic: negative differences end in all ones */
        more = (group & 0x10) ? x != -1 : x != 0;
        PT_TRY(pt_grow(&e->out->text, &e->out->capacity, e->out->length + 2, 1));
        e->out->text[e->out->length++] = (char)((more ? group | 0x20 : group) + 48);
    } while (more);
    e->before[0] = e->before[1];
    e->before[1] = count;
    e->counts++;
    return pt_ok();
}

pt_status pt_coco_encode(int64_t width, int64_t height, pt_rect area, const uint8_t *bytes, pt_coco_text *out)
{
    encoder e = {.out = out};
    int64_t start = 0; /* of the run that goes on */
    bool set = false;
    int64_t previous = -1; /* position of the last pixel looked at that was set */
    out->length = 0;
    for (int64_t x = 0; x < area.w; x++) {
        for (int64_t y = 0; y < area.h; y++) {
            if (!bytes[y * area.w + x]) {
                continue;
            }
            int64_t at = (area.x + x) * height + area.y + y;
            if (!set || at != previous + 1) {
                if (set) {
                    PT_TRY(put_count(&e, previous + 1 - start));
                    start = previous + 1;
                }
                PT_TRY(put_count(&e, at - start));
                start = at;
                set = true;
            }
            previous = at;
        }
    }
    if (set) {
        PT_TRY(put_count(&e, previous + 1 - start));
        start = previous + 1;
    }
    if (start < width * height || e.counts == 0) {
        PT_TRY(put_count(&e, width * height - start));
    }
    out->text[out->length] = '\0';
    return pt_ok();
}

void pt_coco_text_fini(pt_coco_text *text)
{
    pt_free(text->text);
    memset(text, 0, sizeof *text);
}
