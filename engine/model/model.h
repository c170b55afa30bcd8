/* A model file: safetensors + JSON metadata, mapped read-only and validated before anything runs.
 *
 * The description (pt_model_config) comes from the safetensors header's __metadata__ entry "pantile", a JSON
 * text, or from a JSON file of the same base name beside it. docs/model-format.md describes its keys; widths
 * and depths are taken from the tensors' shapes and checked against each other.
 *
 * After open every tensor of the architecture is there with the right shape, finite, and named as torchvision
 * 0.14 names it (older names are translated); batch counters are left out. MobileNetV2's backbone may go on
 * after the last tap: those blocks are not needed.
 *
 * Life cycle: pt_model_open -> pt_model_tensor / pt_model_config -> pt_model_close. Read-only after open, so
 * it may be shared by threads.
 */
#ifndef PANTILE_ENGINE_MODEL_MODEL_H
#define PANTILE_ENGINE_MODEL_MODEL_H

#include "engine/engine.h"

enum {
    PT_MODEL_MAX_LEVELS = 8,
    PT_MODEL_MAX_RATIOS = 8,
    PT_MODEL_MAX_SIZES = 8, /* anchor sizes per level */
    PT_MODEL_MAX_CLASSES = 4096,
    PT_MODEL_MAX_CHANNELS = 16384,
    PT_TENSOR_MAX_DIMS = 4,
};

typedef enum pt_arch { PT_ARCH_RESNET50, PT_ARCH_RESNET101, PT_ARCH_MOBILENET_V2 } pt_arch;
typedef enum pt_dtype { PT_DTYPE_F32, PT_DTYPE_F16, PT_DTYPE_BF16 } pt_dtype;

typedef struct pt_model_config {
    pt_arch arch;
    int level_count;               /* FPN outputs, the pooled one included: backbone taps + 1 */
    int tap_count;                 /* backbone feature maps that enter the FPN */
    int taps[PT_MODEL_MAX_LEVELS]; /* mobilenet: index of the last block before each tap (torchvision's
                                      features[i]); resnet: 1..4 */
    int tap_channels[PT_MODEL_MAX_LEVELS];
    int fpn_channels;
    int strides[PT_MODEL_MAX_LEVELS]; /* pixels per cell of each level */
    int anchor_size_count[PT_MODEL_MAX_LEVELS];
    float anchor_sizes[PT_MODEL_MAX_LEVELS][PT_MODEL_MAX_SIZES];
    int anchor_ratio_count;
    float anchor_ratios[PT_MODEL_MAX_RATIOS];
    int anchors_per_cell; /* the same on every level: sizes x ratios */
    double mean[3], std[3];
    float bn_eps; /* of unfolded batch norms; 1e-5 unless stated */
    /* RPN */
    int rpn_pre_nms, rpn_post_nms;
    float rpn_nms_threshold, rpn_score_threshold;
    float rpn_min_size; /* pixels */
    int rpn_conv_count; /* 3x3 convs before the predictors */
    float rpn_box_weights[4];
    /* heads */
    int roi_level_count;             /* the levels that RoIAlign draws from: the first roi_level_count */
    int box_roi_size, mask_roi_size; /* cells a side */
    int sampling_ratio; /* 1 .. 16 samples a cell and axis; torchvision's adaptive 0 is refused */
    bool aligned;
    float canonical_size;
    int canonical_level;
    float box_weights[4];
    int box_fc; /* width of fc6 and fc7 */
    int mask_conv_count;
    int mask_channels; /* of every mask convolution and of the transposed one, in and out */
    int mask_size;     /* 2 * mask_roi_size */
    float score_threshold, nms_threshold;
    float min_box_size; /* pixels */
    int max_detections;
    int class_count;
} pt_model_config;

typedef struct pt_tensor {
    const char *name; /* valid until close */
    pt_dtype dtype;
    int dims;
    int64_t shape[PT_TENSOR_MAX_DIMS];
    size_t count;     /* elements */
    const void *data; /* mapped, unaligned; valid until close */
} pt_tensor;

typedef struct pt_model pt_model;

/* PT_E_INPUT names the file, the tensor or key, what was found and what was expected. */
pt_status pt_model_open(const char *path, pt_model **out);
/* The same from memory (for fuzzing and tests): `bytes` is borrowed until close; `sidecar` JSON text or NULL.
 */
pt_status pt_model_open_memory(const char *name, const void *bytes, size_t size, const char *sidecar,
                               pt_model **out);
void pt_model_close(pt_model **model);

/* Gives the file's pages back to the system: what is read later is read again. Whoever prepares layers calls
 * it after each, so that the weights as stored never lie in memory beside all prepared ones. Thread-safe. */
void pt_model_release_pages(const pt_model *model);

const pt_model_config *pt_model_get_config(const pt_model *model);
const pt_model_summary *pt_model_get_summary(const pt_model *model); /* sha256 filled */
/* The model behind what pt_model_summary_read gave; lives as long. */
const pt_model *pt_model_of_summary(const pt_model_summary *summary);

const pt_tensor *pt_model_find(const pt_model *model, const char *name); /* NULL when there is none */
size_t pt_model_tensor_count(const pt_model *model);
const pt_tensor *pt_model_tensor_at(const pt_model *model, size_t index); /* by name, ascending */
/* Converts all elements to float; out holds tensor->count floats. */
void pt_tensor_to_float(const pt_tensor *tensor, float *out);

/* A convolution's weights with the batch norm that follows folded in, as FP32. Finds `conv`.weight (out, in /
 * groups, kh, kw), `conv`.bias if present, and the batch norm `bn`.{weight, bias, running_mean, running_var}
 * if present (bn NULL: none). w holds out*in/groups*kh*kw floats, b out floats. */
pt_status pt_model_load_conv(const pt_model *model, const char *conv, const char *bn, float *w, float *b);
/* The same output by output, for who does not need all at once: open fills b, load one row of w (in / groups
 * * kh * kw floats), by any thread. */
typedef struct pt_stored_conv {
    const char *name;        /* borrowed */
    const pt_tensor *weight; /* the model's */
    double *numbers;         /* owned: what the batch norm makes of the rows; NULL: nothing */
    size_t outputs, row;
} pt_stored_conv;
pt_status pt_stored_conv_open(const pt_model *model, const char *conv, const char *bn, float *b,
                              pt_stored_conv *out);
pt_status pt_stored_conv_load(const pt_stored_conv *rows, size_t o, float *w);
void pt_stored_conv_close(pt_stored_conv *rows);
/* A batch norm that stays an operator of its own: y = x * scale + shift, `channels` numbers each. */
pt_status pt_model_load_norm(const pt_model *model, const char *bn, size_t channels, float *scale,
                             float *shift);

#endif
