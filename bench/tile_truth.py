"""Reference polygons as masks of the tiles that `pantile run --dump-tiles` wrote. Needs gdalinfo and ogr2ogr."""
import json
import os
import subprocess

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask


def polygons(scene, width, height):
    """The scene's reference in scene pixels: a list of polygons, each a list of rings, each an array of (x, y)."""
    told = json.loads(subprocess.run(["gdalinfo", "-json", scene], check=True, stdout=subprocess.PIPE).stdout)
    x0, dx, _, y0, _, dy = told["geoTransform"]
    scale = np.array([width / told["size"][0] / dx, height / told["size"][1] / dy])
    truth = subprocess.run(["ogr2ogr", "-f", "GeoJSON", "/vsistdout/", os.path.splitext(scene)[0] + ".truth.geojson", "-t_srs",
                            told["coordinateSystem"]["wkt"]], check=True, stdout=subprocess.PIPE).stdout
    for feature in json.loads(truth)["features"]:
        geometry = feature["geometry"]
        for part in [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]:
            yield [(np.array(ring)[:, :2] - (x0, y0)) * scale for ring in part]


def draw(rings, x, y, width, height):
    """The polygon's pixels in a window, as an array of 0 and 1."""
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    for index, ring in enumerate(rings):
        pen.polygon([(px - x - 0.5, py - y - 0.5) for px, py in ring], fill=0 if index else 1)
    return np.asarray(image)


def windows(scene, folder):
    """For each dumped tile its window and its objects: (run-length mask, whether less than half of the object is inside)."""
    with open(os.path.join(folder, "tiles.json"), encoding="utf-8") as file:
        dump = json.load(file)
    whole = []
    for rings in polygons(scene, dump["width"], dump["height"]):
        low, high = np.floor(rings[0].min(axis=0)).astype(int) - 1, np.ceil(rings[0].max(axis=0)).astype(int) + 1
        whole.append((rings, low, high, int(draw(rings, *low, *(high - low)).sum())))
    for window in dump["windows"]:
        if not os.path.exists(os.path.join(folder, f"{window['tile']}.ppm")):
            continue
        x, y, width, height = (window[key] for key in ("x", "y", "width", "height"))
        objects = []
        for rings, low, high, area in whole:
            if high[0] <= x or high[1] <= y or low[0] >= x + width or low[1] >= y + height:
                continue
            pixels = draw(rings, x, y, width, height)
            if pixels.any():
                objects.append((coco_mask.encode(np.asfortranarray(pixels)), int(pixels.sum()) * 2 < area))
        yield window, objects
