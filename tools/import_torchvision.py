#!/usr/bin/env python3
"""Turns a torchvision Mask R-CNN checkpoint into a Pantile model file (safetensors with a description).

    import_torchvision.py CHECKPOINT.pth --arch maskrcnn_resnet50_fpn --num-classes 2 -o M.safetensors
    import_torchvision.py --from-safetensors IN.safetensors --description IN.json -o OUT.safetensors

The checkpoint is read with weights_only=True: a pickle that would run code is refused. It holds a state_dict, bare or
under "model", "state_dict" or "model_state_dict"; a "module." prefix is dropped. Needs torch, not torchvision.

Models that were fine-tuned from torchvision's COCO weights (weights="DEFAULT", pretrained=True) need --bn-eps 0.0:
torchvision sets the epsilon of their batch norms to 0 in code, and no checkpoint says so.
docs/model-format.md describes the file.
"""
import argparse
import io
import json
import os
import re
import struct
import sys
import tarfile

ARCHES = {
    "maskrcnn_resnet50_fpn": "resnet50_fpn",
    "maskrcnn_resnet101_fpn": "resnet101_fpn",
    "maskrcnn_mobilenet_v2_fpn": "mobilenet_v2_fpn",
}
BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
WRAPPERS = ("model", "state_dict", "model_state_dict")


class Refusal(Exception):
    """What the user must know: one line that names the file, tensor or option."""


# --- reading -----------------------------------------------------------------------------------------------------

def load_checkpoint(path):
    """The state_dict in a checkpoint file, without ever running what a pickle asks for."""
    import pickle
    import torch

    with open(path, "rb") as file:
        data = file.read()
    # torch.load of these two kinds takes other ways than the restricted unpickler, in some versions of torch even
    # with weights_only. An entry's name stands in a zip file as it is.
    if data[:4] == b"PK\x03\x04" and b"constants.pkl" in data:
        raise Refusal("is a TorchScript archive, which holds code; save the model's state_dict() instead")
    if tarfile.is_tarfile(io.BytesIO(data)):
        raise Refusal("is in torch's old tar format; save it again with a current torch")
    try:
        loaded = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Before this, torch advises to read the file without the restriction: never.
        reason = str(error).partition("WeightsUnpickler error:")[2].strip().splitlines() or ["not a plain state_dict"]
        newer = ", or use a newer torch" if "Unsupported operand" in reason[0] else ""  # 1.13 does not even know floats
        raise Refusal(f"holds more than weights, and was not run; save the model's state_dict() instead{newer} "
                      f"(torch {torch.__version__}: {reason[0][:200]})") from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError, AttributeError, TypeError, IndexError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise Refusal(f"is not a checkpoint that torch can read: {lines[0][:200]}") from error
    return find_state_dict(loaded)


def find_state_dict(loaded):
    import torch

    for _ in range(2):
        if not isinstance(loaded, dict):
            raise Refusal(f"holds a {type(loaded).__name__}, not a state_dict")
        if loaded and all(isinstance(value, torch.Tensor) for value in loaded.values()):
            return {str(name): value for name, value in loaded.items()}
        for key in WRAPPERS:
            if isinstance(loaded.get(key), dict):
                loaded = loaded[key]
                break
    raise Refusal("holds no state_dict, neither bare nor under " + ", ".join(f'"{key}"' for key in WRAPPERS))


def new_name(name):
    """The name that torchvision 0.14 gives a tensor of older versions."""
    name = re.sub(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2", name)
    name = re.sub(r"^rpn\.head\.conv\.(weight|bias)$", r"rpn.head.conv.0.0.\1", name)
    return re.sub(r"^roi_heads\.mask_head\.mask_fcn([1-9]\d*)\.(weight|bias)$",
                  lambda m: f"roi_heads.mask_head.{int(m[1]) - 1}.0.{m[2]}", name)


def clean_names(state):
    if all(name.startswith("module.") for name in state):
        state = {name[len("module."):]: tensor for name, tensor in state.items()}
    clean = {}
    for name, tensor in state.items():
        if name.endswith(".num_batches_tracked"):
            continue
        if new_name(name) in clean:
            raise Refusal(f"tensor {new_name(name)}: present under its old name and its new one")
        clean[new_name(name)] = tensor
    return clean


# --- what the architecture needs ---------------------------------------------------------------------------------

def conv_bn(state, conv, bn):
    """Tensors of a convolution with its batch norm, or with the norm folded into a bias."""
    if f"{bn}.weight" in state or f"{conv}.bias" not in state:
        return [f"{conv}.weight"] + [f"{bn}.{part}" for part in BATCH_NORM]
    return [f"{conv}.weight", f"{conv}.bias"]


def pair(module):
    return [f"{module}.weight", f"{module}.bias"]


def resnet_names(state, layer3):
    names = conv_bn(state, "backbone.body.conv1", "backbone.body.bn1")
    for layer, blocks in ((1, 3), (2, 4), (3, layer3), (4, 3)):
        for i in range(blocks):
            block = f"backbone.body.layer{layer}.{i}"
            for k in (1, 2, 3):
                names += conv_bn(state, f"{block}.conv{k}", f"{block}.bn{k}")
            if i == 0:
                names += conv_bn(state, f"{block}.downsample.0", f"{block}.downsample.1")
    return names


def mobilenet_last(state):
    """The last of torchvision's features[i] that the checkpoint has: it drops those after the last tap."""
    indices = [int(m[1]) for m in (re.match(r"backbone\.body\.(\d+)\.", name) for name in state) if m]
    return min(max(indices, default=0), 18)


def mobilenet_names(state):
    names = conv_bn(state, "backbone.body.0.0", "backbone.body.0.1")
    last = mobilenet_last(state)
    for i in range(1, min(last, 17) + 1):
        block = f"backbone.body.{i}.conv"
        names += conv_bn(state, f"{block}.0.0", f"{block}.0.1")
        if f"{block}.1.0.weight" in state:
            names += conv_bn(state, f"{block}.1.0", f"{block}.1.1") + conv_bn(state, f"{block}.2", f"{block}.3")
        else:
            names += conv_bn(state, f"{block}.1", f"{block}.2")
    if last == 18:
        names += conv_bn(state, "backbone.body.18.0", "backbone.body.18.1")
    return names


def count_modules(state, prefix):
    count = 0
    while f"{prefix}.{count}.0.weight" in state:
        count += 1
    return count


def expected_names(state, arch):
    if arch == "mobilenet_v2_fpn":
        names = mobilenet_names(state)
    else:
        names = resnet_names(state, 6 if arch == "resnet50_fpn" else 23)
    for i in range(max(1, count_modules(state, "backbone.fpn.inner_blocks"))):
        names += pair(f"backbone.fpn.inner_blocks.{i}.0") + pair(f"backbone.fpn.layer_blocks.{i}.0")
    for i in range(max(1, count_modules(state, "rpn.head.conv"))):
        names += pair(f"rpn.head.conv.{i}.0")
    for i in range(max(1, count_modules(state, "roi_heads.mask_head"))):
        names += pair(f"roi_heads.mask_head.{i}.0")
    for module in ("rpn.head.cls_logits", "rpn.head.bbox_pred", "roi_heads.box_head.fc6", "roi_heads.box_head.fc7",
                   "roi_heads.box_predictor.cls_score", "roi_heads.box_predictor.bbox_pred",
                   "roi_heads.mask_predictor.conv5_mask", "roi_heads.mask_predictor.mask_fcn_logits"):
        names += pair(module)
    return names


def some(names):
    names = sorted(names)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def check_names(state, arch):
    expected = set(expected_names(state, arch))
    missing, unknown = expected - state.keys(), state.keys() - expected
    if missing and any(name in state for name in ("backbone.body.conv1.weight", "backbone.body.0.0.weight")):
        hint = "" if len(missing) < 50 else "; is --arch right?"
        raise Refusal(f"missing tensors for {arch}: {some(missing)}{hint}")
    if missing:
        raise Refusal(f"is not a Mask R-CNN with FPN by torchvision: missing tensors {some(missing)}")
    if unknown:
        raise Refusal(f"unknown tensors for {arch}: {some(unknown)} (only torchvision's first version of the FPN, RPN "
                      "and heads is supported)")


def side(state, name, axis):
    """One side of a tensor's shape."""
    if state[name].dim() <= axis:
        raise Refusal(f"tensor {name}: has {state[name].dim()} dimensions, at least {axis + 1} are needed")
    return state[name].shape[axis]


def check_classes(state, classes):
    found = side(state, "roi_heads.box_predictor.cls_score.weight", 0)
    if found != classes:
        raise Refusal(f"--num-classes {classes}: tensor roi_heads.box_predictor.cls_score.weight has {found} classes, "
                      "background included")
    for name, rows in (("roi_heads.box_predictor.bbox_pred.weight", 4 * classes),
                       ("roi_heads.mask_predictor.mask_fcn_logits.weight", classes)):
        if side(state, name, 0) != rows:
            raise Refusal(f"tensor {name}: {side(state, name, 0)} outputs, {rows} expected for {classes} classes")


# --- the description ---------------------------------------------------------------------------------------------

def mobilenet_channels(state, index):
    conv = {0: "0.0", 18: "18.0"}.get(index)
    if conv is None:
        block = f"{index}.conv"
        conv = f"{block}.2" if f"backbone.body.{block}.1.0.weight" in state else f"{block}.1"
    name = f"backbone.body.{conv}.weight"
    return side(state, name, 0) if name in state else None


def resnet_channels(state, layer):
    name = f"backbone.body.layer{layer}.0.conv3.weight"
    return side(state, name, 0) if name in state else None


def find_taps(state, arch, stated):
    """The backbone outputs that feed the FPN: as stated, else those whose widths fit."""
    levels = count_modules(state, "backbone.fpn.inner_blocks")
    inputs = [side(state, f"backbone.fpn.inner_blocks.{i}.0.weight", 1) for i in range(levels)]
    if arch == "mobilenet_v2_fpn":
        # The ends of the stages, and what torchvision's own mobilenet FPN takes.
        candidates = [stated] if stated else [[3, 6, 13, 17], [3, 6, 13, 18], [6, 13, 17], [6, 13, 18], [14, 18]]
        channels = mobilenet_channels
    else:
        candidates, channels = ([stated] if stated else [list(range(5 - levels, 5))]), resnet_channels
    for taps in candidates:
        if len(taps) == levels and [channels(state, tap) for tap in taps] == inputs:
            return taps
    raise Refusal(f"--taps: the FPN has inputs of {inputs} channels, which are not those of "
                  + (f"taps {stated}" if stated else "the usual taps; name them"))


def tap_stride(arch, tap):
    if arch != "mobilenet_v2_fpn":
        return 2 << tap
    return 2 << sum(tap >= first for first in (2, 4, 7, 14))


def class_names(options):
    if not options.class_names:
        return ["background"] + [f"class_{i}" for i in range(1, options.num_classes)]
    names = [name.strip() for name in options.class_names.split(",")]
    if len(names) == options.num_classes - 1:
        names = ["background"] + names
    if len(names) != options.num_classes or not all(names):
        raise Refusal(f"--class-names: {options.num_classes - 1} names needed for --num-classes {options.num_classes} "
                      "(background is class 0)")
    return names


def describe(state, arch, options):
    taps = find_taps(state, arch, options.taps)
    strides = [tap_stride(arch, tap) for tap in taps]
    strides.append(2 * strides[-1])
    if len(options.anchor_sizes) != len(strides):
        raise Refusal(f"--anchor-sizes: {len(options.anchor_sizes)} levels, the model has {len(strides)}")
    cell = side(state, "rpn.head.cls_logits.weight", 0)
    for sizes in options.anchor_sizes:
        if len(sizes) * len(options.anchor_ratios) != cell:
            raise Refusal(f"--anchor-sizes, --anchor-ratios: {len(sizes)} sizes x {len(options.anchor_ratios)} ratios, "
                          f"tensor rpn.head.cls_logits.weight has {cell} anchors per cell")
    gsd = {"gsd_m": {"default": options.gsd}} if options.gsd else {}
    return {
        "format": 1,
        "name": options.name or os.path.splitext(os.path.basename(options.output))[0],
        "arch": arch,
        "taps": taps,
        "bn_eps": options.bn_eps,
        "fpn_channels": side(state, "backbone.fpn.inner_blocks.0.0.weight", 0),
        "classes": class_names(options),
        **gsd,
        "normalisation": {"input": "RGB, uint8/255", "mean": options.mean, "std": options.std, "resize": "none"},
        "rpn": {"pre_nms_top_n_per_level": options.rpn_pre_nms, "post_nms_top_n": options.rpn_post_nms,
                "nms_thresh": options.rpn_nms, "score_thresh": options.rpn_score, "min_box": 0.001,
                "box_coder_weights": [1, 1, 1, 1], "anchors_per_cell": cell},
        "roi": {"featmaps": [str(i) for i in range(len(taps))], "box_roi_size": 7, "mask_roi_size": 14,
                "sampling_ratio": 2, "aligned": False, "canonical_size": 224, "canonical_level": 4,
                "box_coder_weights": [10, 10, 5, 5], "dw_dh_clip": "log(1000/16)"},
        "thresholds": {"score": options.score_threshold, "nms": options.nms_threshold, "min_box": 0.01,
                       "detections_per_image": options.detections, "recommended_export_score": options.export_score},
        "anchors": {"ratios": options.anchor_ratios, "sizes_per_level": options.anchor_sizes, "strides": strides},
    }


# --- writing -----------------------------------------------------------------------------------------------------

def tensor_bytes(name, tensor, half):
    import torch

    if not tensor.is_floating_point():
        raise Refusal(f"tensor {name}: its dtype is {tensor.dtype}, floating point is needed")
    tensor = tensor.detach().to(torch.float16 if half else torch.float32).contiguous()
    if not torch.isfinite(tensor).all():
        raise Refusal(f"tensor {name}: holds an infinity or NaN" + (" in FP16; leave --fp16 out" if half else ""))
    return tensor.numpy().astype("<f2" if half else "<f4", copy=False).tobytes()


def write_safetensors(path, entries, metadata, chunks, overwrite):
    """entries: name -> dtype, shape, data_offsets. Written beside the output, then renamed."""
    header = json.dumps({"__metadata__": metadata, **entries}, ensure_ascii=False, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    if os.path.exists(path) and not overwrite:
        raise Refusal(f"{path}: exists already; say --overwrite to replace it")
    partial = f"{path}.partial"
    try:
        with open(partial, "wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def compact(description):
    return json.dumps(description, ensure_ascii=False, separators=(",", ":"))


def import_checkpoint(options):
    arch = ARCHES[options.arch]
    state = clean_names(load_checkpoint(options.checkpoint))
    check_names(state, arch)
    check_classes(state, options.num_classes)
    description = describe(state, arch, options)
    entries, chunks, at = {}, [], 0
    for name in sorted(state):
        chunk = tensor_bytes(name, state[name], options.fp16)
        entries[name] = {"dtype": "F16" if options.fp16 else "F32", "shape": list(state[name].shape),
                         "data_offsets": [at, at + len(chunk)]}
        chunks.append(chunk)
        at += len(chunk)
    write_safetensors(options.output, entries, {"pantile": compact(description)}, chunks, options.overwrite)
    print(f"{options.output}: {description['name']}, {arch}, {len(entries)} tensors, classes "
          + ", ".join(description["classes"]))


def embed_description(options):
    """The same tensors, byte for byte, with a JSON description in the metadata."""
    with open(options.from_safetensors, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if length < 2 or length > len(data) - 8:
        raise Refusal(f"{options.from_safetensors}: is not a safetensors file")
    try:
        entries = json.loads(data[8:8 + length])
        with open(options.description, encoding="utf-8") as file:
            description = json.load(file)
    except ValueError as error:
        raise Refusal(f"{options.from_safetensors} or {options.description}: is not valid JSON: {error}") from error
    if not isinstance(entries, dict) or not isinstance(description, dict):
        raise Refusal(f"{options.from_safetensors} or {options.description}: is not a JSON object")
    metadata = {**entries.pop("__metadata__", {}), "pantile": compact(description)}
    write_safetensors(options.output, entries, metadata, [data[8 + length:]], options.overwrite)
    print(f"{options.output}: {len(entries)} tensors with the description of {options.description}")


# --- command line ------------------------------------------------------------------------------------------------

def numbers(text):
    return [float(part) for part in text.split(",")]


def three_numbers(text):
    values = numbers(text)
    if len(values) != 3:
        raise argparse.ArgumentTypeError("three numbers needed, as 0.485,0.456,0.406")
    return values


def whole_numbers(text):
    return [int(part) for part in text.split(",")]


def sizes_per_level(text):
    return [numbers(level) for level in text.split(";")]


def parse_arguments(arguments):
    usage, _, details = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(description=usage, epilog=details,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("checkpoint", nargs="?", metavar="CHECKPOINT.pth", help="a state_dict saved by torch")
    add("-o", "--output", required=True, metavar="M.safetensors")
    add("--overwrite", action="store_true", help="replace an existing output")
    add("--from-safetensors", metavar="IN.safetensors", help="embed --description into this file instead")
    add("--description", metavar="IN.json")
    add("--arch", choices=sorted(ARCHES))
    add("--num-classes", type=int, metavar="N", help="background included")
    add("--class-names", metavar="A,B", help="without background; default class_1, class_2, ...")
    add("--name", help="default: the output's base name")
    add("--gsd", type=float, metavar="M", help="metres per pixel of the training images; default: unknown")
    add("--score-threshold", type=float, default=0.05, metavar="S", help="of the box head (0.05)")
    add("--nms-threshold", type=float, default=0.5, metavar="IOU", help="of the box head (0.5)")
    add("--detections", type=int, default=100, metavar="N", help="per image (100)")
    add("--export-score", type=float, default=0.5, metavar="S", help="from which objects are exported (0.5)")
    add("--rpn-pre-nms", type=int, default=1000, metavar="N", help="proposals per level before NMS (1000)")
    add("--rpn-post-nms", type=int, default=1000, metavar="N", help="proposals per image after NMS (1000)")
    add("--rpn-nms", type=float, default=0.7, metavar="IOU", help="(0.7)")
    add("--rpn-score", type=float, default=0.0, metavar="S", help="(0)")
    add("--anchor-sizes", type=sizes_per_level, default="32;64;128;256;512", metavar="LIST",
        help='per level, pixels ("32;64;128;256;512"); several of one level as "32,48;64,96"')
    add("--anchor-ratios", type=numbers, default="0.5,1,2", metavar="LIST", help="height / width (0.5,1,2)")
    add("--bn-eps", type=float, default=1e-5, metavar="E",
        help="of the batch norms (1e-5); 0.0 for models fine-tuned from torchvision's COCO weights, see below")
    add("--taps", type=whole_numbers, metavar="3,6,13,17", help="MobileNetV2: features[i] that feed the FPN")
    add("--mean", type=three_numbers, default="0.485,0.456,0.406", metavar="R,G,B", help="of RGB / 255 (ImageNet's)")
    add("--std", type=three_numbers, default="0.229,0.224,0.225", metavar="R,G,B", help="(ImageNet's)")
    add("--min-size", choices=["none"], default="none",
        help="none, and nothing else: tiles are fed at their own size; let --gsd say at which scale")
    add("--fp16", action="store_true", help="store half-precision weights")
    options = parser.parse_args(arguments)
    if options.from_safetensors:
        if options.checkpoint or not options.description:
            parser.error("--from-safetensors needs --description and no checkpoint")
    elif not (options.checkpoint and options.arch and options.num_classes):
        parser.error("CHECKPOINT.pth, --arch and --num-classes are needed")
    return options


def main(arguments=None):
    options = parse_arguments(arguments)
    source = options.from_safetensors or options.checkpoint
    try:
        (embed_description if options.from_safetensors else import_checkpoint)(options)
    except Refusal as refusal:
        print(f"import_torchvision: {source}: {refusal}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"import_torchvision: needs Python's {error.name}, which {sys.executable} does not have: apt install "
              "python3-torch and run this with /usr/bin/python3, or pip install torch numpy", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"import_torchvision: {error.filename or source}: {error.strerror or error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
