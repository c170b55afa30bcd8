/* Feature maps: N x H x W x C, channels next to each other (NHWC), no gaps. N counts images or regions of one
 * size. An element is a float, or a byte that stands for (q - zero) * scale.
 *
 * Whoever allocates a map's memory aligns it to PT_ALIGNMENT and lets PT_MAP_SLACK bytes after its end be
 * readable, so that kernels may load whole vectors; what is read there never reaches a result. */
#ifndef PANTILE_ENGINE_KERNELS_MAP_H
#define PANTILE_ENGINE_KERNELS_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PT_MAP_SLACK = 256,
    PT_U8_MOST_PRODUCTS = INT32_MAX / (255 * 127), /* of bytes by weights: their sum is within 32 bits */
};

typedef enum pt_elem { PT_F32, PT_U8 } pt_elem;

/* How bytes stand for real numbers: real = (q - zero) * scale. zero is 0 .. 255, so 0.0 is exact. */
typedef struct pt_quant {
    float scale;
    int zero;
} pt_quant;

typedef struct pt_map {
    void *data; /* n * h * w * c elements */
    int n, h, w, c;
    pt_elem elem;
    pt_quant quant; /* of PT_U8 */
} pt_map;

static inline size_t pt_elem_size(pt_elem elem)
{
    return elem == PT_U8 ? 1 : sizeof(float);
}

static inline size_t pt_map_pixels(const pt_map *map)
{
    return (size_t)map->n * (size_t)map->h * (size_t)map->w;
}

static inline size_t pt_map_count(const pt_map *map)
{
    return (size_t)map->c * pt_map_pixels(map);
}

static inline size_t pt_map_bytes(const pt_map *map)
{
    return pt_map_count(map) * pt_elem_size(map->elem);
}

static inline float *pt_map_f32(const pt_map *map)
{
    return (float *)map->data;
}

static inline uint8_t *pt_map_u8(const pt_map *map)
{
    return (uint8_t *)map->data;
}

typedef enum pt_activation { PT_ACT_NONE, PT_ACT_RELU, PT_ACT_RELU6 } pt_activation;

/* The output's side for an input of `size`; 0 when the window does not fit. */
static inline int pt_window_out(int size, int kernel, int stride, int pad)
{
    return size + 2 * pad < kernel ? 0 : (size + 2 * pad - kernel) / stride + 1;
}

#endif
