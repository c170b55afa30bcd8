#include "tests/engine/network/tiny.h"

#include "tests/engine/kernels/random.h"
#include "tests/engine/model/builder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static size_t count_of(const build_tensor *t)
{
    size_t count = 1;
    for (int i = 0; i < t->dims; i++) {
        count *= (size_t)t->shape[i];
    }
    return count;
}

char *tiny_model(tiny_kind kind)
{
    static const char blind[] = "{\"format\":1,\"classes\":[\"background\",\"roof\",\"field\"],"
                                "\"roi\":{\"box_roi_size\":2,\"mask_roi_size\":2},"
                                "\"rpn\":{\"score_thresh\":1.0}}";
    bool mobilenet = kind == TINY_MOBILENET || kind == TINY_BLIND;
    builder b = mobilenet ? build_mobilenet(BUILD_FOLDED) : build_resnet(6, 0);
    if (kind == TINY_BLIND) {
        b.description = blind;
    }
    if (kind != TINY_EXPLODING) {
        build_soften(&b);
    } else {
        for (size_t i = 0; i < b.count; i++) {
            for (size_t k = 0; b.tensors[i].dims == 4 && k < count_of(&b.tensors[i]); k++) {
                b.tensors[i].values[k] *= 1e6f;
            }
        }
    }
    size_t size;
    uint8_t *bytes = build_bytes(&b, &size);
    build_free(&b);
    char path[] = "/tmp/pantile-tiny-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
    free(bytes);
    char *copy = strdup(path);
    assert_non_null(copy);
    return copy;
}

tiny_image tiny_make_image(int width, int height, uint64_t seed)
{
    randoms r = {seed};
    size_t bytes = 3 * (size_t)width * (size_t)height;
    tiny_image t = {.pixels = malloc(bytes)};
    assert_non_null(t.pixels);
    for (size_t i = 0; i < bytes; i++) {
        t.pixels[i] = (uint8_t)random_bits(&r);
    }
    t.image = (pt_image){t.pixels, width, height, 3 * width};
    return t;
}

void tiny_assert_same(const pt_engine *a, const pt_engine *b, size_t images)
{
    size_t side = (size_t)pt_engine_model(a)->mask_size, total = 0;
    for (size_t i = 0; i < images; i++) {
        const pt_detection *x, *y;
        size_t count, other;
        assert_int_equal(pt_engine_detections(a, i, &x, &count).code, PT_OK);
        assert_int_equal(pt_engine_detections(b, i, &y, &other).code, PT_OK);
        assert_int_equal(count, other);
        total += count;
        for (size_t k = 0; k < count; k++) {
            assert_memory_equal(&x[k], &y[k], offsetof(pt_detection, mask));
            assert_memory_equal(x[k].mask, y[k].mask, side * side * sizeof(float));
        }
    }
    assert_true(total > 0);
    pt_engine_caps one = pt_engine_last_caps(a), two = pt_engine_last_caps(b);
    assert_true(one.proposals == two.proposals && one.detections == two.detections);
}
