"""`pantile calibrate`: the same bytes from the same scene, the weights unchanged, and what it refuses."""
import json
import os
import shutil
import signal
import stat
import struct

import numpy as np
from osgeo import gdal

from harness import (BUILDINGS, Case, ZANZIBAR, main, noise, sha256, small_disk, stopped, write_scene,
                     write_uncalibrated)


def read_model(path):
    """Header, calibration, and each tensor's bytes."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header, rest = json.loads(data[8:8 + length]), data[8 + length:]
    metadata = header.pop("__metadata__")
    tensors = {name: (t["dtype"], t["shape"], rest[slice(*t["data_offsets"])]) for name, t in header.items()}
    return json.loads(metadata.get("pantile.calibration", "null")), tensors


class Calibrate(Case):
    def setUp(self):
        super().setUp()
        self.scene = self.path("piece.tif")
        gdal.Translate(self.scene, ZANZIBAR, srcWin=[700, 600, 700, 500])

    def calibrate(self, out, *more, **options):
        return self.pantile("calibrate", "--model", BUILDINGS, "--scene", self.scene, "-o", self.path(out), *more, **options)

    def test_writes_ranges_beside_unchanged_weights(self):
        said = self.calibrate("a.safetensors", "--tiles", 2, "--tile", 256, "--threads", 1).stderr
        self.assertIn("from 2 tiles", said)
        calibration, tensors = read_model(self.path("a.safetensors"))
        self.assertEqual((calibration["method"], calibration["tiles"], calibration["precision"]), ("mse", 2, "int8"))
        self.assertGreater(len(calibration["ranges"]), 60)
        for low, high in calibration["ranges"].values():
            self.assertTrue(low <= 0 <= high and low < high)
        plain, weights = read_model(write_uncalibrated(self.path("plain.safetensors")))
        self.assertIsNone(plain)
        self.assertEqual({name: t for name, t in tensors.items() if not name.startswith("calibration.")}, weights)
        mean = np.frombuffer(tensors["calibration.backbone.body.0.0.mean"][2], "<f4")
        self.assertEqual(len(mean), 32)
        self.assertTrue((mean >= 0).all() and (mean <= 6).all())  # after a ReLU6
        told = json.loads(self.pantile("info", self.path("a.safetensors"), "--json").stdout)
        self.assertEqual((told["calibration"], told["calibration_tiles"], told["precision"]), ("mse", 2, "int8"))
        self.assertEqual(told["parameters"], json.loads(self.pantile("info", BUILDINGS, "--json").stdout)["parameters"])
        # Not even an older calibration makes a difference.
        self.pantile("calibrate", "-m", self.path("plain.safetensors"), "--scene", self.scene, "-o", self.path("b.safetensors"),
                     "--tiles", 2, "--tile", 256, "--threads", 2, "--quiet")
        self.assertEqual(sha256(self.path("a.safetensors")), sha256(self.path("b.safetensors")))

    def test_in_place_by_another_method(self):
        model = self.path("own.safetensors")
        shutil.copy(BUILDINGS, model)
        arguments = ("calibrate", "-m", model, "--scene", self.scene, "--tiles", 1, "--tile", 256, "--method", "minmax", "-o", model)
        self.refused(2, ["own.safetensors", "--overwrite"], *arguments)
        log = self.pantile(*arguments, "--overwrite", "--log", "json").stderr.splitlines()
        told = json.loads(log[-1])
        self.assertEqual((told["method"], told["tiles"]), ("minmax", 1))
        self.assertEqual(read_model(model)[0]["method"], "minmax")

    def test_killed(self):
        """Between two tiles; tests/engine/calibrate has what happens in the middle of the file."""
        model = self.path("own.safetensors")
        shutil.copy(BUILDINGS, model)
        before, files = sha256(model), os.listdir(self.dir)
        for number, code in ((signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -9)):
            self.assertEqual(stopped(self, number, "calibrate", "-m", model, "--scene", self.scene, "--tile", 128, "-o", model,
                                     "--overwrite"), code)
            self.assertEqual((sha256(model), sorted(os.listdir(self.dir))), (before, sorted(files)))

    def test_full_disk(self):
        disk = small_disk(self, "20m")  # the model once, not twice
        model = os.path.join(disk, "own.safetensors")
        shutil.copy(BUILDINGS, model)
        before = sha256(model)
        self.refused(4, ["own.safetensors", "no space left"], "calibrate", "-m", model, "--scene", self.scene, "--tiles", 1,
                     "--tile", 256, "-o", model, "--overwrite", "--quiet")
        self.assertEqual((sha256(model), os.listdir(disk)), (before, ["own.safetensors"]))

    def test_a_scene_of_nothing(self):
        empty = write_scene(self.path("empty.tif"), np.zeros((3, 300, 300), np.uint8), nodata=0)
        out = self.path("out.safetensors")
        self.refused(2, ["empty.tif", "no pixel to look at"], "calibrate", "-m", BUILDINGS, "--scene", empty, "-o", out)
        plain = write_scene(self.path("plain.tif"), np.full((3, 300, 300), 128, np.uint8), gsd=0.2)
        said = self.pantile("calibrate", "-m", BUILDINGS, "--scene", plain, "-o", out).stderr
        self.assertIn("the mask head stays in FP32", said)
        self.assertNotIn("roi_heads.mask_head.0.0", read_model(out)[0]["ranges"])
        said = self.pantile("run", self.scene, "-m", out, "-o", self.path("o.geojson"), "--tile", 256, "--overlap", 64).stderr
        self.assertIn(", int8,mask=fp32, score", said)
        self.refused(2, ["roi_heads.mask_head", "--precision"], "run", self.scene, "-m", out, "-o", self.path("p.geojson"),
                     "--precision", "int8")

    def test_refusals(self):
        out, noisy = self.path("out.safetensors"), write_scene(self.path("noise.tif"), noise(200, 200))
        self.refused(1, ["--scene"], "calibrate", "-m", BUILDINGS, "-o", out)
        self.refused(1, ["-o FILE"], "calibrate", "-m", BUILDINGS, "--scene", noisy)
        self.refused(1, ["model"], "calibrate", "--scene", noisy, "-o", out)
        self.refused(1, ["noise.tif", "--scene"], "calibrate", "-m", BUILDINGS, noisy, "--scene", noisy, "-o", out)
        self.refused(1, ["--method"], "calibrate", "-m", BUILDINGS, "--scene", noisy, "-o", out, "--method", "guess")
        self.refused(1, ["--tiles 0: must be from 1 to 1000000"], "calibrate", "-m", BUILDINGS, "--scene", noisy, "-o", out, "--tiles", 0)
        self.refused(1, ["noise.tif"], "calibrate", "-m", BUILDINGS, "--scene", noisy, "-o", noisy, "--overwrite")
        self.refused(2, ["no_such.tif"], "calibrate", "-m", BUILDINGS, "--scene", self.path("no_such.tif"), "-o", out)
        self.refused(2, [out], "calibrate", "-m", out, "--scene", noisy, "-o", out)
        self.refused(2, ["no/such"], "calibrate", "-m", BUILDINGS, "--scene", noisy, "-o", self.path("no/such/folder"))
        pipe = self.path("pipe")
        os.mkfifo(pipe)
        for there, kind in (self.dir, "is a folder"), (pipe, "is a device or pipe"):
            self.refused(2, [there, kind], "calibrate", "-m", BUILDINGS, "--scene", noisy, "-o", there, "--overwrite")
        self.assertTrue(stat.S_ISFIFO(os.stat(pipe).st_mode))
        plain = write_uncalibrated(self.path("plain.safetensors"))
        for command in (("run", "-o", self.path("o.geojson")), ("detect", "-o", self.path("o.json")), ("plan",)):
            self.refused(2, [plain, "not calibrated", "pantile calibrate"], *command, noisy, "-m", plain, "--precision", "int8")
            self.refused(1, ["int4"], *command, noisy, "-m", BUILDINGS, "--precision", "int4")
            self.refused(1, ["no layer neck"], *command, noisy, "-m", BUILDINGS, "--precision", "neck=int8")
        self.assertFalse(os.path.exists(out))


if __name__ == "__main__":
    main()
