/* Private to engine/model: the parts that pt_model_open puts together.
 *
 *   pt_model_read_header  container -> tensors, named as torchvision 0.14 names them, sorted; description
 * text pt_description_read   JSON text -> what the description states (defaults where it is silent)
 *   pt_model_check_shapes description + tensors -> the complete pt_model_config; every tensor accounted for
 *
 * Messages of these functions do not name the file: pt_model_open adds it once.
 */
#ifndef PANTILE_ENGINE_MODEL_INTERNAL_H
#define PANTILE_ENGINE_MODEL_INTERNAL_H

#include "engine/model/calibration.h"
#include "engine/model/model.h"

#include <jansson.h>

enum {
    /* A ResNet-101's header is 80 KB. Far below the container's own bound of 100 MB, so that parsing a
     * hostile one takes a fraction of a second and tens of megabytes. */
    PT_HEADER_MAX_BYTES = 16 << 20,
    PT_HEADER_MAX_VALUES = 200000, /* JSON values in a header or description */
    PT_HEADER_MAX_DEPTH = 16,
    PT_HEADER_MAX_TENSORS = 8192,
    PT_DESCRIPTION_MAX_BYTES = 1 << 20,
    PT_TENSOR_NAME_MAX = 127,
    PT_CALIBRATION_MAX_BYTES = 1 << 20,
    PT_CALIBRATION_MAX_TILES = 1000000000,
    PT_MODEL_MAX_NAME = 200,  /* bytes of a model's or class's name */
    PT_MODEL_MAX_TOP = 10000, /* proposals and detections */
};

/* What the description states. A count of 0 means that the key is missing and the shapes decide. */
typedef struct pt_description {
    pt_model_config
        config; /* thresholds and sizes filled, defaults included; the rest by pt_model_check_shapes */
    bool has_arch;
    int sizes_levels;   /* entries of anchors.sizes_per_level */
    int strides_levels; /* entries of anchors.strides */
    int anchors_per_cell, fpn_channels, mask_size, roi_levels;
    double gsd, export_score;
    char *name;         /* NULL when missing */
    char **class_names; /* class_name_count entries; NULL when missing */
    int class_name_count;
} pt_description;

struct pt_model {
    char *path;
    const uint8_t *bytes;
    size_t size;
    bool mapped;        /* by us: to be unmapped */
    pt_tensor *tensors; /* sorted by name; data points into `bytes` */
    size_t tensor_count;
    char *names; /* backs the tensors' names */
    pt_description description;
    bool undigested; /* the summary goes without a digest */
    pt_model_summary summary;
    bool calibrated;
    pt_calibration calibration; /* its ranges, names, means and texts are owned */
};

/* json.c: guarded parsing and typed access; messages name the key as "group.key". */
pt_status pt_json_parse(const char *what, const char *text, size_t size, json_t **out);
typedef struct pt_json_group {
    const char *name;     /* "" at the top */
    const json_t *object; /* NULL: the group is missing, every key keeps its default */
} pt_json_group;
pt_status pt_json_group_get(const json_t *root, const char *key, pt_json_group *out);
pt_status pt_json_int(const pt_json_group *group, const char *key, int low, int high, int *value);
pt_status pt_json_number(const pt_json_group *group, const char *key, double low, double high, double *value);
pt_status pt_json_float(const pt_json_group *group, const char *key, double low, double high, float *value);
pt_status pt_json_bool(const pt_json_group *group, const char *key, bool *value);
/* NULL when missing; else a list of low_count to high_count entries, or an error. */
pt_status pt_json_list(const pt_json_group *group, const char *key, size_t low_count, size_t high_count,
                       const json_t **out);
/* Entry `index` of a list named group.key. */
pt_status pt_json_entry_number(const pt_json_group *group, const char *key, size_t index, const json_t *entry,
                               double low, double high, double *value);
pt_status pt_json_entry_int(const pt_json_group *group, const char *key, size_t index, const json_t *entry,
                            int low, int high, int *value);
/* A copy of a text of 1 to PT_MODEL_MAX_NAME bytes without control characters; `key` names it in messages. */
pt_status pt_json_name(const char *key, const json_t *value, char **out);
/* Whether `text` may be printed: no control characters. */
bool pt_text_is_plain(const char *text);

/* safetensors.c: fills tensors, tensor_count, names and calibration of a model whose bytes and size are set.
 * *description becomes a copy of the metadata's "pantile" text (free with pt_free) or NULL. */
pt_status pt_model_read_header(pt_model *model, char **description);

/* calibration.c: moves the calibration out of the metadata's text (NULL: none) and the model's tensors. */
pt_status pt_calibration_take(pt_model *model, const char *text);
void pt_calibration_fini(pt_calibration *calibration);
/* What is wrong with these; NULL: nothing. The model decides whether a mean has the right length. */
const char *pt_calibration_head_fault(const char *method, json_int_t tiles, const char *precision);
const char *pt_range_fault(const char *value, double low, double high);
const char *pt_mean_fault(const pt_model *model, const char *value, int64_t channels);

/* model.c: the text of the description beside the model at `path`; free with pt_free. */
pt_status pt_model_read_sidecar(const char *path, char **text, size_t *size);

/* names.c: writes `name` as torchvision 0.14 spells it; false when it does not fit PT_TENSOR_NAME_MAX. */
bool pt_tensor_normalise_name(const char *name, char out[PT_TENSOR_NAME_MAX + 1]);

/* config.c */
pt_status pt_description_read(const char *text, size_t size, pt_description *out); /* `out` zeroed before */
void pt_description_fini(pt_description *description);

/* shapes.c and backbone.c */
typedef struct pt_walk {
    const pt_model *model;
    pt_description *description;
    pt_model_config *config; /* &description->config */
    bool *used;              /* per tensor: the architecture asked for it */
    /* Backbone outputs that may enter the FPN, in order. */
    int output_count;
    int output_index[32], output_channels[32], output_stride[32];
    bool output_ends_stage[32]; /* the last of its stride, or of its width */
} pt_walk;
/* Finds `name` and checks its shape: dims sizes, each exact, or -1 for 1 .. PT_MODEL_MAX_CHANNELS. */
pt_status pt_walk_tensor(pt_walk *walk, const char *name, int dims, const int64_t *shape,
                         const pt_tensor **out);
/* `conv`.weight of (out, in, k, k), out >= 1 wanted or -1 for any, followed by a batch norm or with a bias of
 * its own; *out_channels is what was found. bn NULL: a bias is needed. */
pt_status pt_walk_conv(pt_walk *walk, const char *conv, const char *bn, int out, int in, int k,
                       int *out_channels);
bool pt_walk_has(const pt_walk *walk, const char *name);
pt_status pt_walk_backbone(pt_walk *walk);
pt_status pt_model_check_shapes(pt_model *model);

/* As pt_model_open, but the summary's sha256 stays empty. */
pt_status pt_model_open_undigested(const char *path, pt_model **out);
/* summary.c */
pt_status pt_model_fill_summary(pt_model *model);

/* convert.c */
bool pt_tensor_is_finite(const pt_tensor *tensor);

#endif
