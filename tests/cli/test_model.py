"""Runs with the bundled model: buildings on a small piece of the example scene, and `pantile detect` on it as an image."""
import json
import os
import subprocess
import unittest

import numpy as np
from osgeo import gdal

from harness import BUILDINGS, Case, SOURCE, ZANZIBAR, features, main, write_uncalibrated

COCO_PYTHON = os.environ.get("PANTILE_COCO_PYTHON")


def has_avx2():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return "avx2" in file.read().split()


def decode(segmentation):
    """COCO's compressed RLE, written from its description."""
    height, width = segmentation["size"]
    counts, at, text = [], 0, segmentation["counts"]
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            c = ord(text[at]) - 48
            value |= (c & 31) << shift
            shift += 5
            at += 1
            more = bool(c & 32)
        if c & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
    flat = np.concatenate([np.full(n, i % 2, bool) for i, n in enumerate(counts)])
    return flat.reshape(width, height).T


class Model(Case):
    def setUp(self):
        super().setUp()
        self.scene = self.path("piece.tif")
        gdal.Translate(self.scene, ZANZIBAR, srcWin=[700, 600, 1300, 1000])

    def run_model(self, out, *more):
        return self.pantile("run", self.scene, "-o", self.path(out), "--overwrite", *more)

    @unittest.skipUnless(has_avx2(), "the CPU has no kernels beyond the old ones")
    def test_restarts_itself_for_fast_blas_kernels_unless_the_user_chose(self):
        environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "PANTILE_RESTARTED")}
        environment["LD_PRELOAD"] = os.environ["PANTILE_OLD_BLAS"]
        environment["ASAN_OPTIONS"] = environment.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"
        arguments = ("run", self.scene, "-m", BUILDINGS, "-o", self.path("out.geojson"), "--overwrite",
                     "--backend", "portable", "--precision", "fp32")
        said = self.pantile(*arguments, env=environment).stderr
        self.assertRegex(said, r"OpenBLAS [0-9.]+ (SkylakeX|Haswell)")
        self.assertNotIn("slow kernels", said)
        said = self.pantile(*arguments, env={**environment, "OPENBLAS_CORETYPE": "Prescott"}).stderr
        self.assertRegex(said, r"OpenBLAS [0-9.]+ Prescott")
        said = self.pantile(*arguments, env={**environment, "PANTILE_RESTARTED": "1"}).stderr
        self.assertIn("slow kernels", said)

    def test_finds_buildings_alike_in_every_tiling_format_and_thread(self):
        config = os.path.join(SOURCE, "configs", "buildings.yaml")
        self.run_model("a.geojson", "--config", config, "--threads", 1)
        self.run_model("b.geojson", "--config", "buildings", "--threads", 2, "--log", "json")
        with open(self.path("a.geojson"), "rb") as a, open(self.path("b.geojson"), "rb") as b:
            self.assertEqual(a.read(), b.read())
        found = features(self.path("a.geojson"))
        self.assertGreater(len(found), 3)
        for properties, _ in found:
            self.assertEqual(properties["class"], "building")
            self.assertGreaterEqual(properties["score"], 0.5)
            self.assertGreater(properties["area_m2"], 4)
        for ending in ("gpkg", "fgb"):
            self.run_model("c." + ending, "-m", BUILDINGS, "--min-area", 4)
            self.assertEqual(len(features(self.path("c." + ending))), len(found))
        truth = ZANZIBAR.replace(".tif", ".truth.geojson")
        score = json.loads(self.pantile("eval", self.path("a.geojson"), truth, "--within", self.scene,
                                        "--json").stdout)["all"]
        self.assertGreater(score["f1"], 0.8)

    def test_detect(self):
        image = self.path("image.png")
        gdal.Translate(image, ZANZIBAR, format="PNG", width=640, height=0)
        size = gdal.Open(image)
        out = self.path("found.json")
        self.pantile("detect", image, image, "-m", "buildings_mnv2_fpn", "-o", out)
        with open(out, encoding="utf-8") as file:
            found = json.load(file)
        self.assertEqual({f["image_id"] for f in found}, {1, 2})
        self.assertEqual([f for f in found if f["image_id"] == 1],
                         [{**f, "image_id": 1} for f in found if f["image_id"] == 2])
        for f in found:
            mask = decode(f["segmentation"])
            self.assertEqual(mask.shape, (size.RasterYSize, size.RasterXSize))
            x, y, w, h = f["bbox"]
            rows, columns = np.nonzero(mask)
            if len(rows):
                self.assertTrue(rows.min() >= y - 2 and rows.max() <= y + h + 2)
                self.assertTrue(columns.min() >= x - 2 and columns.max() <= x + w + 2)
            self.assertEqual(f["category_id"], 1)
            self.assertEqual(f["file_name"], image)
        self.refused(2, ["found.json", "--overwrite"], "detect", image, "-m", BUILDINGS, "-o", out)
        if COCO_PYTHON:
            self.check_with_pycocotools(out)

    def check_with_pycocotools(self, path):
        """The official reader decodes the same pixels and would write the same text."""
        script = """if True:
            import json, sys
            from pycocotools import mask
            found = json.load(open(sys.argv[1]))
            for f in found:
                pixels = mask.decode(f["segmentation"])
                assert mask.encode(pixels)["counts"].decode() == f["segmentation"]["counts"]
                f["sum"] = [int(pixels.sum()), int((pixels * (1 + __import__("numpy").arange(
                    pixels.size).reshape(pixels.shape) % 1009)).sum())]
            print(json.dumps([f["sum"] for f in found]))"""
        done = subprocess.run([COCO_PYTHON, "-c", script, path], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(path, encoding="utf-8") as file:
            ours = [decode(f["segmentation"]) for f in json.load(file)]
        weights = 1 + np.arange(ours[0].size).reshape(ours[0].shape) % 1009
        self.assertEqual(json.loads(done.stdout), [[int(m.sum()), int((m * weights).sum())] for m in ours])

    def test_info(self):
        told = json.loads(self.pantile("info", BUILDINGS, "--json").stdout)
        self.assertEqual((told["kind"], told["classes"], told["stride"]), ("model", ["background", "building"], 64))
        self.assertEqual(json.loads(self.pantile("info", "buildings_mnv2_fpn", "--json").stdout)["sha256"], told["sha256"])
        self.assertIn("building", self.pantile("info", BUILDINGS).stdout)
        told = json.loads(self.pantile("info", self.scene, "--json").stdout)
        self.assertEqual((told["kind"], told["crs"], told["size"]), ("scene", "EPSG:3857", [1300, 1000]))
        self.assertIn("EPSG:3857", self.pantile("info", self.scene).stdout)

    def test_a_name_that_is_no_text(self):
        """JSON has no place for it: null, and all else as always."""
        with open(BUILDINGS, "rb") as file:
            data = file.read()
        model = os.fsdecode(os.fsencode(self.path()) + b"/m\xff.safetensors")
        with open(model, "wb") as file:  # its own name is the last that is left
            file.write(data.replace(b'\\"name\\"', b'\\"nome\\"'))
        told = json.loads(self.pantile("info", model, "--json").stdout)
        self.assertEqual((told["path"], told["name"], told["architecture"]), (None, None, "mobilenet_v2_fpn"))
        told = json.loads(self.pantile("bench", "-m", model, "--size", 64, "--rounds", 1, "--json").stdout)
        self.assertEqual((told["model"], told["architecture"]), (None, "mobilenet_v2_fpn"))

    def test_info_graph(self):
        plain = write_uncalibrated(self.path("plain.safetensors"))
        told = json.loads(self.pantile("info", plain, "--graph", "--json").stdout)
        self.assertEqual((told["operators"], told["layer_count"], told["size"]), (159, 84, [1024, 1024]))
        self.assertEqual(len(told["layers"]), 84)
        self.assertEqual(told["components"]["all"]["operators"], 158)  # the flattening is dropped
        self.assertAlmostEqual(sum(layer["flops"] for layer in told["layers"]), told["components"]["all"]["flops"], -3)
        # 3 x 3 x 3 products for each of 32 channels of 512 x 512 pixels
        self.assertEqual(told["layers"][0]["flops"], 2 * 27 * 32 * 512 * 512)
        text = self.pantile("info", "buildings_mnv2_fpn", "--graph", "--size", "200", "--precision", "fp32").stdout
        self.assertIn("image 224 x 224, precision fp32: operators 159 -> layers 84 (1 dropped)", text)
        self.assertRegex(text, r"rpn\.head +rpn +conv 1x1 +1 x 56 x 56 x 15 ")
        text = self.pantile("info", plain, "--graph", "--without-passes", "add,upsample").stdout
        self.assertRegex(text, r"\n\S+/upsample +fpn +upsample ")
        self.refused(1, ["--graph"], "info", BUILDINGS, "--precision", "int8")
        self.refused(1, ["abacus", "activation"], "info", BUILDINGS, "--graph", "--without-passes", "abacus")
        self.refused(2, ["calibrate", plain], "info", plain, "--graph", "--precision", "int8")
        self.refused(1, ["no model"], "info", self.scene, "--graph")

    def test_plan(self):
        told = json.loads(self.pantile("plan", self.scene, "-m", BUILDINGS, "--json").stdout)
        self.assertEqual((told["tiles"], told["to_read"], told["calibration_tiles"]), (1, 1, 1))
        self.assertGreater(told["seconds"], 0)
        self.assertGreater(told["output_bytes"], 0)


if __name__ == "__main__":
    main()
