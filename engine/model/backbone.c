/* The backbones that torchvision calls resnet50, resnet101 and mobilenet_v2, of any width. */
#include "engine/model/internal.h"

#include <stdio.h>

typedef struct module_name {
    char text[PT_TENSOR_NAME_MAX + 1];
} module_name;

static module_name child(const module_name *parent, const char *part)
{
    module_name name;
    /* Names are ours and short: the longest is a downsample convolution's running variance. */
    snprintf(name.text, sizeof name.text, "%.80s.%.40s", parent->text, part);
    return name;
}

static bool has_weight(const pt_walk *walk, const module_name *module)
{
    module_name name = child(module, "weight");
    return pt_walk_has(walk, name.text);
}

static void add_output(pt_walk *walk, int index, int channels, int stride, bool ends_stage)
{
    int n = walk->output_count++;
    walk->output_index[n] = index;
    walk->output_channels[n] = channels;
    walk->output_stride[n] = stride;
    walk->output_ends_stage[n] = ends_stage;
}

/* conv `a` with batch norm `b`, both children of `block`. */
static pt_status walk_pair(pt_walk *walk, const module_name *block, const char *a, const char *b, int out,
                           int in, int k, int *out_channels)
{
    module_name conv = child(block, a), bn = child(block, b);
    return pt_walk_conv(walk, conv.text, bn.text, out, in, k, out_channels);
}

/* A bottleneck: 1x1, 3x3, 1x1; the first of a layer has a 1x1 on the shortcut. */
static pt_status walk_bottleneck(pt_walk *walk, const module_name *block, bool first, int *channels)
{
    int in = *channels, width, out;
    PT_TRY(walk_pair(walk, block, "conv1", "bn1", -1, in, 1, &width));
    PT_TRY(walk_pair(walk, block, "conv2", "bn2", -1, width, 3, &width));
    PT_TRY(walk_pair(walk, block, "conv3", "bn3", first ? -1 : in, width, 1, &out));
    if (first) {
        PT_TRY(walk_pair(walk, block, "downsample.0", "downsample.1", out, in, 1, NULL));
    }
    *channels = out;
    return pt_ok();
}

static int count_blocks(const pt_walk *walk, int layer)
{
    int count = 0;
    for (; count < 64; count++) {
        module_name name;
        snprintf(name.text, sizeof name.text, "backbone.body.layer%d.%d.conv1.weight", layer, count);
        if (!pt_walk_has(walk, name.text)) {
            break;
        }
    }
    return count;
}

static pt_status walk_resnet(pt_walk *walk)
{
    int blocks[5] = {0, 3, 4, count_blocks(walk, 3), 3};
    if (blocks[3] != 6 && blocks[3] != 23) {
        return pt_error(
            PT_E_INPUT,
            "tensors backbone.body.layer3.N: %d blocks; 6 (ResNet-50) and 23 (ResNet-101) are supported",
            blocks[3]);
    }
    walk->config->arch = blocks[3] == 6 ? PT_ARCH_RESNET50 : PT_ARCH_RESNET101;
    int channels;
    PT_TRY(pt_walk_conv(walk, "backbone.body.conv1", "backbone.body.bn1", -1, 3, 7, &channels));
    for (int layer = 1; layer <= 4; layer++) {
        for (int i = 0; i < blocks[layer]; i++) {
            module_name block;
            snprintf(block.text, sizeof block.text, "backbone.body.layer%d.%d", layer, i);
            PT_TRY(walk_bottleneck(walk, &block, i == 0, &channels));
        }
        add_output(walk, layer, channels, 2 << layer, true);
    }
    return pt_ok();
}

/* An inverted residual: 1x1 expansion (absent in the first block), 3x3 depthwise, 1x1 projection. */
static pt_status walk_inverted(pt_walk *walk, const module_name *block, int *channels)
{
    int hidden = *channels;
    module_name depthwise = child(block, "conv.1.0");
    if (has_weight(walk, &depthwise)) {
        PT_TRY(walk_pair(walk, block, "conv.0.0", "conv.0.1", -1, hidden, 1, &hidden));
        PT_TRY(walk_pair(walk, block, "conv.1.0", "conv.1.1", hidden, 1, 3, NULL));
        return walk_pair(walk, block, "conv.2", "conv.3", -1, hidden, 1, channels);
    }
    PT_TRY(walk_pair(walk, block, "conv.0.0", "conv.0.1", hidden, 1, 3, NULL));
    return walk_pair(walk, block, "conv.1", "conv.2", -1, hidden, 1, channels);
}

/* features[0] is the stem, 1 .. 17 are blocks, 18 is a 1x1 convolution; torchvision drops what follows the
 * last tap. */
static pt_status walk_mobilenet(pt_walk *walk)
{
    int channels, stride = 2;
    walk->config->arch = PT_ARCH_MOBILENET_V2;
    PT_TRY(pt_walk_conv(walk, "backbone.body.0.0", "backbone.body.0.1", -1, 3, 3, &channels));
    add_output(walk, 0, channels, stride, false);
    for (int i = 1; i <= 17; i++) {
        module_name block;
        snprintf(block.text, sizeof block.text, "backbone.body.%d", i);
        module_name first = child(&block, "conv.0.0");
        if (i > 1 && !has_weight(walk, &first)) {
            return pt_ok(); /* later blocks, if there are any, are named as unknown */
        }
        PT_TRY(walk_inverted(walk, &block, &channels));
        stride *= i == 2 || i == 4 || i == 7 || i == 14 ? 2 : 1;
        add_output(walk, i, channels, stride, i == 1 || i == 3 || i == 6 || i == 13 || i == 17);
    }
    module_name last = {"backbone.body.18.0"};
    if (has_weight(walk, &last)) {
        PT_TRY(pt_walk_conv(walk, last.text, "backbone.body.18.1", -1, channels, 1, &channels));
        add_output(walk, 18, channels, stride, true);
    }
    return pt_ok();
}

pt_status pt_walk_backbone(pt_walk *walk)
{
    pt_arch stated = walk->config->arch;
    bool resnet = pt_walk_has(walk, "backbone.body.conv1.weight");
    if (!resnet && !pt_walk_has(walk, "backbone.body.0.0.weight")) {
        return pt_error(PT_E_INPUT, "tensor backbone.body.conv1.weight (ResNet) or backbone.body.0.0.weight "
                                    "(MobileNetV2): missing; not a Mask R-CNN of a supported architecture");
    }
    PT_TRY(resnet ? walk_resnet(walk) : walk_mobilenet(walk));
    if (walk->description->has_arch && stated != walk->config->arch) {
        return pt_error(PT_E_INPUT, "description: arch differs from the tensors' architecture");
    }
    return pt_ok();
}
