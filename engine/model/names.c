/* torchvision renamed a few modules over the years; whatever the file's age, the names of 0.14 are used. */
#include "engine/model/internal.h"

#include <stdio.h>
#include <string.h>

/* Whether `text` is a decimal number of one or two digits followed by `end`; *value is the number. */
static bool number_then(const char *text, const char *end, int *value)
{
    int digits = 0;
    *value = 0;
    while (digits < 2 && text[digits] >= '0' && text[digits] <= '9') {
        *value = *value * 10 + (text[digits] - '0');
        digits++;
    }
    return digits > 0 && strcmp(text + digits, end) == 0;
}

static bool rename_leaf(const char *name, const char *leaf, char out[PT_TENSOR_NAME_MAX + 1])
{
    static const char *const fpn[] = {"backbone.fpn.inner_blocks.", "backbone.fpn.layer_blocks."};
    static const char mask[] = "roi_heads.mask_head.mask_fcn";
    char end[16];
    int n;
    snprintf(end, sizeof end, ".%s", leaf);
    for (int i = 0; i < 2; i++) {
        size_t length = strlen(fpn[i]);
        if (strncmp(name, fpn[i], length) == 0 && number_then(name + length, end, &n)) {
            snprintf(out, PT_TENSOR_NAME_MAX + 1, "%s%d.0.%s", fpn[i], n, leaf);
            return true;
        }
    }
    if (strncmp(name, mask, sizeof mask - 1) == 0 && number_then(name + sizeof mask - 1, end, &n) && n > 0) {
        snprintf(out, PT_TENSOR_NAME_MAX + 1, "roi_heads.mask_head.%d.0.%s", n - 1, leaf);
        return true;
    }
    if (strncmp(name, "rpn.head.conv", 13) == 0 && strcmp(name + 13, end) == 0) {
        snprintf(out, PT_TENSOR_NAME_MAX + 1, "rpn.head.conv.0.0.%s", leaf);
        return true;
    }
    return false;
}

bool pt_tensor_normalise_name(const char *name, char out[PT_TENSOR_NAME_MAX + 1])
{
    size_t length = strlen(name);
    if (length == 0 || length > PT_TENSOR_NAME_MAX) {
        return false;
    }
    if (!rename_leaf(name, "weight", out) && !rename_leaf(name, "bias", out)) {
        memcpy(out, name, length + 1);
    }
    return true;
}
