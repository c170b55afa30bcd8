/* Writes tiny Mask R-CNN model files in memory, whole or broken on purpose.
 *
 *   builder b = build_mobilenet(BUILD_FOLDED);   every tensor of the architecture, a few channels wide
 *   build_find(&b, "rpn...")->shape[0] = 4;      break something
 *   size_t size; uint8_t *bytes = build_bytes(&b, &size);
 *   free(bytes); build_free(&b);
 */
#ifndef PANTILE_TESTS_ENGINE_MODEL_BUILDER_H
#define PANTILE_TESTS_ENGINE_MODEL_BUILDER_H

#include <stddef.h>
#include <stdint.h>

typedef struct build_tensor {
    char name[160];
    char dtype[8];
    int dims;
    int64_t shape[4];
    float *values; /* converted to dtype when written */
} build_tensor;

typedef struct builder {
    build_tensor *tensors;
    size_t count, capacity;
    const char *description; /* JSON for the metadata; NULL: no metadata */
    const char *calibration; /* the same */
} builder;

/* Flags of how a model is spelled. */
enum {
    BUILD_FOLDED = 1,    /* convolutions of the backbone have biases in place of batch norms */
    BUILD_OLD_NAMES = 2, /* as torchvision named them before 0.13 */
    BUILD_COUNTERS = 4,  /* num_batches_tracked, I64 */
};

/* 3 classes, 3 anchors per cell, box ROI 2 and mask ROI 2: see build_description. */
builder build_resnet(int layer3_blocks, int flags);
builder build_mobilenet(int flags); /* outputs of the stages 2, 3, 4, 5 channels; FPN 6 */
extern const char build_description[];

void build_add(builder *b, const char *name, int dims, int64_t n0, int64_t n1, int64_t n2, int64_t n3);
/* Seeded weights that keep the size of activations about as it is. */
void build_soften(builder *b);
build_tensor *build_find(builder *b, const char *name); /* fails the test when there is none */
void build_remove(builder *b, const char *name);
uint8_t *build_bytes(const builder *b, size_t *size); /* free() it */
void build_free(builder *b);

/* A container with this header text and `data_size` zero bytes after it. */
uint8_t *build_raw(const char *header, size_t data_size, size_t *size);

#endif
