"""`pantile tune`: its two tables, the choice in the model file, and what it refuses."""
import json
import os
import shutil
import signal
import tempfile

import numpy as np
from osgeo import gdal

from harness import BUILDINGS, Case, ZANZIBAR, main, sha256, stopped, write_scene, write_truth, write_uncalibrated


class Tune(Case):
    def setUp(self):
        super().setUp()
        self.scene = self.path("piece.tif")
        gdal.Translate(self.scene, ZANZIBAR, srcWin=[700, 600, 700, 500])
        self.model = self.path("model.safetensors")
        shutil.copy(BUILDINGS, self.model)

    def tune(self, *more):
        return self.pantile("tune", "-m", self.model, "--scene", self.scene, *more)

    def test_grid(self):
        gdal.Translate(self.scene, ZANZIBAR, srcWin=[700, 600, 350, 250])  # small: 32 settings
        truth = ZANZIBAR.replace(".tif", ".truth.geojson")
        out, before = self.path("tuned.safetensors"), sha256(self.model)
        told = json.loads(self.tune("--truth", truth, "--tiles", 1, "--json", "-o", out).stdout)
        self.assertEqual((told["labels"], told["tiles"], len(told["rows"])), ("truth", 1, 32))
        rows = {row["setting"]: row for row in told["rows"]}
        self.assertEqual(len(rows), 32)
        for row in told["rows"]:
            self.assertTrue(0 < row["f1"] <= 1 and 0 < row["ap"] <= 1 and row["ms_per_tile"] > 0)
            beaten = any(other["f1"] >= row["f1"] and other["ms_per_tile"] < row["ms_per_tile"] for other in told["rows"])
            self.assertEqual(row["pareto"], not beaten)
        self.assertEqual(sha256(self.model), before)
        self.assertLess(rows["int8"]["memory_bytes"], rows["fp32"]["memory_bytes"] / 2)
        chosen, = [row for row in told["rows"] if row["chosen"]]
        self.assertTrue(chosen["pareto"] and rows["fp32"]["f1"] - chosen["f1"] <= 0.003)
        self.assertEqual(json.loads(self.pantile("info", out, "--json").stdout)["precision"], chosen["setting"])
        # What run computes in when nobody says: the choice.
        said = self.pantile("run", self.scene, "-m", out, "-o", self.path("o.geojson")).stderr
        self.assertIn(f", {chosen['setting']}, score", said)

    def test_killed(self):
        """Between two settings; tests/engine/calibrate has what happens in the middle of the file."""
        before, files = sha256(self.model), os.listdir(self.dir)
        for number, code in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
            self.assertEqual(stopped(self, number, "tune", "-m", self.model, "--scene", self.scene, "--tiles", 1, "--tile", 128,
                                     "-o", self.model, "--overwrite"), code)
            self.assertEqual((sha256(self.model), sorted(os.listdir(self.dir))), (before, sorted(files)))

    def test_calibration_sizes(self):
        write_uncalibrated(self.model)
        table = self.tune("--calibration-sizes", "1", "--tiles", 1, "--quiet").stdout
        self.assertIn("against FP32", table)
        self.assertEqual(table.splitlines()[1].split()[:2], ["fp32", "1.0000"])
        before = os.listdir(tempfile.gettempdir())
        told = json.loads(self.tune("--calibration-sizes", "0,1", "--tiles", 1, "--json").stdout)
        self.assertEqual([row["setting"] for row in told["rows"]], ["fp32", "0", "1"])
        self.assertEqual(told["rows"][0]["f1"], 1)
        self.assertGreater(told["rows"][2]["f1"], 0.5)
        self.assertEqual([name for name in os.listdir(tempfile.gettempdir()) if "tune" in name],
                         [name for name in before if "tune" in name])

    def test_refusals(self):
        plain = write_uncalibrated(self.path("plain.safetensors"))
        self.refused(2, ["not calibrated", "pantile calibrate"], "tune", "-m", plain, "--scene", self.scene)
        self.refused(1, ["--scene"], "tune", "-m", BUILDINGS)
        self.refused(1, ["piece.tif", "--scene"], "tune", "-m", BUILDINGS, self.scene)
        for sizes in ("", "a", "1,", "-1", "1;2", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17"):
            self.refused(1, ["--calibration-sizes"], "tune", "-m", BUILDINGS, "--scene", self.scene, "--calibration-sizes", sizes)
        self.refused(1, ["--calibration-sizes"], "tune", "-m", BUILDINGS, "--scene", self.scene, "--calibration-sizes", "1", "-o",
                     self.model)
        for option, value in ("--method", "kl"), ("--calibrate-on", self.scene):
            self.refused(1, [option, "--calibration-sizes"], "tune", "-m", BUILDINGS, "--scene", self.scene, option, value)
        aoi = write_truth(self.path("aoi.geojson"), [])
        self.refused(1, [aoi], "tune", "-m", BUILDINGS, "--scene", self.scene, "--aoi", aoi, "-o", aoi, "--overwrite")
        self.refused(2, ["no_such.geojson"], "tune", "-m", self.model, "--scene", self.scene, "--truth", self.path("no_such.geojson"))
        self.refused(2, ["model.safetensors", "--overwrite"], "tune", "-m", self.model, "--scene", self.scene, "-o", self.model)

    def test_nothing_to_measure_by(self):
        plain = write_scene(self.path("plain.tif"), np.full((3, 300, 300), 128, np.uint8), gsd=0.2)
        out, nothing = self.path("out.safetensors"), write_truth(self.path("nothing.geojson"), [])
        self.refused(2, ["plain.tif", "--truth"], "tune", "-m", BUILDINGS, "--scene", plain, "-o", out)
        self.refused(2, ["nothing.geojson", "plain.tif"], "tune", "-m", BUILDINGS, "--scene", plain, "--truth", nothing, "-o", out)


if __name__ == "__main__":
    main()
