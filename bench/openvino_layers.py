"""Where OpenVINO's time goes: its own counters of a tile's layers, summed by component, the least of several runs.

    openvino_layers.py MODEL.onnx TILE.ppm [--precision f32] [--layers 20]

MODEL.onnx is one that bench/peers.sh left in build/peers; run it with the Python of that environment.
"""
import argparse
import collections
import os
import re
import time

import openvino

from peer import read_tile

COMPONENTS = [("mask head", r"mask_head|mask_predictor|ConvolutionBackpropData"), ("mask RoIAlign, scatter", "mask_roi_pool"),
              ("box RoIAlign, scatter", "box_roi_pool"), ("box head", "box_head|box_predictor"), ("FPN", "backbone/fpn"),
              ("backbone", "backbone"), ("RPN head", "rpn/head"), ("proposals", "/rpn"), ("detections", "/roi_heads")]


def component(name):
    return next((label for label, pattern in COMPONENTS if re.search(pattern, name)), "other")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("tile")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--layers", type=int, default=20)
    arguments = parser.parse_args()
    tile, core = read_tile(arguments.tile), openvino.Core()
    model = core.read_model(arguments.model)
    model.reshape(tile.shape)
    request = core.compile_model(model, "CPU", {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": arguments.threads, "PERF_COUNT": True,
                                                "INFERENCE_PRECISION_HINT": arguments.precision}).create_infer_request()
    runs = []
    for _ in range(arguments.runs):
        begin = time.perf_counter()
        request.infer({0: tile})
        wall = 1e3 * (time.perf_counter() - begin)
        runs.append((wall, [(p.node_name, p.exec_type, 1e3 * p.real_time.total_seconds()) for p in request.profiling_info]))
    wall, layers = min(runs, key=lambda run: run[0])
    sums = collections.Counter()
    for name, _, ms in layers:
        sums[component(name)] += ms
    print(f"{wall:.1f} ms a tile; the layers' sum {sum(sums.values()):.1f} ms, branches counted with what is in them")
    for label, ms in sums.most_common():
        print(f"{ms:9.2f} ms  {label}")
    print()
    for name, how, ms in sorted(layers, key=lambda layer: -layer[2])[:arguments.layers]:
        print(f"{ms:9.2f} ms  {how:24} {name[-80:]}")


if __name__ == "__main__":
    main()
