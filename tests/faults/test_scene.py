"""Scenes that cannot be read, in whole or in part: said, never made up."""
import json
import os
import random
import shutil
import subprocess

import scenes
from harness import PROGRAM, Case, Counter, main, read_file, shim


# How GDAL writes the other formats of bench/faults.sh from the plain one.
FORMATS = {"plain": None, "deflate": None, "lzw": ["-co", "TILED=YES", "-co", "COMPRESS=LZW"],
           "zstd": ["-co", "TILED=YES", "-co", "COMPRESS=ZSTD"], "striped": ["-co", "COMPRESS=DEFLATE"],
           "jpeg": ["-co", "TILED=YES", "-co", "COMPRESS=JPEG", "-co", "PHOTOMETRIC=YCBCR"],
           "webp": ["-co", "TILED=YES", "-co", "COMPRESS=WEBP"], "cog": ["-of", "COG"]}


def write_as(path, name, size):
    scenes.Scene(path, *size, compress=name == "deflate")
    if FORMATS[name]:
        plain = path + ".plain"
        os.rename(path, plain)
        subprocess.run(["gdal_translate", "-q", *FORMATS[name], plain, path], check=True)
        os.remove(plain)


class Unreadable(Case):
    """One block of the file cannot be read, as on a bad disk."""

    def setUp(self):
        super().setUp()
        # Its last bytes, which are none of those that identify the scene: else the run would be refused before the first tile.
        offset, size = self.scene.block_of(700, 500)
        offset, size = offset + size - 1024, 1024
        self.counter = Counter(self.path("count"))
        self.bad = {"file": self.scene.path, "range": f"{offset}-{offset + size}", "count": self.counter.path}

    def tiles_on_block(self, x0=640, y0=384):
        columns, rows = self.scene.tiles()
        return [row * columns + column for row in range(rows) for column in range(columns)
                if column * 64 < x0 + 128 and column * 64 + 128 > x0 and row * 64 < y0 + 128 and row * 64 + 128 > y0]

    def test_quarantine(self):
        coverage = self.path("coverage.geojson")
        run = self.start_run("--workers", 2, "--coverage", coverage, "--on-read-error", "quarantine",
                             env=shim("read_error", **self.bad))
        said = run.wait(3)
        tiles = self.tiles_on_block()
        self.assertEqual(len(tiles), 9)
        self.assert_whole(quarantined=len(tiles))
        told = {f["properties"]["tile"]: f["properties"] for f in json.loads(read_file(coverage))["features"]}
        self.assertEqual(sorted(t for t, p in told.items() if p["state"] == "quarantined"), tiles)
        for tile in tiles:
            self.assertRegex(said, rf"tile={tile}\b")
            self.assertEqual(told[tile]["attempts"], 3)
            self.assertIn(self.scene.path, told[tile]["reason"])
        self.assertGreaterEqual(self.counter.value(), 3 * len(tiles))

    def test_fail(self):
        run = self.start_run("--on-read-error", "fail", env=shim("read_error", **self.bad))
        self.assertIn(self.scene.path, run.wait(2))
        self.assertFalse(os.path.exists(self.out))
        self.start_run("--on-read-error", "fail", "--resume").wait()  # the disk has been repaired
        self.assert_whole()

    def test_good_at_the_third_try(self):
        run = self.start_run("--workers", 2, "--on-read-error", "fail", env=shim("read_error", times=2, **self.bad))
        run.wait()
        self.assertGreater(self.counter.value(), 2)
        self.assert_whole()


class Cut(Case):
    """Truncated files: the run fails, or the tiles do that reach past the cut; never a pixel that is not the scene's. The
    dump of all windows that were inferred is the witness."""
    scene_size = (640, 512)

    def dump(self, scene, name):
        """Exit code, windows that were read, tiles that were called empty."""
        folder = self.path(name)
        run = self.start(PROGRAM, *self.run_words(folder + ".geojson", "--dump-tiles", folder, "--coverage",
                                                  folder + ".cov.geojson", scene=scene))
        run.wait(None)
        names = [n for n in os.listdir(folder) if n.endswith(".ppm")] if os.path.isdir(folder) else []
        windows = {n: read_file(os.path.join(folder, n), "rb") for n in names}
        empty = 0
        if run.popen.returncode in (0, 3):
            features = json.loads(read_file(folder + ".cov.geojson"))["features"]
            empty = sum(f["properties"]["state"] in ("empty", "outside") for f in features)
        else:
            self.assertEqual(run.popen.returncode, 2, run.tell())
            self.assertIn(scene, run.said())
            self.assertFalse(os.path.exists(folder + ".geojson"))
        return run.popen.returncode, windows, empty

    def cut_often(self, count, formats=("plain", "deflate")):
        """Exit codes of runs on truncated copies: {code: how many}."""
        source, codes = random.Random(4), {}
        for name in formats:
            whole = self.path(f"{name}.tif")
            write_as(whole, name, self.scene_size)
            code, truth, empty = self.dump(whole, f"{name}.dump")
            self.assertEqual((code, len(truth), empty), (0, self.tiles, 0))
            data = read_file(whole, "rb")
            sizes = [len(data) - 1, len(data) // 2, 200]
            sizes += [source.randrange(len(data)) for _ in range(count // len(formats) - len(sizes))]
            for i, size in enumerate(sizes):
                with self.subTest(format=name, size=size, of=len(data)):
                    code = self.cut_once(f"{name}{i}", data[:size], truth)
                    codes[code] = codes.get(code, 0) + 1
        return codes

    def cut_once(self, name, data, truth):
        cut = self.path(name + ".cut.tif")
        with open(cut, "wb") as file:
            file.write(data)
        code, windows, empty = self.dump(cut, name)
        self.assertEqual(empty, 0)
        if code == 0:
            self.assertEqual(len(windows), self.tiles)
        for window, pixels in windows.items():
            self.assertEqual(pixels, truth[window], window)
        shutil.rmtree(self.path(name), ignore_errors=True)
        os.remove(cut)
        return code

    def test_cuts(self):
        codes = self.cut_often(12)
        self.assertNotIn(0, codes)
        self.assertIn(2, codes)


if __name__ == "__main__":
    main()
