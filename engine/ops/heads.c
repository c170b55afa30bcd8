#include "engine/ops/heads.h"

void pt_box_head_run(const pt_box_head *head, pt_backend *backend, const pt_pyramid *pyramid,
                     pt_roi_space *space, const pt_box *proposals, size_t count,
                     const pt_box_buffers *buffers)
{
    size_t cells = (size_t)head->roi_size * (size_t)head->roi_size;
    pt_roi_align(pyramid, space, backend->pool, proposals, count, head->roi_size, buffers->features,
                 (size_t)head->channels * cells, cells);
    backend->ops->linear_run(backend, head->fc6, buffers->features, count, buffers->hidden[0]);
    pt_backend_step(backend);
    backend->ops->linear_run(backend, head->fc7, buffers->hidden[0], count, buffers->hidden[1]);
    pt_backend_step(backend);
    backend->ops->linear_run(backend, head->predictor, buffers->hidden[1], count, buffers->answers);
    pt_backend_step(backend);
}

pt_status pt_mask_head_reserve(const pt_mask_head *head, pt_backend *backend)
{
    for (int i = 0; i < head->conv_count; i++) {
        PT_TRY(backend->ops->conv_reserve(backend, head->convs[i], PT_MASK_CHUNK, head->roi_size,
                                          head->roi_size));
    }
    return backend->ops->conv_reserve(backend, head->deconv, PT_MASK_CHUNK, head->roi_size, head->roi_size);
}

typedef struct mask_job {
    const pt_mask_head *head;
    const pt_map *expanded;
    const pt_found *found;
    float *masks;
} mask_job;

static void run_logits(void *context, size_t i, int worker)
{
    (void)worker;
    const mask_job *job = context;
    const pt_mask_head *head = job->head;
    size_t cells = (size_t)head->roi_size * (size_t)head->roi_size;
    size_t pixels = pt_map_pixels(job->expanded);
    int class_id = job->found[i].class_id;
    pt_k_mask_logits(job->expanded->data + i * cells, head->channels, 4 * pixels, pixels, head->roi_size,
                     head->weights + (size_t)class_id * (size_t)head->channels, head->bias[class_id],
                     job->masks + 4 * cells * i);
}

static void run_chunk(const pt_mask_head *head, pt_backend *backend, const pt_pyramid *pyramid,
                      pt_roi_space *space, const pt_found *found, int n, const pt_mask_buffers *buffers,
                      float *masks)
{
    int side = head->roi_size;
    size_t cells = (size_t)side * (size_t)side;
    pt_box boxes[PT_MASK_CHUNK];
    for (int i = 0; i < n; i++) {
        boxes[i] = found[i].box;
    }
    pt_map in = {buffers->maps[0], head->in_channels, n, side, side};
    pt_roi_align(pyramid, space, backend->pool, boxes, (size_t)n, side, in.data, cells, (size_t)n * cells);
    for (int i = 0; i < head->conv_count; i++) {
        pt_map out = {buffers->maps[(i + 1) % 2], head->channels, n, side, side};
        backend->ops->conv_run(backend, head->convs[i], &in, NULL, &out);
        pt_backend_step(backend);
        in = out;
    }
    pt_map expanded = {buffers->expanded, 4 * head->channels, n, side, side};
    backend->ops->conv_run(backend, head->deconv, &in, NULL, &expanded);
    pt_backend_step(backend);
    mask_job job = {head, &expanded, found, masks};
    pt_pool_run(backend->pool, (size_t)n, run_logits, &job);
}

void pt_mask_head_run(const pt_mask_head *head, pt_backend *backend, const pt_pyramid *pyramid,
                      pt_roi_space *space, const pt_found *found, size_t count,
                      const pt_mask_buffers *buffers, float *masks)
{
    size_t each = 4 * (size_t)head->roi_size * (size_t)head->roi_size;
    for (size_t at = 0; at < count; at += PT_MASK_CHUNK) {
        size_t n = count - at < PT_MASK_CHUNK ? count - at : PT_MASK_CHUNK;
        run_chunk(head, backend, pyramid, space, found + at, (int)n, buffers, masks + each * at);
    }
}
