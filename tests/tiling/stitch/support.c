#include "support.h"

static uint64_t random_state = 1;

void seed_random(uint64_t seed)
{
    random_state = seed;
}

int64_t random_to(int64_t n)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (int64_t)((random_state >> 33) % (uint64_t)n);
}

bool chance(int percent)
{
    return random_to(100) < percent;
}

void expect_ok(pt_status status)
{
    assert_string_equal(status.message, "");
    assert_int_equal(status.code, PT_OK);
}

static void *zeroed(size_t count, size_t size)
{
    void *block = calloc(count ? count : 1, size);
    assert_non_null(block);
    return block;
}

/* A canvas of one byte a pixel. */
typedef struct canvas {
    int64_t width, height;
    uint8_t *bytes;
} canvas;

static void fill_rect(canvas *c, pt_rect r)
{
    r = pt_rect_intersect(r, (pt_rect){0, 0, c->width, c->height});
    for (int64_t y = r.y; y < r.y + r.h; y++) {
        memset(c->bytes + y * c->width + r.x, 1, (size_t)r.w);
    }
}

/* From a point outwards: a thick line that turns at each corner. */
static void draw_spiral(canvas *c, int64_t x, int64_t y, int64_t thick, int64_t turns)
{
    static const int dx[] = {1, 0, -1, 0};
    static const int dy[] = {0, 1, 0, -1};
    for (int64_t i = 0; i < turns; i++) {
        int64_t length = (i / 2 + 1) * thick * 2;
        for (int64_t k = 0; k <= length; k++) {
            fill_rect(c, (pt_rect){x, y, thick, thick});
            x += k < length ? dx[i % 4] : 0;
            y += k < length ? dy[i % 4] : 0;
        }
    }
}

static void draw_bar(canvas *c, int64_t x, int64_t y, int64_t thick)
{
    int64_t dx = 1 + random_to(3);
    int64_t dy = chance(50) ? 1 : -1;
    for (int64_t k = random_to(120); k >= 0; k--) {
        fill_rect(c, (pt_rect){x + k / dx, y + dy * k, thick, thick});
        fill_rect(c, (pt_rect){x + k / dx, y + dy * k, 1, 1});
    }
}

static void draw_ring(canvas *c, pt_rect r, int64_t thick)
{
    fill_rect(c, (pt_rect){r.x, r.y, r.w, thick});
    fill_rect(c, (pt_rect){r.x, r.y + r.h - thick, r.w, thick});
    fill_rect(c, (pt_rect){r.x, r.y, thick, r.h});
    if (chance(70)) { /* otherwise a C */
        fill_rect(c, (pt_rect){r.x + r.w - thick, r.y, thick, r.h});
    }
}

static void draw_shape(canvas *c)
{
    pt_rect r = {random_to(c->width + 10) - 10, random_to(c->height + 10) - 10, 1 + random_to(60),
                 1 + random_to(60)};
    int64_t thick = 1 + random_to(6);
    switch (random_to(7)) {
    case 0: /* L */
        fill_rect(c, (pt_rect){r.x, r.y, thick, r.h});
        fill_rect(c, (pt_rect){r.x, r.y + r.h - thick, r.w, thick});
        break;
    case 1: /* U */
        fill_rect(c, (pt_rect){r.x, r.y, thick, r.h});
        fill_rect(c, (pt_rect){r.x + r.w, r.y, thick, r.h});
        fill_rect(c, (pt_rect){r.x, r.y + r.h - thick, r.w + thick, thick});
        break;
    case 2:
        draw_spiral(c, r.x, r.y, thick, 1 + random_to(9));
        break;
    case 3:
        draw_bar(c, r.x, r.y, thick);
        break;
    case 4:
        draw_ring(c, r, thick);
        break;
    case 5: /* small */
        fill_rect(c, (pt_rect){r.x, r.y, thick, thick});
        break;
    default:
        fill_rect(c, r);
    }
}

/* Moves the connected pixels around (x, y) from one canvas to another, empty one. */
static void take_connected(canvas *from, canvas *to, int64_t at, int64_t *stack)
{
    size_t depth = 0;
    stack[depth++] = at;
    from->bytes[at] = 0;
    while (depth > 0) {
        int64_t p = stack[--depth];
        to->bytes[p] = 1;
        for (int64_t k = 0; k < 9; k++) {
            int64_t x = p % from->width + k % 3 - 1;
            int64_t y = p / from->width + k / 3 - 1;
            if (x >= 0 && y >= 0 && x < from->width && y < from->height && from->bytes[y * from->width + x]) {
                from->bytes[y * from->width + x] = 0;
                stack[depth++] = y * from->width + x;
            }
        }
    }
}

static void add_objects(truth *t, canvas *shape, canvas *one, int64_t *stack)
{
    int64_t area = t->width * t->height;
    for (int64_t at = 0; at < area; at++) {
        if (!shape->bytes[at]) {
            continue;
        }
        memset(one->bytes, 0, (size_t)area);
        take_connected(shape, one, at, stack);
        t->masks = realloc(t->masks, (t->count + 1) * sizeof *t->masks);
        assert_non_null(t->masks);
        expect_ok(pt_mask_from_bytes((pt_rect){0, 0, t->width, t->height}, one->bytes, t->width, 1,
                                     &t->masks[t->count++]));
    }
}

truth random_truth(int64_t width, int64_t height, int shapes, bool disjoint)
{
    truth t = {.width = width, .height = height};
    size_t area = (size_t)(width * height);
    canvas shape = {width, height, zeroed(area, 1)};
    canvas one = {width, height, zeroed(area, 1)};
    uint8_t *taken = zeroed(area, 1);
    int64_t *stack = zeroed(area, sizeof *stack);
    for (int i = 0; i < shapes; i++) {
        draw_shape(&shape);
        for (size_t p = 0; p < area; p++) {
            shape.bytes[p] = shape.bytes[p] && !(disjoint && taken[p]);
            taken[p] |= shape.bytes[p];
        }
        add_objects(&t, &shape, &one, stack);
    }
    free(shape.bytes);
    free(one.bytes);
    free(taken);
    free(stack);
    return t;
}

void truth_fini(truth *t)
{
    for (size_t i = 0; i < t->count; i++) {
        pt_mask_fini(&t->masks[i]);
    }
    free(t->masks);
    *t = (truth){0};
}

/* The mask's pixels inside `rect`, moved by (dx, dy) and cut again. */
static pt_mask mask_moved(const pt_mask *mask, pt_rect rect, int64_t dx, int64_t dy)
{
    pt_mask out = {0};
    rect = pt_rect_intersect(rect, pt_rect_shift(mask->box, dx, dy));
    if (pt_rect_is_empty(rect)) {
        return out;
    }
    uint8_t *bytes = zeroed((size_t)pt_rect_area(rect), 1);
    pt_mask_paint(mask, pt_rect_shift(rect, -dx, -dy), bytes, rect.w, 1);
    expect_ok(pt_mask_from_bytes(rect, bytes, rect.w, 1, &out));
    free(bytes);
    return out;
}

pt_mask mask_inside(const pt_mask *mask, pt_rect rect)
{
    return mask_moved(mask, rect, 0, 0);
}

static tiles new_tiles(const pt_grid *grid)
{
    size_t count = (size_t)pt_grid_count(grid);
    return (tiles){*grid, zeroed(count, sizeof(pt_instance_list)), zeroed(count, sizeof(bool))};
}

static void push(pt_instance_list *list, pt_instance *instance)
{
    if (instance->mask.count > 0) {
        expect_ok(pt_instance_list_push(list, instance));
    } else {
        pt_instance_fini(instance);
    }
}

tiles oracle_tiles(const truth *t, const pt_grid *grid)
{
    tiles out = new_tiles(grid);
    for (int64_t i = 0; i < pt_grid_count(grid); i++) {
        for (size_t k = 0; k < t->count; k++) {
            pt_instance instance = {.class_id = 1, .score = 1};
            instance.mask = mask_inside(&t->masks[k], pt_grid_window(grid, i));
            push(&out.lists[i], &instance);
        }
    }
    return out;
}

/* Erodes (sign < 0) or dilates by one pixel sideways. */
static pt_mask mask_widened(const pt_mask *mask, pt_rect rect, int sign)
{
    pt_mask out = {0};
    pt_rect area = pt_rect_intersect(pt_rect_margin(mask->box, 1), rect);
    uint8_t *bytes = zeroed((size_t)pt_rect_area(area), 1);
    uint8_t *moved = zeroed((size_t)pt_rect_area(area), 1);
    pt_mask_paint(mask, area, bytes, area.w, 1);
    for (int dx = -1; dx <= 1; dx++) {
        memset(moved, 0, (size_t)pt_rect_area(area));
        pt_mask_paint(mask, pt_rect_shift(area, dx, 0), moved, area.w, 1);
        for (int64_t p = 0; p < pt_rect_area(area); p++) {
            bytes[p] = sign > 0 ? bytes[p] | moved[p] : bytes[p] & moved[p];
        }
    }
    expect_ok(pt_mask_from_bytes(area, bytes, area.w, 1, &out));
    free(bytes);
    free(moved);
    return out;
}

static void add_probs(pt_instance *instance, pt_rect window)
{
    pt_rect box = pt_rect_intersect(pt_rect_margin(instance->mask.box, 1), window);
    instance->prob = (pt_prob){box, pt_alloc((size_t)box.h, (size_t)box.w)};
    assert_non_null(instance->prob.q);
    for (int64_t p = 0; p < pt_rect_area(box); p++) {
        instance->prob.q[p] = (uint8_t)random_to(140); /* some say more than the mask */
    }
    pt_mask_paint(&instance->mask, box, instance->prob.q, box.w, (uint8_t)(120 + random_to(136)));
}

static void push_noisy(pt_instance_list *list, pt_instance *instance, pt_rect window, bool probs)
{
    if (instance->mask.count > 0 && (probs || chance(30))) {
        add_probs(instance, window);
    }
    push(list, instance);
}

static pt_instance random_instance(void)
{
    return (pt_instance){
        .class_id = chance(90) ? 1 : 2, .score = (float)(1 + random_to(20)) / 20, .truncated = chance(20)};
}

static void see_badly(const pt_mask *seen, pt_rect window, bool probs, pt_instance_list *list)
{
    if (seen->count == 0 || chance(12)) {
        return;
    }
    int times = chance(8) ? 2 : 1;
    for (int i = 0; i < times; i++) {
        pt_instance instance = random_instance();
        if (chance(30)) {
            instance.mask = mask_moved(seen, window, random_to(7) - 3, random_to(7) - 3);
        } else if (chance(30)) {
            instance.mask = mask_widened(seen, window, chance(50) ? 1 : -1);
        } else {
            expect_ok(pt_mask_copy(seen, &instance.mask));
        }
        if (chance(10)) { /* in two parts */
            pt_rect box = instance.mask.box;
            pt_instance other = random_instance();
            other.mask = mask_inside(&instance.mask, (pt_rect){box.x + box.w / 2, box.y, box.w, box.h});
            pt_mask first =
                mask_inside(&instance.mask, (pt_rect){box.x, box.y, box.w / 2 + random_to(3), box.h});
            pt_mask_fini(&instance.mask);
            instance.mask = first;
            push_noisy(list, &other, window, probs);
        }
        push_noisy(list, &instance, window, probs);
    }
}

tiles noisy_tiles(const truth *t, const pt_grid *grid, bool probs)
{
    tiles out = new_tiles(grid);
    for (int64_t i = 0; i < pt_grid_count(grid); i++) {
        pt_rect window = pt_grid_window(grid, i);
        out.unseen[i] = chance(3);
        for (size_t k = 0; k < t->count && !out.unseen[i]; k++) {
            pt_mask seen = mask_inside(&t->masks[k], window);
            see_badly(&seen, window, probs, &out.lists[i]);
            pt_mask_fini(&seen);
        }
        if (!out.unseen[i] && chance(20)) {
            pt_instance invented = random_instance();
            pt_rect r = {window.x + random_to(window.w), window.y + random_to(window.h), 1 + random_to(20),
                         1 + random_to(20)};
            expect_ok(pt_mask_from_rect(pt_rect_intersect(r, window), &invented.mask));
            push_noisy(&out.lists[i], &invented, window, probs);
        }
    }
    return out;
}

static pt_instance instance_copy(const pt_instance *from)
{
    pt_instance to = *from;
    expect_ok(pt_mask_copy(&from->mask, &to.mask));
    if (from->prob.q) {
        size_t bytes = (size_t)pt_rect_area(from->prob.box);
        to.prob.q = pt_alloc(bytes, 1);
        assert_non_null(to.prob.q);
        memcpy(to.prob.q, from->prob.q, bytes);
    }
    return to;
}

tiles tiles_copy(const tiles *t)
{
    tiles copy = new_tiles(&t->grid);
    for (int64_t i = 0; i < pt_grid_count(&t->grid); i++) {
        copy.unseen[i] = t->unseen[i];
        for (size_t k = 0; k < t->lists[i].count; k++) {
            pt_instance instance = instance_copy(&t->lists[i].items[k]);
            push(&copy.lists[i], &instance);
        }
    }
    return copy;
}

void tiles_fini(tiles *t)
{
    for (int64_t i = 0; i < pt_grid_count(&t->grid); i++) {
        pt_instance_list_fini(&t->lists[i]);
    }
    free(t->lists);
    free(t->unseen);
}

pt_status collect(void *user, pt_object *object)
{
    results *r = user;
    if (r->count == r->capacity) {
        r->capacity = r->capacity ? r->capacity * 2 : 16;
        r->items = realloc(r->items, r->capacity * sizeof *r->items);
        assert_non_null(r->items);
    }
    r->items[r->count++] = *object;
    *object = (pt_object){0};
    return pt_ok();
}

static int compare_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compare_masks(const pt_mask *a, const pt_mask *b)
{
    int order = compare_i64((int64_t)a->count, (int64_t)b->count);
    order = order ? order : compare_i64(a->box.w, b->box.w);
    order = order ? order : compare_i64(a->box.h, b->box.h);
    return order || !a->count ? order : memcmp(a->spans, b->spans, a->count * sizeof *a->spans);
}

static int compare_probs(const pt_prob *a, const pt_prob *b)
{
    int order = compare_i64(a->q != NULL, b->q != NULL);
    if (order || !a->q) {
        return order;
    }
    order = memcmp(&a->box, &b->box, sizeof a->box);
    return order ? order : memcmp(a->q, b->q, (size_t)pt_rect_area(a->box));
}

static int compare_objects(const void *x, const void *y)
{
    const pt_object *a = x;
    const pt_object *b = y;
    int order = compare_i64(a->anchor_y, b->anchor_y);
    order = order ? order : compare_i64(a->anchor_x, b->anchor_x);
    order = order ? order : compare_masks(&a->instance.mask, &b->instance.mask);
    order = order ? order : compare_i64(a->instance.class_id, b->instance.class_id);
    order = order ? order : (a->instance.score > b->instance.score) - (a->instance.score < b->instance.score);
    order = order ? order
                  : compare_i64(a->tiles * 4 + a->merged * 2 + a->instance.truncated,
                                b->tiles * 4 + b->merged * 2 + b->instance.truncated);
    return order ? order : compare_probs(&a->instance.prob, &b->instance.prob);
}

void results_sort(results *r)
{
    if (r->count > 0) {
        qsort(r->items, r->count, sizeof *r->items, compare_objects);
    }
}

void results_fini(results *r)
{
    for (size_t i = 0; i < r->count; i++) {
        pt_object_fini(&r->items[i]);
    }
    free(r->items);
    *r = (results){0};
}

bool results_equal(const results *a, const results *b)
{
    if (a->count != b->count) {
        return false;
    }
    for (size_t i = 0; i < a->count; i++) {
        const pt_object *x = &a->items[i];
        const pt_object *y = &b->items[i];
        if (compare_objects(x, y) != 0 || !pt_mask_equal(&x->instance.mask, &y->instance.mask)) {
            return false;
        }
    }
    return true;
}

results stitch_all(const tiles *t, pt_stitch_options options, const int64_t *order)
{
    results r = {0};
    tiles copy = tiles_copy(t);
    pt_stitcher *stitcher;
    expect_ok(pt_stitcher_new(&t->grid, options, collect, &r, &stitcher));
    for (int64_t i = 0; i < pt_grid_count(&t->grid); i++) {
        int64_t tile = order ? order[i] : i;
        expect_ok(pt_stitcher_add(stitcher, tile, copy.unseen[tile] ? NULL : &copy.lists[tile]));
        assert_int_equal(copy.lists[tile].count, 0);
    }
    expect_ok(pt_stitcher_finish(stitcher));
    r.stats = pt_stitcher_stats(stitcher);
    assert_int_equal(r.stats.waiting, 0);
    assert_int_equal(r.stats.objects, r.count);
    pt_stitcher_free(&stitcher);
    assert_null(stitcher);
    tiles_fini(&copy);
    results_sort(&r);
    return r;
}

int64_t *shuffled(int64_t count)
{
    int64_t *order = zeroed((size_t)count, sizeof *order);
    for (int64_t i = 0; i < count; i++) {
        int64_t k = random_to(i + 1);
        order[i] = order[k];
        order[k] = i;
    }
    return order;
}
