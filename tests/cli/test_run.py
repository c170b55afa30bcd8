"""The whole pipeline with the oracle: what comes out is what was put in, for every tiling and any number of threads."""
import json
import os
import random

import numpy as np
from osgeo import gdal

from harness import (Case, ZANZIBAR, box, burn, features, json_lines, main, noise, sha256, write_scene, write_truth)

WIDTH, HEIGHT = 700, 460


def seeded_shapes():
    """Boxes, Ls and rings from 3 pixels to longer than any tile, apart from each other, some on the scene's edge."""
    shapes = [[box(0, 0, 17, 9)], [box(690, 440, 700, 460)],
              [box(20, 210, 650, 224)],                                                 # spans all columns
              [[(330, 5), (350, 5), (350, 180), (600, 180), (600, 200), (330, 200)]],   # an L over several tiles
              [box(30, 240, 190, 440), box(50, 260, 170, 420)],                         # a ring around a courtyard
              [box(100, 330, 120, 350)]]                                                # a house in that courtyard
    taken = np.zeros((HEIGHT, WIDTH), bool)
    for rings in shapes:
        xs, ys = zip(*rings[0])
        taken[max(min(ys) - 2, 0):max(ys) + 2, max(min(xs) - 2, 0):max(xs) + 2] = True
    source = random.Random(5)
    for _ in range(400):
        w, h = source.randint(3, 40), source.randint(3, 40)
        x, y = source.randint(0, WIDTH - w), source.randint(0, HEIGHT - h)
        if not taken[max(y - 2, 0):y + h + 2, max(x - 2, 0):x + w + 2].any():
            taken[y:y + h, x:x + w] = True
            shapes.append([box(x, y, x + w, y + h)])
    return shapes


class Oracle(Case):
    def setUp(self):
        super().setUp()
        self.scene = write_scene(self.path("scene.tif"), noise(WIDTH, HEIGHT), options=["TILED=YES"])
        self.shapes = seeded_shapes()
        self.truth = write_truth(self.path("truth.gpkg"), self.shapes)

    def run_oracle(self, out, *more, **options):
        return self.pantile("run", self.scene, "-o", out, "--engine", "oracle:" + self.truth, "--gsd", "native",
                            "--simplify", 0, "--overwrite", *more, **options)

    def assert_same_pixels(self, out):
        key = lambda mask: np.packbits(mask).tobytes()
        self.assertEqual(sorted(map(key, burn(out, self.scene))), sorted(map(key, burn(self.truth, self.scene))))

    def test_every_tiling_gives_the_truth(self):
        self.assertGreater(len(self.shapes), 60)
        for tile, overlap in ((128, 64), (192, 64), (192, 128), (256, 64), (1024, 256)):
            with self.subTest(tile=tile, overlap=overlap):
                sums = set()
                for threads in (1, 3):
                    out = self.path("out.gpkg" if threads == 1 else "out.geojson")
                    self.run_oracle(out, "--tile", tile, "--overlap", overlap, "--threads", threads)
                    self.assert_same_pixels(out)
                for threads in (1, 2, 5):
                    out = self.path("same.geojson")
                    self.run_oracle(out, "--tile", tile, "--overlap", overlap, "--threads", threads)
                    sums.add(sha256(out))
                self.assertEqual(len(sums), 1)

    def test_properties(self):
        out = self.path("out.geojson")
        self.run_oracle(out, "--tile", 128, "--overlap", 64)
        found = features(out)
        self.assertEqual([p["id"] for p, _ in found], list(range(1, len(self.shapes) + 1)))
        self.assertEqual(sum(p["truncated"] for p, _ in found), sum(
            min(min(q) for q in rings[0]) == 0 or max(x for x, _ in rings[0]) == WIDTH or
            max(y for _, y in rings[0]) == HEIGHT for rings in self.shapes))
        longest = max(found, key=lambda f: f[0]["perimeter_m"])[0]
        self.assertTrue(longest["merged"] and longest["tiles"] >= 4)
        for properties, _ in found:
            self.assertEqual(properties["class"], "object")
            self.assertEqual(properties["score"], 1)

    def test_every_format_holds_the_same(self):
        for ending in ("geojson", "json", "geojsonl", "gpkg", "fgb"):
            out = self.path("out." + ending)
            self.run_oracle(out)
            self.assertEqual(len(features(out)), len(self.shapes), ending)
        names = ["out.fgb", "out.geojson", "out.geojsonl", "out.gpkg", "out.json"]
        self.assertEqual(sorted(f for f in os.listdir(self.dir) if f.startswith("out")),
                         sorted(names + [name + ".pantile" for name in names]))
        self.assertEqual(sorted(os.listdir(self.path("out.fgb.pantile"))), ["ledger.db", "lock"])  # the proof, no keys

    def test_classes_of_a_model(self):
        out = self.path("out.geojson")
        self.run_oracle(out, "--model", "buildings_mnv2_fpn")
        self.assertEqual({p["class"] for p, _ in features(out)}, {"building"})
        done = self.pantile("eval", out, self.truth, "--json")
        self.assertEqual(json.loads(done.stdout)["all"]["f1"], 1)
        table = self.pantile("eval", out, self.truth).stdout.splitlines()
        self.assertIn("precision", table[0])
        self.assertTrue(table[1].startswith("all"))

    def test_invalid_pixels_are_cut_out(self):
        pixels = noise(WIDTH, HEIGHT)
        pixels[:, :, 300:340] = 0
        self.scene = write_scene(self.path("holes.tif"), pixels, nodata=0)
        out = self.path("out.gpkg")
        self.run_oracle(out, "--tile", 128, "--overlap", 64)
        self.assertFalse(np.any([m[:, 300:340].any() for m in burn(out, self.scene)]))
        total = sum(m.sum() for m in burn(self.truth, self.scene))
        lost = sum(m[:, 300:340].sum() for m in burn(self.truth, self.scene))
        self.assertEqual(sum(m.sum() for m in burn(out, self.scene)), total - lost)

    def test_area_of_interest(self):
        area = write_truth(self.path("aoi.gpkg"), [[box(0, 0, 250, 250)]])
        out = self.path("out.gpkg")
        report = self.path("report.json")
        self.run_oracle(out, "--tile", 128, "--overlap", 64, "--aoi", area, "--report", report)
        for mask in burn(out, self.scene):
            self.assertFalse(mask[251:].any() or mask[:, 251:].any())
        with open(report, encoding="utf-8") as file:
            counts = json.load(file)["counts"]
        self.assertGreater(counts["outside"], 0)
        self.assertEqual(counts["tiles"], counts["done"] + counts["outside"])

    def test_report(self):
        out, report = self.path("out.geojson"), self.path("report.json")
        self.run_oracle(out, "--report", report, "--tile", 128, "--overlap", 64, "--min-area", 20)
        with open(report, encoding="utf-8") as file:
            told = json.load(file)
        self.assertEqual(told["counts"]["objects"], len(features(out)))
        self.assertEqual(told["counts"]["objects"] + told["counts"]["too_small"], len(self.shapes))
        self.assertEqual(told["scenes"][0]["crs"], "EPSG:32633")
        self.assertEqual(told["scenes"][0]["tile"], 128)
        self.assertEqual(told["scenes"][0]["failed_tiles"], [])

    def test_overlay(self):
        self.run_oracle(self.path("out.geojson"), "--overlay", self.path("look.png"))
        picture = gdal.Open(self.path("look.png"))
        self.assertEqual((picture.RasterXSize, picture.RasterYSize), (WIDTH, HEIGHT))
        self.refused(2, ["look.png", "--overwrite"], "run", self.scene, "-o", self.path("new.geojson"), "--engine",
                     "oracle:" + self.truth, "--overlay", self.path("look.png"))

    def test_quiet_and_json(self):
        out = self.path("out.geojson")
        self.assertEqual(self.run_oracle(out, "--quiet").stderr, "")
        lines = json_lines(self.run_oracle(out, "--log", "json").stderr)
        self.assertEqual([line["msg"] for line in lines if line["msg"] in ("scene", "done")], ["scene", "done"])
        self.assertEqual(lines[-1]["objects"], len(self.shapes))
        done = self.pantile("run", self.scene, "-o", out, "--engine", "oracle:nowhere.gpkg", "--overwrite", "--log",
                            "json", code=2)
        self.assertEqual(json_lines(done.stderr)[-1]["level"], "error")

    def test_dump_and_replay_of_nothing(self):
        tiles = self.path("tiles")
        self.run_oracle(self.path("out.geojson"), "--tile", 256, "--overlap", 64, "--dump-tiles", tiles)
        with open(os.path.join(tiles, "tiles.json"), encoding="utf-8") as file:
            windows = json.load(file)["windows"]
        pixels = gdal.Open(self.scene).ReadAsArray()
        for w in windows:
            with open(os.path.join(tiles, f"{w['tile']}.ppm"), "rb") as file:
                data = file.read()
            count = w["width"] * w["height"] * 3
            seen = np.frombuffer(data[-count:], np.uint8).reshape(w["height"], w["width"], 3)
            there = pixels[:, w["y"]:w["y"] + w["height"], w["x"]:w["x"] + w["width"]]
            self.assertTrue((seen.transpose(2, 0, 1) == there).all())
            with open(os.path.join(tiles, f"{w['tile']}.json"), "w", encoding="utf-8") as file:
                json.dump({"tile": w["tile"], "detections": [
                    {"box": [10, 10, 30, 40], "score": 0.9, "class_id": 1, "mask_size": 4, "mask": [1] * 16}]}, file)
        out = self.path("replayed.geojson")
        self.pantile("run", self.scene, "-o", out, "--engine", "replay:" + tiles, "--gsd", "native", "--tile", 256,
                     "--overlap", 64)
        self.assertGreater(len(features(out)), 0)
        self.refused(2, ["tiles", "--overwrite"], "run", self.scene, "-o", self.path("b.geojson"), "--gsd", "native",
                     "--engine", "oracle:" + self.truth, "--dump-tiles", tiles)

    def test_plan(self):
        plan = json.loads(self.pantile("plan", self.scene, "--engine", "oracle:" + self.truth, "--gsd", "native",
                                       "--tile", 128, "--overlap", 64, "--json").stdout)
        self.assertEqual(plan["tiles"], plan["to_read"] + plan["empty"] + plan["outside"])
        self.assertEqual(plan["calibration_tiles"], 4)
        self.assertGreater(plan["memory_bytes"], 1e6)
        text = self.pantile("plan", self.scene, "--engine", "oracle:" + self.truth, "--gsd", "native").stdout
        self.assertIn("to read", text)


class WithoutCrs(Case):
    def test_outputs_can_be_fed_back(self):
        """As the truth, as the area of interest and to eval: all take y as the writer has it, and "crs": null for none."""
        scene = write_scene(self.path("plain.tif"), noise(300, 200), epsg=None)
        flip = lambda ring: [(x, -y) for x, y in ring]
        truth = write_truth(self.path("truth.gpkg"), [[flip(box(20, 30, 60, 70))], [flip(box(200, 150, 280, 190))]],
                            epsg=None)
        first, second, part = self.path("first.geojson"), self.path("second.geojson"), self.path("part.geojson")
        common = ("--simplify", 0, "--engine")
        self.pantile("run", scene, "-o", first, *common, "oracle:" + truth)
        for path in (first, truth):
            score = json.loads(self.pantile("eval", path, truth, "--json", "--within", scene).stdout)["all"]
            self.assertEqual((score["hits"], score["f1"]), (2, 1))
        done = self.pantile("run", scene, "-o", second, *common, "oracle:" + first)
        self.assertEqual(sha256(first), sha256(second))
        self.assertNotIn("are taken to be", done.stderr)
        self.pantile("run", scene, "-o", part, *common, "oracle:" + first, "--aoi", first)
        self.assertEqual(len(features(part)), 2)
        self.pantile("run", scene, "-o", part, *common, "oracle:" + first, "--bbox", "0,0,100,100", "--overwrite")
        self.assertEqual(len(features(part)), 1)  # columns and rows, as the help says


class SeveralScenes(Case):
    def test_neighbours_are_one_and_others_follow(self):
        """A box over the border of two files is whole; a scene elsewhere adds its own objects."""
        pixels = noise(400, 200)
        whole = write_scene(self.path("whole.tif"), pixels)
        for name, x in (("left", 0), ("right", 200)):
            gdal.Translate(self.path(name + ".tif"), whole, srcWin=[x, 0, 200, 200])
        far = write_scene(self.path("far.tif"), noise(100, 100), epsg=32634)
        truth = write_truth(self.path("truth.gpkg"), [[box(150, 50, 260, 90)], [box(20, 120, 60, 150)]])
        out = self.path("out.geojson")
        self.pantile("run", self.path("left.tif"), far, self.path("right.tif"), "-o", out, "--engine",
                     "oracle:" + truth, "--gsd", "native", "--simplify", 0, "--tile", 128, "--overlap", 64)
        self.assertEqual(len(features(out)), 2)


class Whole(Case):
    def test_example_scene(self):
        truth = ZANZIBAR.replace(".tif", ".truth.geojson")
        out = self.path("out.gpkg")
        self.pantile("run", ZANZIBAR, "-o", out, "--engine", "oracle:" + truth, "--gsd", "0.2", "--simplify", 0,
                     "--model", "buildings_mnv2_fpn")
        score = json.loads(self.pantile("eval", out, truth, "--within", ZANZIBAR, "--json").stdout)["all"]
        self.assertEqual(score["recall"], 1)  # what reaches far beyond the edge counts as predicted alone
        self.assertGreater(score["mean_iou"], 0.95)


if __name__ == "__main__":
    main()
