/* Which parts of the network compute in bytes and which in floats. */
#ifndef PANTILE_ENGINE_QUANT_PRECISION_H
#define PANTILE_ENGINE_QUANT_PRECISION_H

#include "tiling/base/status.h"

#include <stddef.h>

typedef enum pt_component {
    PT_COMPONENT_BACKBONE,
    PT_COMPONENT_FPN,
    PT_COMPONENT_RPN,
    PT_COMPONENT_BOX, /* box head */
    PT_COMPONENT_MASK /* mask head */
} pt_component;
enum {
    PT_COMPONENTS = 5,
    PT_PRECISION_MAX_LAYERS = 64,
    PT_PRECISION_MAX_NAME = 127,
    PT_PRECISION_MAX_TEXT = 16384, /* bytes that hold any precision's text */
};

typedef enum pt_numeric { PT_FP32, PT_INT8 } pt_numeric;

/* A plain value. */
typedef struct pt_precision {
    pt_numeric component[PT_COMPONENTS];
    int layer_count; /* layers that were named, by name, ascending */
    struct {
        char name[PT_PRECISION_MAX_NAME + 1]; /* as `pantile info --graph` prints it */
        pt_numeric numeric;
    } layers[PT_PRECISION_MAX_LAYERS];
} pt_precision;

const char *pt_component_name(pt_component component); /* "backbone", "fpn", "rpn", "box", "mask" */
const char *pt_numeric_name(pt_numeric numeric);       /* "fp32", "int8" */

/* "fp32", "int8", or a list like "int8,mask=fp32,backbone.body.conv1=fp32" read from left to right: a bare
 * word sets all components and forgets the layers before it, COMPONENT=... sets one (fp32 is what they begin
 * with), any other NAME=... a layer. PT_E_USAGE names the word that is wrong. "auto" is the caller's to
 * resolve before. */
pt_status pt_precision_parse(const char *text, pt_precision *out);
/* The shortest text that parses to the same, the same for equal values; out of `size` bytes is always
 * terminated. False: cut. */
bool pt_precision_print(const pt_precision *precision, char *out, size_t size);
/* The layer's own when it was named, else its component's. */
pt_numeric pt_precision_of(const pt_precision *precision, pt_component component, const char *layer);
/* Whether the layer was named; *out, when it was. For rules that a name overrules. */
bool pt_precision_names(const pt_precision *precision, const char *layer, pt_numeric *out);
bool pt_precision_any_int8(const pt_precision *precision);

#endif
