#!/usr/bin/python3
"""Runs torchvision on the tiles that `pantile run --dump-tiles DIR` wrote and leaves what it finds beside them, one JSON
a tile, for `pantile run --engine replay:DIR` (docs/replay.md). Needs Debian's python3-torchvision."""
import argparse
import glob
import json
import os
import sys

import numpy as np
import torch

from torchvision_model import build, detect


def read_ppm(path):
    with open(path, "rb") as file:
        data = file.read()
    magic, width, height, top = data.split(maxsplit=4)[:4]
    if magic != b"P6" or top != b"255":
        sys.exit(f"{path}: not a binary 8-bit PPM")
    count = int(width) * int(height) * 3
    return np.frombuffer(data[len(data) - count:], dtype=np.uint8).reshape(int(height), int(width), 3).copy()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--model", required=True)
    parser.add_argument("--score", type=float, default=0.5)
    parser.add_argument("--proposals", type=int, help="as pantile run --proposals, else the file's own")
    parser.add_argument("--detections", type=int, default=1000, help="as pantile run --detections, 0: the file's own")
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    model = build(arguments.model, arguments.score, arguments.detections, arguments.proposals)
    for path in sorted(glob.glob(os.path.join(arguments.directory, "*.ppm"))):
        boxes, scores, labels, masks = detect(model, read_ppm(path))
        stem = os.path.splitext(path)[0]
        found = [{"box": [float(v) for v in box], "score": float(score), "class_id": int(label),
                  "mask_size": mask.shape[-1], "mask": [float(v) for v in mask.flatten()]}
                 for box, score, label, mask in zip(boxes, scores, labels, masks)]
        with open(stem + ".json", "w", encoding="utf-8") as file:
            json.dump({"tile": int(os.path.basename(stem)), "detections": found}, file)


if __name__ == "__main__":
    main()
