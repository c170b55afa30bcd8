#!/usr/bin/python3
"""Seconds a tile of `pantile run` (the whole road, files included) and of torchvision (the network alone, model loaded, on
the same tiles, with the same caps and score), alternating in one process tree. Needs Debian's python3-torchvision.

    bench/speed.py SCENE MODEL [--rounds 5]
"""
import argparse
import glob
import os
import statistics
import subprocess
import tempfile
import time

import torch

from torchvision_model import build, detect
from torchvision_tiles import read_ppm

PANTILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "release", "cli", "pantile")


def run_pantile(arguments, folder, *more):
    begin = time.monotonic()
    subprocess.run([PANTILE, "run", arguments.scene, "--model", arguments.model, "--overwrite", "--quiet",
                    "-o", os.path.join(folder, "out.geojson"), *more], check=True)
    return time.monotonic() - begin


def run_torchvision(model, tiles):
    begin = time.monotonic()
    for tile in tiles:
        detect(model, tile)
    return time.monotonic() - begin


def say(name, seconds):
    print(f"{name}: median {statistics.median(seconds):.3f} s a tile, min {min(seconds):.3f}, max {max(seconds):.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scene")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(os.cpu_count())
    model = build(arguments.model, score=0.5, detections=1000)
    with tempfile.TemporaryDirectory() as folder:
        dump = os.path.join(folder, "tiles")
        run_pantile(arguments, folder, "--dump-tiles", dump)
        tiles = [read_ppm(path) for path in sorted(glob.glob(os.path.join(dump, "*.ppm")))]
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(run_pantile(arguments, folder) / len(tiles))
            theirs.append(run_torchvision(model, tiles) / len(tiles))
    say("pantile run", ours)
    say("torchvision", theirs)
    ratios = [t / o for o, t in zip(ours, theirs)]
    print(f"torchvision / pantile: median {statistics.median(ratios):.2f}, min {min(ratios):.2f}, "
          f"max {max(ratios):.2f}, {len(tiles)} tiles, {arguments.rounds} rounds")


if __name__ == "__main__":
    main()
