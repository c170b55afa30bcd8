#!/usr/bin/python3
"""What simplifying and squaring outlines costs: points an object, and AP against the reference, as a Markdown table.

    bench/outlines.py MODEL SCENE...      each SCENE.tif with SCENE.truth.geojson beside it
"""
import json
import os
import subprocess
import sys
import tempfile

PANTILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "release", "cli", "pantile")


def points(geometry):
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return sum(len(ring) - 1 for polygon in polygons for ring in polygon)


def measure(model, scene, out, *options):
    subprocess.run([PANTILE, "run", scene, "--model", model, "-o", out, "--overwrite", "--quiet", *options], check=True)
    truth = os.path.splitext(scene)[0] + ".truth.geojson"
    told = subprocess.run([PANTILE, "eval", out, truth, "--within", scene, "--json"], check=True, stdout=subprocess.PIPE)
    with open(out, encoding="utf-8") as file:
        features = json.load(file)["features"]
    mean = sum(points(f["geometry"]) for f in features) / max(len(features), 1)
    return f"{mean:.1f}, {json.loads(told.stdout)['all']['ap']:.3f}"


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    print("| scene | `--simplify 0`: points an object, AP | default | `--square` |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.geojson")
        for scene in sys.argv[2:]:
            cells = [measure(sys.argv[1], scene, out, *options) for options in (["--simplify", "0"], [], ["--square"])]
            print(f"| {os.path.splitext(os.path.basename(scene))[0]} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
