"""Makes seeded models, inputs and torchvision's answers, against which tests/engine/network compares the engine.

    /usr/bin/python3 tools/make_fixtures.py --out build/dev/fixtures

Needs Debian's python3-torchvision (torch 1.13, torchvision 0.14). What is there already and up to date is left alone.

For each model M.safetensors there are two cases: M.one (one image) and M.three (a batch of three). M.CASE.rgb holds the
bytes of the images, M.CASE.bin all tables of floats, M.CASE.index their places: a first line "size WIDTH HEIGHT IMAGES",
then lines "IMAGE NAME LEVEL ROWS COLUMNS OFFSET", the offset counting floats.

Weights are random, so nothing but the arithmetic is tested. Batch norms carry statistics near those of their own inputs,
which keeps activations near 1 at any depth. A detector decides by thresholds, and rounding differs from library to library;
the heads' weights are drawn again until no decision on these images is closer than MARGIN, so that both sides must
decide alike.
"""
import argparse
import hashlib
import os
import sys

import numpy as np
import torch
import torchvision
from torch import nn
from torchvision.models import mobilenet_v2, resnet
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, _resnet_fpn_extractor
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import MultiScaleRoIAlign, box_iou

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from import_torchvision import compact, tensor_bytes, write_safetensors  # noqa: E402

CLASSES = 4
PRE_NMS, POST_NMS, DETECTIONS = 200, 120, 25
MARGIN = 2e-5
PASTED = 8  # detections per image whose pasted masks are stored
CASES = {"one": (317, 203, 1), "three": (282, 350, 3)}  # width, height, images
# name: architecture, FPN channels, width of the fully connected layers, stored as FP16, the FPN's inputs and the strides
# of all levels. mnv2_tv has the inputs of torchvision's own mobilenet_backbone, two of which share a stride.
RESNET = ([1, 2, 3, 4], [4, 8, 16, 32, 64])
MODELS = {
    "r50": ("resnet50_fpn", 256, 192, False, *RESNET),
    "r101": ("resnet101_fpn", 256, 160, True, *RESNET),
    "mnv2": ("mobilenet_v2_fpn", 72, 128, False, [3, 6, 13, 17], [4, 8, 16, 32, 64]),
    "mnv2_tv": ("mobilenet_v2_fpn", 72, 128, False, [14, 18], [32, 32, 64]),
}

# The first draw of the heads to try: known to be good with Debian 12's torch, so that no time is lost.
GOOD_DRAWS = {"r50": 3, "r101": 1, "mnv2": 51, "mnv2_tv": 2}


def make_image(generator, width, height):
    """Blobs of several sizes and some noise, as bytes."""
    image = torch.zeros(1, 3, height, width)
    for cells in (4, 12, 40):
        noise = torch.rand(1, 3, cells, cells, generator=generator)
        image += nn.functional.interpolate(noise, (height, width), mode="bilinear", align_corners=False)
    image += 0.3 * torch.rand(1, 3, height, width, generator=generator)
    image = 0.5 + 1.5 * (image[0] - image.mean())
    return (image.clamp(0, 1) * 255).byte().permute(1, 2, 0).contiguous()


def randomise_norms(module, generator):
    """Random factors and shifts; the last norm of a residual branch is weak, so that sums over many blocks stay small.
    The statistics are set on the next run, by each norm's own inputs. Only half of the mean goes: deep in a random
    network all pixels are alike, and taking all of it away would blow up rounding errors. So would depthwise filters
    whose weights cancel out."""

    def measure(norm, inputs):
        mean = inputs[0].mean((0, 2, 3))
        norm.running_mean = 0.5 * mean
        norm.running_var = inputs[0].var((0, 2, 3), unbiased=False) + 0.25 * mean ** 2

    hooks = []
    for name, part in module.named_modules():
        if isinstance(part, nn.Conv2d) and part.groups > 1:
            part.weight.data = 0.2 + 0.2 * torch.randn(part.weight.shape, generator=generator)
        if isinstance(part, nn.BatchNorm2d):
            weak = 0.3 if name.endswith("bn3") else 1.0
            part.weight.data = weak * (0.5 + torch.rand(part.num_features, generator=generator))
            part.bias.data = 0.2 * torch.randn(part.num_features, generator=generator)
            hooks.append(part.register_forward_pre_hook(measure))
    return hooks


def make_backbone(arch, fpn, taps):
    if arch == "mobilenet_v2_fpn":
        features = mobilenet_v2(weights=None, width_mult=0.5).features
        body = nn.Sequential(*[features[i] for i in range(taps[-1] + 1)])
        channels = [list(body[t].modules())[-1 if t < 18 else -2].num_features for t in taps]
        return BackboneWithFPN(body, {str(t): str(i) for i, t in enumerate(taps)}, channels, fpn)
    body = resnet.__dict__[arch[: -len("_fpn")]](weights=None, norm_layer=nn.BatchNorm2d)
    return _resnet_fpn_extractor(body, 5)


def anchor_sizes(strides):
    return [(16 if strides[0] == 4 else 64) << level for level in range(len(strides))]


def make_model(arch, fpn, fc, taps, strides):
    levels = [str(i) for i in range(len(taps))]
    anchors = AnchorGenerator(tuple((s,) for s in anchor_sizes(strides)), ((0.5, 1.0, 2.0),) * len(strides))
    model = MaskRCNN(
        make_backbone(arch, fpn, taps), rpn_anchor_generator=anchors, rpn_pre_nms_top_n_test=PRE_NMS,
        rpn_post_nms_top_n_test=POST_NMS, box_roi_pool=MultiScaleRoIAlign(levels, 7, 2),
        box_head=TwoMLPHead(fpn * 49, fc), box_predictor=FastRCNNPredictor(fc, CLASSES),
        box_detections_per_img=DETECTIONS, mask_roi_pool=MultiScaleRoIAlign(levels, 14, 2),
        mask_head=MaskRCNNHeads(fpn, (fpn // 2,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(fpn // 2, fpn // 2, CLASSES))
    model.transform.resize = lambda image, target: (image, target)
    return model.eval()


def spread(layer, inputs, std, mean, generator):
    """Random weights of a layer, scaled so that its outputs have the given spread on these inputs."""
    layer.weight.data = torch.randn(layer.weight.shape, generator=generator)
    layer.bias.data.zero_()
    outputs = layer(inputs)
    layer.weight.data *= std / outputs.std()
    layer.bias.data = mean - (layer(inputs)).mean() + 0.1 * torch.randn(layer.bias.shape, generator=generator)


def tune_heads(model, features, generator):
    """Heads whose answers are spread enough for many and distinct detections."""
    hidden = model.rpn.head.conv(features["1"])
    spread(model.rpn.head.cls_logits, hidden, 2.0, -1.0, generator)
    spread(model.rpn.head.bbox_pred, hidden, 0.25, 0.0, generator)
    heads = model.roi_heads
    cell = nn.functional.adaptive_avg_pool2d(features["1"], 7).flatten(1)
    noise = cell[:1] * (1 + torch.randn(64, cell.shape[1], generator=generator))
    hidden = heads.box_head.fc7(heads.box_head.fc6(noise).relu()).relu()
    spread(heads.box_predictor.cls_score, hidden, 1.5, 0.0, generator)
    spread(heads.box_predictor.bbox_pred, hidden, 1.0, 0.0, generator)
    hidden = heads.mask_predictor.conv5_mask(heads.mask_head(features["1"])).relu()
    spread(heads.mask_predictor.mask_fcn_logits, hidden, 3.0, 0.0, generator)


def iou_margin(boxes, groups, threshold):
    iou = box_iou(boxes, boxes)
    same = groups[:, None] == groups[None, :]
    pairs = iou[same & ~torch.eye(len(boxes), dtype=torch.bool)]
    return (pairs - threshold).abs().min().item() if len(pairs) else 1.0


def gaps(sorted_values, at):
    """The gap between the values that a cut after `at` parts."""
    return (sorted_values[at - 1] - sorted_values[at]).item() if len(sorted_values) > at else 1.0


class Recorder:
    """Wraps the model's steps, keeps what they hand over and how close their decisions were."""

    def __init__(self, model):
        self.model = model
        self.margin = 1.0

    def note(self, margin):
        self.margin = min(self.margin, margin)

    def proposals(self, images, features):
        rpn = self.model.rpn
        objectness, deltas = rpn.head(list(features.values()))
        anchors = rpn.anchor_generator(images, list(features.values()))
        levels = [(o, d) for o, d in zip(objectness, deltas)]
        counts = [o[0].numel() for o in objectness]
        flat, flat_deltas = torchvision.models.detection.rpn.concat_box_prediction_layers(objectness, deltas)
        decoded = rpn.box_coder.decode(flat_deltas, anchors).view(len(anchors), -1, 4)
        boxes, scores = rpn.filter_proposals(decoded, flat, images.image_sizes, counts)
        flat = flat.view(len(anchors), -1)
        for i, size in enumerate(images.image_sizes):
            kept, at = [], 0
            for level, count in enumerate(counts):
                logits, order = flat[i, at:at + count].sort(descending=True)
                self.note(gaps(logits, PRE_NMS))
                part = torchvision.ops.clip_boxes_to_image(decoded[i, at:at + count][order[:PRE_NMS]], size)
                self.note(iou_margin(part, torch.zeros(len(part)), rpn.nms_thresh))
                keep = torchvision.ops.nms(part, logits[:PRE_NMS], rpn.nms_thresh)
                kept.append(logits[:PRE_NMS][keep].sigmoid())
                at += count
            self.note(gaps(torch.cat(kept).sort(descending=True).values, POST_NMS))
        return levels, boxes

    def detections(self, features, proposals, sizes):
        heads = self.model.roi_heads
        hidden = heads.box_head(heads.box_roi_pool(features, proposals, sizes))
        logits, deltas = heads.box_predictor(hidden)
        counts = [len(p) for p in proposals]
        boxes, scores, labels = heads.postprocess_detections(logits, deltas, proposals, sizes)
        decoded = heads.box_coder.decode(deltas, proposals).split(counts)
        for i, probabilities in enumerate(nn.functional.softmax(logits, -1).split(counts)):
            foreground = probabilities[:, 1:]
            self.note((foreground - heads.score_thresh).abs().min().item())
            rows, columns = torch.where(foreground > heads.score_thresh)
            some = torchvision.ops.clip_boxes_to_image(decoded[i][rows, columns + 1], sizes[i])
            values = foreground[rows, columns]
            self.note(iou_margin(some, columns, heads.nms_thresh))
            keep = torchvision.ops.batched_nms(some, values, columns, heads.nms_thresh)
            self.note(gaps(values[keep], DETECTIONS))
        return logits.split(counts), deltas.split(counts), boxes, scores, labels

    def masks(self, features, boxes, labels, sizes):
        heads = self.model.roi_heads
        logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(features, boxes, sizes)))
        chosen = logits[torch.arange(len(logits)), torch.cat(labels)]
        return chosen.split([len(b) for b in boxes])


def run_backbone(model, images):
    batch, _ = model.transform([image.permute(2, 0, 1).float() / 255 for image in images])
    body = model.backbone.body(batch.tensors)
    return batch, list(body.values()), model.backbone.fpn(body)


def run_case(model, batch, body, features):
    """Returns the tables by (image, name, level), the closest decision and the smallest number of detections."""
    recorder = Recorder(model)
    levels, proposals = recorder.proposals(batch, features)
    logits, deltas, boxes, scores, labels = recorder.detections(features, proposals, batch.image_sizes)
    masks = recorder.masks(features, boxes, labels, batch.image_sizes)
    model.roi_heads.box_roi_pool.scales = model.roi_heads.mask_roi_pool.scales = None  # guessed anew for each size
    tables = {}
    for i in range(len(proposals)):
        if i == len(proposals) - 1:  # the maps are large: one image of a batch is enough
            for level, c in enumerate(body):
                tables[i, "C", level] = c[i].flatten(1)
            for level, p in enumerate(features.values()):
                tables[i, "P", level] = p[i].flatten(1)
            for level, (objectness, delta) in enumerate(levels):
                tables[i, "rpn", level] = torch.cat([objectness[i], delta[i]]).flatten(1)
        tables[i, "proposals", 0] = proposals[i]
        tables[i, "answers", 0] = torch.cat([logits[i], deltas[i]], 1)
        tables[i, "detections", 0] = torch.cat([boxes[i], scores[i][:, None], labels[i][:, None].float()], 1)
        tables[i, "masks", 0] = masks[i].flatten(1)
        pasted = paste_masks_in_image(masks[i][:PASTED, None].sigmoid(), boxes[i][:PASTED], batch.image_sizes[i])
        tables[i, "pasted", 0] = pasted[:, 0].flatten(1)
    found = min(len(b) for b in boxes)
    return tables, recorder.margin, found


def write_case(path, images, tables):
    height, width = images[0].shape[:2]
    with open(path + ".rgb", "wb") as file:
        for image in images:
            file.write(image.numpy().tobytes())
    at = 0
    with open(path + ".bin", "wb") as data, open(path + ".index", "w", encoding="ascii") as index:
        print(f"size {width} {height} {len(images)}", file=index)
        for (image, name, level), table in tables.items():
            print(image, name, level, *table.shape, at, file=index)
            data.write(table.contiguous().numpy().astype("<f4", copy=False).tobytes())
            at += table.numel()


def write_model(path, model, arch, half, taps, strides):
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    entries, chunks, at = {}, [], 0
    for name in sorted(state):
        chunk = tensor_bytes(name, state[name], half)
        entries[name] = {"dtype": "F16" if half else "F32", "shape": list(state[name].shape),
                         "data_offsets": [at, at + len(chunk)]}
        chunks.append(chunk)
        at += len(chunk)
    description = {
        "format": 1, "name": os.path.basename(path), "arch": arch,
        "taps": taps,
        "classes": ["background"] + [f"class {i}" for i in range(1, CLASSES)],
        "rpn": {"pre_nms_top_n_per_level": PRE_NMS, "post_nms_top_n": POST_NMS, "nms_thresh": 0.7},
        "thresholds": {"score": 0.05, "nms": 0.5, "detections_per_image": DETECTIONS},
        "anchors": {"ratios": [0.5, 1.0, 2.0], "sizes_per_level": anchor_sizes(strides), "strides": strides},
    }
    write_safetensors(path + ".safetensors", entries, {"pantile": compact(description)}, chunks, True)


def round_to_half(model):
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half().float())


def make(name, out):
    arch, fpn, fc, half, taps, strides = MODELS[name]
    generator = torch.Generator().manual_seed(20 + list(MODELS).index(name))
    torch.manual_seed(7)
    model = make_model(arch, fpn, fc, taps, strides)
    inputs = {case: [make_image(generator, width, height) for _ in range(count)]
              for case, (width, height, count) in CASES.items()}
    hooks = randomise_norms(model.backbone, generator)
    run_backbone(model, inputs["three"])
    for hook in hooks:
        hook.remove()
    if half:
        round_to_half(model)
    maps = {case: run_backbone(model, images) for case, images in inputs.items()}
    for draw in range(GOOD_DRAWS[name], GOOD_DRAWS[name] + 100):
        tune_heads(model, maps["three"][2], torch.Generator().manual_seed(draw))
        if half:
            round_to_half(model)
        results = {case: run_case(model, *maps[case]) for case in inputs}
        margin = min(result[1] for result in results.values())
        found = min(result[2] for result in results.values())
        if margin >= MARGIN and found >= 5:
            break
    else:
        raise SystemExit(f"{name}: no draw of the heads keeps every decision clear; the last margin was {margin:.1e}")
    print(f"{name}: draw {draw}, closest decision {margin:.1e}, at least {found} detections per image", flush=True)
    for case, images in inputs.items():
        write_case(os.path.join(out, f"{name}.{case}"), images, results[case][0])
    write_model(os.path.join(out, name), model, arch, half, taps, strides)


def stamp_text():
    here = os.path.dirname(os.path.abspath(__file__))
    digest = hashlib.sha256(f"{torch.__version__} {torchvision.__version__}".encode())
    for source in ("make_fixtures.py", "import_torchvision.py"):
        with open(os.path.join(here, source), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder, made when missing")
    parser.add_argument("--models", default=",".join(MODELS), help="comma-separated, of: %(default)s")
    options = parser.parse_args()
    os.makedirs(options.out, exist_ok=True)
    for name in options.models.split(","):
        stamp = os.path.join(options.out, name + ".stamp")
        if os.path.exists(stamp) and open(stamp, encoding="ascii").read() == stamp_text():
            print(f"{name}: up to date")
            continue
        make(name, options.out)
        with open(stamp, "w", encoding="ascii") as file:
            file.write(stamp_text())


if __name__ == "__main__":
    main()
