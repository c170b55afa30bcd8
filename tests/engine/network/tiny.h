/* Model files of a few channels with seeded weights, and images for them. */
#ifndef PANTILE_TESTS_ENGINE_NETWORK_TINY_H
#define PANTILE_TESTS_ENGINE_NETWORK_TINY_H

#include "engine/engine.h"

typedef enum tiny_kind {
    TINY_MOBILENET,
    TINY_RESNET,
    TINY_EXPLODING, /* a ResNet whose activations overflow */
    TINY_BLIND      /* a MobileNet that proposes nothing */
} tiny_kind;

/* Writes a model to a new temporary file; free() the path after unlink(). */
char *tiny_model(tiny_kind kind);

typedef struct tiny_image {
    uint8_t *pixels; /* free() it */
    pt_image image;
} tiny_image;

tiny_image tiny_make_image(int width, int height, uint64_t seed);

/* That both engines found the same in their last calls' images, to the last bit, and found something. */
void tiny_assert_same(const pt_engine *a, const pt_engine *b, size_t images);

#endif
