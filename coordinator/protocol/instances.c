#include "coordinator/protocol/message.h"

#include <math.h>
#include <string.h>

/* Instances as bytes. Numbers are varints: seven bits a byte, the low ones first, the high bit set on all but
 * the last, in as few bytes as they need; "signed" ones are zigzag (0, -1, 1, -2, ...).
 *
 *   version 1, count, then per instance:
 *   class, score (float32, little-endian), flags (1 truncated, 2 probabilities)
 *   mask: signed x and y of its box relative to the box before, w, h, spans, then per span
 *         rows below the span before, x0 (in the same row: pixels past the x1 before; else signed, relative
 *         to the x0 before), length
 *   probabilities: pixels that their box has more on the left, top, right and bottom, then its bytes
 *
 * An outline of a building is about as wide in each row as in the one above: three bytes a span.
 */
enum {
    VERSION = 1,
    FLAG_TRUNCATED = 1,
    FLAG_PROB = 2,
    VARINT_MAX = 10,
    INSTANCE_LEAST = 14, /* bytes of the smallest instance: bounds counts by what is there */
    SPAN_LEAST = 3,
    CLASS_MAX = 1 << 20,
    INSTANCES_MAX = 1 << 20, /* of one tile: decoded, the smallest take ten times their bytes */
};

/* The way there. */
typedef struct out_bytes {
    uint8_t *bytes;
    size_t size, capacity;
} out_bytes;

static pt_status reserve(out_bytes *o, size_t more)
{
    size_t wanted;
    if (!pt_size_add(o->size, more, &wanted)) {
        return PT_NOMEM("encoded instances");
    }
    return pt_grow(&o->bytes, &o->capacity, wanted, 1);
}

/* The put functions write where reserve has made room. */
static void put_byte(out_bytes *o, uint8_t byte)
{
    o->bytes[o->size++] = byte;
}

static void put_number(out_bytes *o, uint64_t value)
{
    for (; value >= 0x80; value >>= 7) {
        put_byte(o, (uint8_t)(value | 0x80));
    }
    put_byte(o, (uint8_t)value);
}

static void put_signed(out_bytes *o, int64_t value)
{
    put_number(o, (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0));
}

static void put_score(out_bytes *o, float score)
{
    float positive = score + 0.0F; /* no negative zero */
    uint32_t bits;
    memcpy(&bits, &positive, sizeof bits);
    for (int i = 0; i < 4; i++) {
        put_byte(o, (uint8_t)(bits >> (8 * i)));
    }
}

static void put_spans(out_bytes *o, const pt_mask *mask)
{
    pt_span before = {0, 0, 0};
    for (size_t i = 0; i < mask->count; i++) {
        pt_span s = mask->spans[i];
        put_number(o, (uint64_t)(s.y - before.y));
        if (i > 0 && s.y == before.y) {
            put_number(o, (uint64_t)(s.x0 - before.x1));
        } else {
            put_signed(o, (int64_t)s.x0 - before.x0);
        }
        put_number(o, (uint64_t)(s.x1 - s.x0));
        before = s;
    }
}

static void put_prob(out_bytes *o, const pt_rect *mask, const pt_prob *prob)
{
    put_number(o, (uint64_t)(mask->x - prob->box.x));
    put_number(o, (uint64_t)(mask->y - prob->box.y));
    put_number(o, (uint64_t)(prob->box.x + prob->box.w - mask->x - mask->w));
    put_number(o, (uint64_t)(prob->box.y + prob->box.h - mask->y - mask->h));
    size_t size = (size_t)pt_rect_area(prob->box);
    memcpy(o->bytes + o->size, prob->q, size);
    o->size += size;
}

static pt_status put_instance(out_bytes *o, const pt_instance *in, const pt_rect *before)
{
    size_t most = in->prob.q ? (size_t)pt_rect_area(in->prob.box) : 0;
    if (!pt_size_add(most, (16 + 3 * in->mask.count) * VARINT_MAX, &most)) {
        return PT_NOMEM("encoded instances");
    }
    PT_TRY(reserve(o, most));
    const pt_rect *box = &in->mask.box;
    put_number(o, (uint64_t)in->class_id);
    put_score(o, in->score);
    put_byte(o, (uint8_t)((in->truncated ? FLAG_TRUNCATED : 0) | (in->prob.q ? FLAG_PROB : 0)));
    put_signed(o, box->x - before->x);
    put_signed(o, box->y - before->y);
    put_number(o, (uint64_t)box->w);
    put_number(o, (uint64_t)box->h);
    put_number(o, in->mask.count);
    put_spans(o, &in->mask);
    if (in->prob.q) {
        put_prob(o, box, &in->prob);
    }
    return pt_ok();
}

/* The rules of instance.h, for both ways. */
static bool mask_is_tight(const pt_mask *mask)
{
    int32_t left = INT32_MAX;
    int32_t right = 0;
    for (size_t i = 0; i < mask->count; i++) {
        const pt_span *s = &mask->spans[i];
        bool after = i == 0 || s->y > s[-1].y || (s->y == s[-1].y && s->x0 > s[-1].x1);
        if (!after || s->y < 0 || s->x0 < 0 || s->x0 >= s->x1) {
            return false;
        }
        left = s->x0 < left ? s->x0 : left;
        right = s->x1 > right ? s->x1 : right;
    }
    return mask->count > 0 && mask->spans[0].y == 0 && left == 0 && right == mask->box.w &&
           (int64_t)mask->spans[mask->count - 1].y + 1 == mask->box.h;
}

static bool coordinate_is_good(int64_t at)
{
    return at >= -(INT64_C(1) << 40) && at <= INT64_C(1) << 40;
}

static pt_status check_instance(const pt_instance *in)
{
    if (in->class_id < 1 || in->class_id > CLASS_MAX) {
        return pt_error(PT_E_INPUT, "its class is %d", (int)in->class_id);
    }
    if (!(in->score >= 0 && in->score <= 1)) {
        return pt_error(PT_E_INPUT, "its score is not between 0 and 1");
    }
    const pt_rect *box = &in->mask.box;
    if (!coordinate_is_good(box->x) || !coordinate_is_good(box->y) || box->w > INT32_MAX ||
        box->h > INT32_MAX || !mask_is_tight(&in->mask)) {
        return pt_error(PT_E_INPUT, "its mask is not one");
    }
    const pt_rect *prob = &in->prob.box;
    if (in->prob.q && (!coordinate_is_good(prob->x) || !coordinate_is_good(prob->y) || prob->w > INT32_MAX ||
                       prob->h > INT32_MAX || !pt_rect_contains(*prob, *box))) {
        return pt_error(PT_E_INPUT, "its probabilities do not cover its mask");
    }
    return pt_ok();
}

static pt_status put_list(out_bytes *o, const pt_instance_list *list)
{
    if (list->count > INSTANCES_MAX) {
        return pt_error(PT_E_USAGE, "%zu instances in one tile are more than %d; use smaller tiles",
                        list->count, INSTANCES_MAX);
    }
    PT_TRY(reserve(o, 1 + VARINT_MAX));
    put_byte(o, VERSION);
    put_number(o, list->count);
    pt_rect before = {0, 0, 0, 0};
    for (size_t i = 0; i < list->count; i++) {
        pt_status status = check_instance(&list->items[i]);
        if (status.code != PT_OK) {
            return pt_error(PT_E_USAGE, "instance %zu cannot be encoded: %s", i, status.message);
        }
        PT_TRY(put_instance(o, &list->items[i], &before));
        before = list->items[i].mask.box;
    }
    return pt_ok();
}

pt_status pt_instances_encode(const pt_instance_list *list, uint8_t **bytes, size_t *size)
{
    out_bytes o = {0};
    pt_status status = put_list(&o, list);
    if (status.code != PT_OK) {
        pt_free(o.bytes);
        return status;
    }
    *bytes = o.bytes;
    *size = o.size;
    return status;
}

/* The way back. */
typedef struct in_bytes {
    const uint8_t *at, *end;
} in_bytes;

static pt_status broken(const char *what)
{
    return pt_error(PT_E_INPUT, "its %s ends early or is out of range", what);
}

/* At most `most`, in as few bytes as it needs. */
static bool take_number(in_bytes *i, uint64_t most, uint64_t *out)
{
    uint64_t value = 0;
    for (int shift = 0; i->at < i->end && shift < 7 * VARINT_MAX; shift += 7) {
        uint8_t byte = *i->at++;
        if (shift == 63 && byte > 1) {
            return false;
        }
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = value;
            return value <= most && (byte > 0 || shift == 0);
        }
    }
    return false;
}

static bool take_signed(in_bytes *i, int64_t *out)
{
    uint64_t value;
    if (!take_number(i, UINT64_C(1) << 43, &value)) {
        return false;
    }
    *out = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    return true;
}

static bool take_head(in_bytes *i, pt_instance *out, bool *has_prob)
{
    uint64_t class_id;
    if (!take_number(i, CLASS_MAX, &class_id) || i->end - i->at < 5) {
        return false;
    }
    uint32_t bits =
        (uint32_t)i->at[0] | (uint32_t)i->at[1] << 8 | (uint32_t)i->at[2] << 16 | (uint32_t)i->at[3] << 24;
    memcpy(&out->score, &bits, sizeof bits);
    uint8_t flags = i->at[4];
    i->at += 5;
    out->class_id = (int32_t)class_id;
    out->truncated = (flags & FLAG_TRUNCATED) != 0;
    *has_prob = (flags & FLAG_PROB) != 0;
    return flags <= (FLAG_TRUNCATED | FLAG_PROB) && !signbit(out->score);
}

static bool take_box(in_bytes *i, const pt_rect *before, pt_rect *out)
{
    int64_t dx, dy;
    uint64_t w, h;
    if (!take_signed(i, &dx) || !take_signed(i, &dy) || !take_number(i, INT32_MAX, &w) ||
        !take_number(i, INT32_MAX, &h)) {
        return false;
    }
    *out = (pt_rect){before->x + dx, before->y + dy, (int64_t)w, (int64_t)h};
    return coordinate_is_good(out->x) && coordinate_is_good(out->y);
}

static bool take_span(in_bytes *i, const pt_rect *box, const pt_span *before, pt_span *out)
{
    uint64_t down, gap, length;
    int64_t x0;
    if (!take_number(i, (uint64_t)box->h, &down)) {
        return false;
    }
    if (before && down == 0) {
        if (!take_number(i, (uint64_t)box->w, &gap)) {
            return false;
        }
        x0 = before->x1 + (int64_t)gap;
    } else {
        if (!take_signed(i, &x0)) {
            return false;
        }
        x0 += before ? before->x0 : 0;
    }
    int64_t y = (before ? before->y : 0) + (int64_t)down;
    if (!take_number(i, (uint64_t)box->w, &length) || x0 < 0 || x0 + (int64_t)length > box->w ||
        y >= box->h) {
        return false;
    }
    *out = (pt_span){(int32_t)y, (int32_t)x0, (int32_t)(x0 + (int64_t)length)};
    return true;
}

static pt_status take_mask(in_bytes *i, const pt_rect *before, pt_mask *mask)
{
    uint64_t count;
    if (!take_box(i, before, &mask->box) ||
        !take_number(i, (uint64_t)(i->end - i->at) / SPAN_LEAST, &count)) {
        return broken("mask");
    }
    mask->spans = pt_alloc((size_t)count, sizeof *mask->spans);
    if (!mask->spans) {
        return PT_NOMEM("the runs of a mask");
    }
    for (; mask->count < count; mask->count++) {
        pt_span *s = &mask->spans[mask->count];
        if (!take_span(i, &mask->box, mask->count > 0 ? s - 1 : NULL, s)) {
            return broken("mask");
        }
        mask->area += s->x1 - s->x0;
    }
    return pt_ok();
}

static pt_status take_prob(in_bytes *i, const pt_rect *mask, const pt_rect *window, pt_prob *prob)
{
    uint64_t more[4];
    for (int side = 0; side < 4; side++) {
        if (!take_number(i, INT32_MAX, &more[side])) {
            return broken("probabilities");
        }
    }
    pt_rect box = {mask->x - (int64_t)more[0], mask->y - (int64_t)more[1],
                   mask->w + (int64_t)more[0] + (int64_t)more[2],
                   mask->h + (int64_t)more[1] + (int64_t)more[3]};
    /* Inside the window before anything is multiplied: its area is far below 2^63. */
    if (!pt_rect_contains(*window, box) || pt_rect_area(box) > i->end - i->at) {
        return broken("probabilities");
    }
    size_t size = (size_t)pt_rect_area(box);
    prob->q = pt_alloc(size, 1);
    if (!prob->q) {
        return PT_NOMEM("the probabilities of a mask");
    }
    memcpy(prob->q, i->at, size);
    i->at += size;
    prob->box = box;
    return pt_ok();
}

static pt_status take_instance(in_bytes *i, const pt_rect *before, const pt_rect *window, pt_instance *out)
{
    bool has_prob;
    if (!take_head(i, out, &has_prob)) {
        return broken("class, score or flags");
    }
    PT_TRY(take_mask(i, before, &out->mask));
    if (!pt_rect_contains(*window, out->mask.box)) {
        return pt_error(PT_E_INPUT, "its mask is not inside the tile's window");
    }
    if (has_prob) {
        PT_TRY(take_prob(i, &out->mask.box, window, &out->prob));
    }
    return check_instance(out);
}

static pt_status take_list(in_bytes *i, pt_rect window, pt_instance_list *out)
{
    uint64_t count;
    if (i->at == i->end || *i->at++ != VERSION ||
        !take_number(i, (uint64_t)(i->end - i->at) / INSTANCE_LEAST, &count) || count > INSTANCES_MAX) {
        return pt_error(PT_E_INPUT, "these are no encoded instances");
    }
    pt_rect before = {0, 0, 0, 0};
    for (uint64_t n = 0; n < count; n++) {
        pt_instance instance = {0};
        pt_status status = take_instance(i, &before, &window, &instance);
        before = instance.mask.box;
        if (status.code == PT_OK) {
            status = pt_instance_list_push(out, &instance);
        }
        if (status.code != PT_OK) {
            pt_instance_fini(&instance);
            return pt_context(status, "instance %llu", (unsigned long long)n);
        }
    }
    return i->at == i->end ? pt_ok() : pt_error(PT_E_INPUT, "bytes are left behind the last instance");
}

pt_status pt_instances_decode(const uint8_t *bytes, size_t size, pt_rect window, pt_instance_list *out)
{
    in_bytes in = {bytes, bytes + size};
    pt_instance_list list = {0};
    pt_status status = take_list(&in, window, &list);
    if (status.code != PT_OK) {
        pt_instance_list_fini(&list);
        return status;
    }
    *out = list;
    return status;
}
