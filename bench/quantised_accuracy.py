"""What INT8 costs in accuracy: NNCF's (run by OpenVINO) and ours, each beside its own FP32, on the same tiles.

    bench/quantised_accuracy.sh DATA MODEL... [-- --calibrate-on PLACE] [--ours] [--methods NAME...] [--precisions TEXT...]

Calibrated on one place, measured on all others. A tile's truth is the reference cut to the tile; what is less than half in it
is ignored. AP over IoU 0.50:0.95 of masks by pycocotools, every detection of the model's own thresholds; F1 of those with a
score of 0.5 or more, matched at IoU 0.5 by the same code. Both sides' masks are in pixels of the tile. The last column says how
many objects are as FP32 has them: F1 of INT8's masks with FP32's own as the truth, both of a score of 0.5 or more, matched at IoU
0.75.
"""
import argparse
import contextlib
import glob
import io
import json
import os
import subprocess
import tempfile

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import tile_truth
from peer_models import export, quantise, read_tile

BUILDINGS = {"banepa": ["banepa_north_z19"], "zanzibar": ["zanzibar_z21_a"], "kampala": ["kampala_z21_a"],
             "catanduanes": ["catanduanes_z21_a", "catanduanes_z21_b"]}
EXPORT_SCORE, MOST = 0.5, 1000
OWN = "own"
HALF, THREE_QUARTERS = 0, 5  # of pycocotools' IoU thresholds, 0.50:0.05:0.95
CALIBRATION_TILES = 10  # NNCF's, and ours


def places_of(model, data):
    """Names of places with their scenes: the building scenes, or for the fields model the chips in two halves."""
    if "fields" not in os.path.basename(model):
        return {place: [os.path.join(data, "scenes", scene + ".tif") for scene in scenes] for place, scenes in BUILDINGS.items()}
    chips = sorted(glob.glob(os.path.join(data, "fields", "*.tif")))
    return {"chips 1-10": chips[:10], "other chips": chips[10:]}


class OpenVino:
    """OpenVINO on an ONNX file with free height and width."""

    def __init__(self, path, threads):
        import openvino
        core = openvino.Core()
        options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        self.compiled = core.compile_model(core.read_model(path), "CPU", options)

    def detect(self, path):
        import torch
        from torchvision.models.detection.roi_heads import paste_masks_in_image
        tile = read_tile(path)
        found = self.compiled({0: tile})
        boxes, labels, scores, masks = (np.array(found[name]) for name in ("boxes", "labels", "scores", "masks"))
        for i, box in enumerate(boxes):  # one at a time: three hundred masks of a tile would take a gigabyte
            pasted = paste_masks_in_image(torch.from_numpy(masks[i:i + 1]), torch.from_numpy(boxes[i:i + 1]), tile.shape[1:])
            binary = (pasted[0, 0] > 0.5).to(torch.uint8).numpy()
            yield {"category_id": int(labels[i]), "score": float(scores[i]),
                   "segmentation": coco_mask.encode(np.asfortranarray(binary))}


class Pantile:
    def __init__(self, program, model, precision):
        self.command = [program, "detect", "--driver", "PNM", "--quiet", "--overwrite", "--model", model, "--precision", precision]
        self.found = {}  # FP32 is beside every method and precision

    def detect(self, path):
        if path not in self.found:
            with tempfile.NamedTemporaryFile(suffix=".json") as out:
                subprocess.run([*self.command, path, "-o", out.name], check=True)
                self.found[path] = json.load(open(out.name, encoding="utf-8"))
        return self.found[path]


def dump(arguments, model, scene):
    """The folder with the scene's tiles."""
    name = os.path.splitext(os.path.basename(scene))[0]
    folder = os.path.join(arguments.work, "tiles", name)
    if not os.path.exists(os.path.join(folder, "tiles.json")):
        subprocess.run([arguments.pantile, "run", scene, "--model", model, "-o", os.path.join(arguments.work, "tiles", name + ".geojson"),
                        "--dump-tiles", folder, "--overwrite", "--quiet"], check=True)
    return folder


def tiles_of(folder):
    return sorted(glob.glob(os.path.join(folder, "*.ppm")), key=lambda path: int(os.path.basename(path)[:-4]))


def truth_of(scenes):
    """COCO's ground truth of all tiles, and the tiles' paths by image id."""
    images, annotations, paths = [], [], {}
    for scene, folder in scenes:
        for window, objects in tile_truth.windows(scene, folder):
            image = len(images) + 1
            images.append({"id": image, "width": window["width"], "height": window["height"]})
            paths[image] = os.path.join(folder, f"{window['tile']}.ppm")
            for rle, ignored in objects:
                annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": 1, "segmentation": rle,
                                    "area": float(coco_mask.area(rle)), "bbox": coco_mask.toBbox(rle).tolist(),
                                    "iscrowd": int(ignored)})  # what COCOeval goes by
    return coco_of(images, annotations), paths


def coco_of(images, annotations):
    coco = COCO()
    coco.dataset = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools tells its progress there
        coco.createIndex()
    return coco


def matched(coco, paths, detections):
    """pycocotools' comparison. `detections` by path."""
    found = [{"image_id": image, "category_id": 1, "score": d["score"], "segmentation": d["segmentation"]}
             for image, path in paths.items() for d in detections[path]]
    with contextlib.redirect_stdout(io.StringIO()):
        run = COCOeval(coco, coco.loadRes(found), "segm")
        run.params.maxDets = [MOST]
        run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
        run.evaluate()
    return run


def f1_of(run, iou):
    """Of what has a score of 0.5 or more."""
    hits = wrong = objects = 0
    for image in run.evalImgs:
        if image is None:
            continue
        sure = np.array(image["dtScores"]) >= EXPORT_SCORE
        counted = sure & ~image["dtIgnore"][iou].astype(bool)
        hit = image["dtMatches"][iou] > 0
        hits, wrong = hits + int((counted & hit).sum()), wrong + int((counted & ~hit).sum())
        objects += int((np.array(image["gtIgnore"]) == 0).sum())
    return 2 * hits / (hits + wrong + objects)


def score(coco, paths, detections):
    """F1 and AP."""
    run = matched(coco, paths, detections)
    with contextlib.redirect_stdout(io.StringIO()):
        run.accumulate()
    precision = run.eval["precision"]
    return f1_of(run, HALF), float(precision[precision > -1].mean())


def agreement(coco, paths, fp32, int8):
    objects = [(image, d["segmentation"]) for image, path in paths.items() for d in fp32[path] if d["score"] >= EXPORT_SCORE]
    annotations = [{"id": i + 1, "image_id": image, "category_id": 1, "segmentation": rle, "area": float(coco_mask.area(rle)),
                    "bbox": coco_mask.toBbox(rle).tolist(), "iscrowd": 0} for i, (image, rle) in enumerate(objects)]
    return f1_of(matched(coco_of(coco.dataset["images"], annotations), paths, int8), THREE_QUARTERS)


def row(model, held_out, calibrated_on, side, fp32, int8, agrees):
    print(f"| {model} | {calibrated_on} | {held_out} | {side} | {fp32[0]:.4f} | {int8[0]:.4f} | {100 * (fp32[0] - int8[0]):+.2f} "
          f"| {fp32[1]:.4f} | {int8[1]:.4f} | {100 * (fp32[1] - int8[1]):+.2f} | {agrees:.4f} |", flush=True)


def calibrate_ours(arguments, model, scenes, path, method):
    command = [arguments.pantile, "calibrate", "--model", model, "--tiles", str(CALIBRATION_TILES), "-o", path, "--quiet"]
    if method:
        command += ["--method", method]
    for scene in scenes:
        command += ["--scene", scene]
    subprocess.run(command, check=True)


def nncf(arguments, model, folder, calibration_scenes, calibrated_on):
    """(side, FP32, INT8); made when they are asked for."""
    fp32 = os.path.join(folder, "fp32.onnx")
    int8 = os.path.join(folder, calibrated_on.replace(" ", "_") + ".int8.onnx")
    if not os.path.exists(fp32):
        export(model, fp32)  # the model's own thresholds and caps, as pantile detect has them
    if not os.path.exists(int8):
        tiles = [tile for scene in calibration_scenes for tile in tiles_of(dump(arguments, model, scene))]
        quantise(fp32, int8, tiles[:CALIBRATION_TILES])
    yield "NNCF, OpenVINO", OpenVino(fp32, arguments.threads), OpenVino(int8, arguments.threads)


def ours(arguments, model, folder, calibration_scenes, calibrated_on):
    fp32 = Pantile(arguments.pantile, model, "fp32")
    for method in arguments.methods:
        path = model
        if method != OWN:
            path = os.path.join(folder, calibrated_on.replace(" ", "_") + ".ours.safetensors")
            if os.path.exists(path):
                os.remove(path)  # of another build, perhaps, or another method
            calibrate_ours(arguments, model, calibration_scenes, path, method)
        for precision in arguments.precisions:
            side = ", ".join(["Pantile"] + [method] * bool(method) + [precision] * (len(arguments.precisions) > 1))
            yield side, fp32, Pantile(arguments.pantile, path, precision)


def detectors(arguments, model, name, calibration_scenes, calibrated_on):
    folder = os.path.join(arguments.work, "accuracy", name)
    os.makedirs(folder, exist_ok=True)
    if not arguments.ours:
        yield from nncf(arguments, model, folder, calibration_scenes, calibrated_on)
    yield from ours(arguments, model, folder, calibration_scenes, calibrated_on)


def measure(arguments, model):
    name = os.path.splitext(os.path.basename(model))[0]
    places = places_of(model, arguments.data)
    calibrated_on = arguments.calibrate_on if arguments.calibrate_on in places else next(iter(places))
    held_out = [place for place in places if place != calibrated_on]
    truths = {place: truth_of([(scene, dump(arguments, model, scene)) for scene in places[place]]) for place in held_out}
    if len(held_out) > 1:
        truths["all of them"] = truth_of([(scene, dump(arguments, model, scene)) for place in held_out for scene in places[place]])
    every = {path for _, paths in truths.values() for path in paths.values()}
    for side, *pair in detectors(arguments, model, name, places[calibrated_on], calibrated_on):
        fp32, int8 = ({path: list(detector.detect(path)) for path in every} for detector in pair)
        for place, (coco, paths) in truths.items():
            row(name, place, calibrated_on, side, score(coco, paths, fp32), score(coco, paths, int8),
                agreement(coco, paths, fp32, int8))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("work", help="where tiles and models of the peers are kept")
    parser.add_argument("--pantile", required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--calibrate-on", default="zanzibar", help="a place; the fields model has its own")
    parser.add_argument("--ours", action="store_true", help="leave out NNCF")
    parser.add_argument("--methods", nargs="+", default=[None],
                        help="of pantile calibrate, one after the other; own: the calibration that is in the file")
    parser.add_argument("--precisions", nargs="+", default=["int8"], help="of our INT8 side, one after the other")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    print("| model | calibrated on | measured on | engine | F1 FP32 | F1 INT8 | points lost | AP FP32 | AP INT8 | points lost "
          "| INT8 as FP32 |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for model in arguments.models:
        measure(arguments, model)


if __name__ == "__main__":
    main()
