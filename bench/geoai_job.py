"""One whole job of geoai-py: a scene at the model's resolution in, polygons out. bench/whole_job.py starts it.

    geoai_job.py MODEL.safetensors SCENE.tif OUT.geojson [--chip 512]

Does the job once for each line on standard input, and answers with a line of JSON: what reading, inferring, tracing and writing
took (not imports and the loading of the model), what it took before to write the model as geoai-py wants it, which its users have
done already, and its peak memory so far.
"""
import argparse
import json
import os
import sys
import tempfile
import time

import torch
from geoai.extract import ObjectDetector

from torchvision_model import build


def process(detector, arguments):
    begin = time.monotonic()
    # Its default tolerance of 1 is a share of the outline's length and leaves nothing of long outlines.
    found = detector.process_raster(arguments.scene, output_path=arguments.output, batch_size=1, filter_edges=False,
                                    chip_size=(arguments.chip, arguments.chip), simplify_tolerance=0.005, min_object_area=25)
    seconds = time.monotonic() - begin
    found["score"], found["class"] = found["confidence"], "building"  # as pantile eval reads them
    found.to_file(arguments.output, driver="GeoJSON")
    return seconds


def peak_mib():
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("scene")
    parser.add_argument("output")
    parser.add_argument("--chip", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    begin = time.monotonic()
    module = build(arguments.model, score=0.5, detections=1000)  # as pantile run: nothing below the score is pasted
    with tempfile.TemporaryDirectory() as folder:
        weights = os.path.join(folder, "weights.pth")
        torch.save(module.state_dict(), weights)
        conversion = time.monotonic() - begin
        detector = ObjectDetector(model_path=weights, model=module, device="cpu")
    for _ in sys.stdin:
        seconds = process(detector, arguments)
        print(json.dumps({"seconds": seconds, "conversion": conversion, "mib": peak_mib()}), flush=True)


if __name__ == "__main__":
    main()
