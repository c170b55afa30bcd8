/* How a dense layer on bytes is cut into tasks at one size of its input. Depends on the layer and the size
 * alone. */
#ifndef PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_U8_PLAN_H
#define PANTILE_ENGINE_BACKEND_NATIVE_NATIVE_U8_PLAN_H

#include "engine/backend/native/native_u8.h"

/* The sums of a long run are made in parts of so many steps, so that a block's weights and a task's input
 * stay in the L2 cache together. Tasks then have at most so many pixels and blocks, whose sums wait in
 * memory. */
enum { PT_U8_PART_STEPS = 512, PT_U8_LONG_PIXELS = 128, PT_U8_LONG_BLOCKS = 4 };

typedef struct pt_u8_plan {
    int images, h, w, oh, ow; /* as the tasks see them: a flat layer has one image of one row */
    bool copy;                /* tasks copy what they read */
    bool long_run;
    int rows, columns; /* of a task */
    int row_tasks, column_tasks, parts;
    int part_blocks; /* blocks of a part, but the last's */
    int ahead;       /* pixels between what is read and what is fetched */
} pt_u8_plan;

pt_u8_plan pt_u8_plan_of(const pt_u8_dense *dense, int n, int h, int w);
/* Of a worker's scratch: the offsets of a window's steps come first, then the copied input or waiting sums.
 */
size_t pt_u8_offset_bytes(const pt_u8_dense *dense);
/* The most that any task needs for an input of h x w, for any number of images. */
size_t pt_u8_scratch_bytes(const pt_u8_dense *dense, int h, int w);

static inline int divide_up(int a, int b)
{
    return (a + b - 1) / b;
}

static inline int min(int a, int b)
{
    return a < b ? a : b;
}

static inline int max(int a, int b)
{
    return a > b ? a : b;
}

/* Input rows or columns that `count` outputs read. */
static inline int pt_u8_span(int count, int kernel, int stride)
{
    return (count - 1) * stride + kernel;
}

#endif
