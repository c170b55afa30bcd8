#include "engine/quant/precision.h"

#include <stdio.h>
#include <string.h>

static const char *const component_names[PT_COMPONENTS] = {"backbone", "fpn", "rpn", "box", "mask"};
static const char *const numeric_names[] = {"fp32", "int8"};

const char *pt_component_name(pt_component component)
{
    return component_names[component];
}

const char *pt_numeric_name(pt_numeric numeric)
{
    return numeric_names[numeric];
}

/* A piece of the text that is parsed: not terminated. */
typedef struct word {
    const char *at;
    size_t length;
} word;

static bool is(word w, const char *text)
{
    return strlen(text) == w.length && memcmp(w.at, text, w.length) == 0;
}

static bool find_numeric(word w, pt_numeric *out)
{
    for (int i = PT_FP32; i <= PT_INT8; i++) {
        if (is(w, numeric_names[i])) {
            *out = (pt_numeric)i;
            return true;
        }
    }
    return false;
}

static pt_status bad_word(word w, const char *why)
{
    char shown[48];
    size_t i = 0;
    for (; i < w.length && i + 1 < sizeof shown; i++) {
        shown[i] = w.at[i] > 0x20 && w.at[i] < 0x7f ? w.at[i] : '?';
    }
    shown[i] = '\0';
    return pt_error(
        PT_E_USAGE,
        "precision: \"%s\" %s; use fp32, int8, or a list such as int8,mask=fp32 of backbone, fpn, "
        "rpn, box, mask or layers",
        shown, why);
}

/* Where the layer is, or where it would go. */
static int layer_place(const pt_precision *precision, word name, bool *found)
{
    int i = 0, order = -1;
    for (; i < precision->layer_count && order < 0; i++) {
        const char *other = precision->layers[i].name;
        size_t length = strlen(other);
        order = memcmp(other, name.at, length < name.length ? length : name.length);
        order = order ? order : (length > name.length) - (length < name.length);
        if (order >= 0) {
            break;
        }
    }
    *found = i < precision->layer_count && order == 0;
    return i;
}

static pt_status set_layer(word name, pt_numeric numeric, pt_precision *p)
{
    for (size_t i = 0; i < name.length; i++) {
        if (name.at[i] <= 0x20 || name.at[i] >= 0x7f) {
            return bad_word(name, "is no layer's name");
        }
    }
    if (name.length > PT_PRECISION_MAX_NAME) {
        return bad_word(name, "... is longer than any layer's name");
    }
    bool found;
    int place = layer_place(p, name, &found);
    if (!found) {
        if (p->layer_count == PT_PRECISION_MAX_LAYERS) {
            return bad_word(name, "is one layer more than can be named (64)");
        }
        memmove(&p->layers[place + 1], &p->layers[place],
                (size_t)(p->layer_count - place) * sizeof p->layers[0]);
        memset(p->layers[place].name, 0, sizeof p->layers[place].name);
        memcpy(p->layers[place].name, name.at, name.length);
        p->layer_count++;
    }
    p->layers[place].numeric = numeric;
    return pt_ok();
}

static pt_status take_word(word w, pt_precision *p)
{
    pt_numeric numeric;
    if (find_numeric(w, &numeric)) {
        memset(p, 0, sizeof *p);
        for (int i = 0; i < PT_COMPONENTS; i++) {
            p->component[i] = numeric;
        }
        return pt_ok();
    }
    const char *equals = memchr(w.at, '=', w.length);
    if (!equals || equals == w.at) {
        return bad_word(w, w.length ? "is unknown" : "is an empty word");
    }
    word name = {w.at, (size_t)(equals - w.at)}, value = {equals + 1, w.length - name.length - 1};
    if (!find_numeric(value, &numeric)) {
        return bad_word(w, "must end in =fp32 or =int8");
    }
    for (int i = 0; i < PT_COMPONENTS; i++) {
        if (is(name, component_names[i])) {
            p->component[i] = numeric;
            return pt_ok();
        }
    }
    return set_layer(name, numeric, p);
}

pt_status pt_precision_parse(const char *text, pt_precision *out)
{
    if (!text || !out) {
        return pt_error(PT_E_USAGE, "pt_precision_parse: a text and a place for the result are needed");
    }
    pt_precision parsed;
    memset(&parsed, 0, sizeof parsed); /* all FP32, and no byte left to chance */
    for (const char *at = text;; at++) {
        size_t length = strcspn(at, ",");
        PT_TRY(take_word((word){at, length}, &parsed));
        at += length;
        if (!*at) {
            break;
        }
    }
    *out = parsed;
    return pt_ok();
}

/* Text of components that differ from `base`, begun with `base` itself when `named`; its length, which may be
 * more than fits. */
static size_t print_components(const pt_precision *p, pt_numeric base, bool named, char *out, size_t size)
{
    size_t at = (size_t)snprintf(out, size, "%s", named ? numeric_names[base] : "");
    for (int i = 0; i < PT_COMPONENTS; i++) {
        if (p->component[i] != base) {
            at += (size_t)snprintf(at < size ? out + at : NULL, at < size ? size - at : 0, "%s%s=%s",
                                   at ? "," : "", component_names[i], numeric_names[p->component[i]]);
        }
    }
    return at;
}

bool pt_precision_print(const pt_precision *precision, char *out, size_t size)
{
    char fp32[96], int8[96];
    size_t fp32_length = print_components(precision, PT_FP32, false, fp32, sizeof fp32);
    size_t int8_length = print_components(precision, PT_INT8, true, int8, sizeof int8);
    if (fp32_length == 0 && precision->layer_count == 0) {
        fp32_length = print_components(precision, PT_FP32, true, fp32, sizeof fp32);
    }
    size_t at = (size_t)snprintf(out, size, "%s", fp32_length <= int8_length ? fp32 : int8);
    for (int i = 0; i < precision->layer_count; i++) {
        at +=
            (size_t)snprintf(at < size ? out + at : NULL, at < size ? size - at : 0, "%s%s=%s", at ? "," : "",
                             precision->layers[i].name, numeric_names[precision->layers[i].numeric]);
    }
    return at < size;
}

bool pt_precision_names(const pt_precision *precision, const char *layer, pt_numeric *out)
{
    bool found;
    int place = layer_place(precision, (word){layer, strlen(layer)}, &found);
    if (found) {
        *out = precision->layers[place].numeric;
    }
    return found;
}

pt_numeric pt_precision_of(const pt_precision *precision, pt_component component, const char *layer)
{
    pt_numeric numeric = precision->component[component];
    pt_precision_names(precision, layer, &numeric);
    return numeric;
}

bool pt_precision_any_int8(const pt_precision *precision)
{
    bool any = false;
    for (int i = 0; i < PT_COMPONENTS; i++) {
        any |= precision->component[i] == PT_INT8;
    }
    for (int i = 0; i < precision->layer_count; i++) {
        any |= precision->layers[i].numeric == PT_INT8;
    }
    return any;
}
