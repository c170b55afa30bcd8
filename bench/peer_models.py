"""A model file of ours as the peers take it: torchvision's module exported to ONNX, and NNCF's INT8 version of that.

    peer_models.py MODEL -o FOLDER [--calibrate TILE.ppm ...] [--preset mixed] [--detections 100] [--score 0]

leaves FOLDER/fp32.onnx and, with tiles to calibrate on, FOLDER/int8.onnx. Runs in the environment of bench/peers.sh. The preset
`performance` has bytes of activations without a zero point, which OpenVINO needs to use AMX in 3x3 layers.
"""
import argparse
import os
import warnings

import numpy as np
import onnx
import torch

from torchvision_model import build

PROPOSALS = 1000


def read_tile(path):
    """A PPM of `pantile run --dump-tiles` as the network's input: float32 (3, h, w) from 0 to 1."""
    with open(path, "rb") as file:
        data = file.read()
    magic, width, height, top = data.split(maxsplit=4)[:4]
    if magic != b"P6" or top != b"255":
        raise SystemExit(f"{path}: not a binary 8-bit PPM")
    width, height = int(width), int(height)
    rgb = np.frombuffer(data[len(data) - 3 * width * height:], dtype=np.uint8).reshape(height, width, 3)
    return rgb.transpose(2, 0, 1).astype(np.float32) / 255


def export(model, path, **caps):
    """Masks leave at the head's resolution: pasting them into the image is timed apart. Height and width stay free. `caps` as
    torchvision_model.build has them, the model's own where none are given."""
    module = build(model, **caps)
    module.transform.postprocess = lambda result, image_sizes, original_sizes: result
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what tracing always says about torchvision
        torch.onnx.export(module, ([torch.rand(3, 1024, 1024)],), path, opset_version=17, dynamo=False,
                          input_names=["image"], output_names=["boxes", "labels", "scores", "masks"],
                          dynamic_axes={"image": {1: "h", 2: "w"}})


def quantise(fp32, path, tiles, preset):
    """NNCF's post-training quantisation with bias correction, of convolutions and matrix products alone.

    What else there is has to be ignored by hand: left alone, NNCF quantises the arithmetic on the boxes' coordinates as well,
    which costs eight points of F1, and with quantisers behind each level's RoIAlign it gives up when no calibration tile has a
    region of the last level.
    """
    import nncf  # slow to import, and exporting does without it
    ignored = nncf.IgnoredScope(types=["RoiAlign", "ScatterElements"],
                                patterns=["/rpn/[A-Z].*", "/roi_heads/[A-Z].*", "/roi_heads/(box|mask)_roi_pool/.*"])
    dataset = nncf.Dataset(tiles, lambda tile: {"image": read_tile(tile)})
    model = nncf.quantize(onnx.load(fp32), dataset, preset=nncf.QuantizationPreset(preset), subset_size=len(tiles),
                          ignored_scope=ignored)
    onnx.save(model, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("-o", "--output", required=True, metavar="FOLDER")
    parser.add_argument("--calibrate", nargs="+", metavar="TILE")
    parser.add_argument("--preset", default="mixed", choices=["mixed", "performance"])
    parser.add_argument("--score", type=float, default=0.0)
    parser.add_argument("--detections", type=int, default=100)
    arguments = parser.parse_args()
    os.makedirs(arguments.output, exist_ok=True)
    fp32, int8 = (os.path.join(arguments.output, name + ".onnx") for name in ("fp32", "int8"))
    if not os.path.exists(fp32):
        export(arguments.model, fp32 + ".part", score=arguments.score, detections=arguments.detections, proposals=PROPOSALS)
        os.rename(fp32 + ".part", fp32)
    if arguments.calibrate and not os.path.exists(int8):
        quantise(fp32, int8 + ".part", arguments.calibrate, arguments.preset)
        os.rename(int8 + ".part", int8)


if __name__ == "__main__":
    main()
