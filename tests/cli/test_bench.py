"""`pantile bench`: what its figures say of each other, on made and given images. No time is held to any limit."""
import json

from osgeo import gdal

from harness import BUILDINGS, Case, ZANZIBAR, main


class Bench(Case):
    def bench(self, *more):
        return json.loads(self.pantile("bench", "--model", BUILDINGS, "--json", "--rounds", 1, *more).stdout)

    def test_made_image(self):
        told = self.bench("--size", 192, "--threads", 2, "--score", 0, "--detections", 7, "--layers", "--rounds", 2)
        times = told["ms_per_tile"]
        self.assertLessEqual(times["min"], times["median"])
        self.assertLessEqual(times["median"], times["max"])
        self.assertEqual((told["width"], told["height"], told["tiles"], told["threads"]), (192, 192, 2, 2))
        self.assertEqual(told["detections"], 7)
        self.assertAlmostEqual(told["gflops"], 1e3 * told["gflop_per_tile"] / times["median"], delta=1e-3 * told["gflops"])
        self.assertAlmostEqual(sum(layer["gflop"] for layer in told["layers"]), told["gflop_per_tile"],
                               delta=1e-4 * told["gflop_per_tile"])
        self.assertEqual({layer["component"] for layer in told["layers"]}, set(told["components"]))
        self.assertGreater(told["peak_rss_mib"], told["weights_mib"])
        self.assertGreater(told["peak_vnni_gops"], 0)

    def test_given_images(self):
        tile = self.path("tile.ppm")
        with open(tile, "wb") as file:
            file.write(b"P6\n160 128\n255\n" + bytes(i % 251 for i in range(160 * 128 * 3)))
        told = self.bench("--image", tile)
        self.assertEqual((told["width"], told["height"]), (160, 128))
        told = self.bench("--image", ZANZIBAR, "--image", ZANZIBAR, "--size", 128, "--streams", 2, "--threads", 2)
        self.assertEqual((told["width"], told["height"], told["batch"], told["streams"]), (128, 128, 2, 2))

    def test_work_left_out(self):
        options = ("--size", 128, "--score", 0, "--detections", 5)
        whole, less = self.bench(*options), self.bench(*options, "--proposals", 10)
        self.assertLess(less["components"]["box"]["gflop"], whole["components"]["box"]["gflop"])
        self.assertEqual(less["components"]["fpn"]["gflop"], whole["components"]["fpn"]["gflop"])
        plain = self.bench(*options, "--without-passes", "all")
        self.assertGreater(plain["layers_run"], whole["layers_run"])

    def test_text(self):
        said = self.pantile("bench", "-m", "buildings_mnv2_fpn", "--size", 128, "--rounds", 1, "--layers",
                            "--backend", "portable").stdout
        for word in ("portable (OpenBLAS", "Mpx/s", "of the peak", "MiB at the most", "backbone", "128 x 128"):
            self.assertIn(word, said)

    def test_refusals(self):
        self.refused(1, ["--model"], "bench")
        self.refused(1, ["stray"], "bench", "-m", BUILDINGS, "stray")
        self.refused(1, ["abacus", "portable"], "bench", "-m", BUILDINGS, "--backend", "abacus", "--size", 128)
        self.refused(1, ["--rounds"], "bench", "-m", BUILDINGS, "--rounds", 0)
        self.refused(2, ["nothing.tif"], "bench", "-m", BUILDINGS, "--image", "nothing.tif")
        self.refused(2, ["nothing.ppm"], "bench", "-m", BUILDINGS, "--image", "nothing.ppm")
        small = self.path("small.tif")
        gdal.Translate(small, ZANZIBAR, srcWin=[0, 0, 100, 90])
        self.refused(1, ["100 x 90", "128"], "bench", "-m", BUILDINGS, "--image", small, "--size", 128)


if __name__ == "__main__":
    main()
