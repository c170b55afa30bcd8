"""Builds torchvision's own MaskRCNN from one of our model files, for comparisons.

Needs Debian's python3-torchvision (run with /usr/bin/python3). Reads the description from the file's "pantile" metadata
or, where that is missing, from the JSON of the same name beside it.
"""
import json
import os
import struct

import torch
from torchvision.models import mobilenet_v2
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN, resnet_fpn_backbone
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import MultiScaleRoIAlign

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def read_model(path):
    """Returns (state dict in float32, description)."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        header = json.loads(file.read(length))
        body = bytearray(file.read())
    metadata = header.pop("__metadata__", {})
    if "pantile" in metadata:
        description = json.loads(metadata["pantile"])
    else:
        with open(os.path.splitext(path)[0] + ".json", encoding="utf-8") as file:
            description = json.load(file)
    state = {}
    for name, entry in header.items():
        if name.startswith("calibration."):
            continue  # what `pantile calibrate` has added
        begin, end = entry["data_offsets"]
        tensor = torch.frombuffer(body[begin:end], dtype=DTYPES[entry["dtype"]])
        state[name] = tensor.reshape(entry["shape"]).float()
    return state, description


def unfold_mobilenet(state, body):
    """Gives convolutions with a folded bias the identity batch norm that torchvision's module expects after them."""
    norms = {name: module for name, module in body.named_modules() if isinstance(module, torch.nn.BatchNorm2d)}
    for name, norm in norms.items():
        prefix, index = name.rsplit(".", 1)
        conv = f"backbone.body.{prefix}.{int(index) - 1}"
        if conv + ".bias" in state:
            norm_name = f"backbone.body.{name}"
            state[norm_name + ".bias"] = state.pop(conv + ".bias")
            state[norm_name + ".weight"] = torch.ones(norm.num_features)
            state[norm_name + ".running_mean"] = torch.zeros(norm.num_features)
            state[norm_name + ".running_var"] = torch.full((norm.num_features,), 1.0 - norm.eps)


def build_backbone(state, description):
    fpn = description["fpn_channels"]
    if "backbone.body.conv1.weight" in state:
        depth = "resnet101" if "backbone.body.layer3.22.conv1.weight" in state else "resnet50"
        return resnet_fpn_backbone(backbone_name=depth, weights=None, trainable_layers=0)
    features = mobilenet_v2(weights=None).features
    taps = description.get("taps", [3, 6, 13, 17])
    last = max(taps)
    body = torch.nn.Sequential(*[features[i] for i in range(last + 1)])
    backbone = BackboneWithFPN(body, {str(t): str(i) for i, t in enumerate(taps)},
                               description["backbone_channels"], fpn)
    unfold_mobilenet(state, backbone.body)
    return backbone


def build(path, score=None, detections=None, proposals=None):
    """Returns the model in eval mode. `score`, `detections` and `proposals` override what the file says."""
    state, d = read_model(path)
    fpn = d["fpn_channels"]
    levels = [str(i) for i in range(len(d["anchors"]["sizes_per_level"]) - 1)]
    sizes = tuple(tuple(s) if isinstance(s, list) else (s,) for s in d["anchors"]["sizes_per_level"])
    anchors = AnchorGenerator(sizes, (tuple(d["anchors"]["ratios"]),) * len(sizes))
    backbone = build_backbone(state, d)
    roi, rpn, thresholds = d["roi"], d["rpn"], d["thresholds"]
    fc = state["roi_heads.box_head.fc6.weight"].shape[0]
    classes = state["roi_heads.box_predictor.cls_score.weight"].shape[0]
    mask_width = state["roi_heads.mask_head.0.0.weight"].shape[0]

    def pool(side):
        return MultiScaleRoIAlign(levels, side, roi["sampling_ratio"])

    model = MaskRCNN(
        backbone, rpn_anchor_generator=anchors, image_mean=d["normalisation"]["mean"],
        image_std=d["normalisation"]["std"], rpn_pre_nms_top_n_test=proposals or rpn["pre_nms_top_n_per_level"],
        rpn_post_nms_top_n_test=proposals or rpn["post_nms_top_n"], rpn_nms_thresh=rpn["nms_thresh"],
        rpn_score_thresh=rpn["score_thresh"], box_roi_pool=pool(roi["box_roi_size"]),
        box_head=TwoMLPHead(fpn * roi["box_roi_size"] ** 2, fc), box_predictor=FastRCNNPredictor(fc, classes),
        box_score_thresh=thresholds["score"] if score is None else score, box_nms_thresh=thresholds["nms"],
        box_detections_per_img=detections or thresholds["detections_per_image"],
        mask_roi_pool=pool(roi["mask_roi_size"]), mask_head=MaskRCNNHeads(fpn, (mask_width,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(mask_width, mask_width, classes))
    # torchvision's own _skip_resize acts in training alone; in eval mode it would still scale the shorter side to 800.
    model.transform.resize = lambda image, target: (image, target)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [m for m in missing if not m.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise SystemExit(f"{path}: torchvision misses {missing} and does not know {unexpected}")
    return model.eval()


@torch.no_grad()
def detect(model, rgb):
    """`rgb`: uint8 array (h, w, 3). Returns boxes, scores, labels, mask probabilities at head resolution."""
    image = torch.from_numpy(rgb).permute(2, 0, 1).float() / 255
    images, _ = model.transform([image])
    features = model.backbone(images.tensors)
    proposals, _ = model.rpn(images, features)
    found = model.roi_heads(features, proposals, images.image_sizes)[0][0]
    return found["boxes"], found["scores"], found["labels"], found["masks"][:, 0]
