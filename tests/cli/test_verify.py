"""A real run's job proves itself, and notices when its output is changed."""
import json
import os

from harness import Case, box, features, main, noise, sha256, write_scene, write_truth


class Verify(Case):
    def setUp(self):
        super().setUp()
        self.scene = write_scene(self.path("scene.tif"), noise(400, 300))
        self.truth = write_truth(self.path("truth.geojson"), [[box(20, 20, 60, 50)], [box(100, 90, 170, 140)]])
        self.out = self.path("out.geojson")
        self.coverage = self.path("coverage.geojson")
        self.pantile("run", self.scene, "-o", self.out, "--engine", "oracle:" + self.truth, "--gsd", "native",
                     "--tile", 128, "--overlap", 64, "--coverage", self.coverage)

    def verify(self, job, code=0):
        return json.loads(self.pantile("verify", job, "--json", code=code).stdout)

    def test_complete(self):
        for job in (self.out, self.out + ".pantile"):
            found = self.verify(job)
            self.assertTrue(found["complete"])
            self.assertEqual(found["state"], "done")
            self.assertEqual(found["done"] + found["empty"], found["tiles"])
            self.assertEqual(found["output"]["sha256"], sha256(self.out))
            self.assertEqual(os.path.realpath(found["output"]["path"]), os.path.realpath(self.out))

    def test_coverage_has_the_same_tiles(self):
        tiles = features(self.coverage)
        found = self.verify(self.out)
        self.assertEqual([p["tile"] for p, _ in tiles], list(range(found["tiles"])))
        self.assertEqual(sum(p["state"] == "done" for p, _ in tiles), found["done"])
        self.assertGreater(sum(p["detections"] for p, _ in tiles), 0)

    def test_coverage_is_geojson(self):
        self.refused(1, ["cov.gpkg", ".geojson"], "run", self.scene, "-o", self.path("new.geojson"), "--engine",
                     "oracle:" + self.truth, "--gsd", "native", "--coverage", self.path("cov.gpkg"))

    def test_changed_output(self):
        with open(self.out, "a", encoding="utf-8") as file:
            file.write("\n")
        self.assertEqual(self.verify(self.out, code=2)["output"]["state"], "changed")
        os.remove(self.out)
        self.assertEqual(self.verify(self.out, code=2)["output"]["state"], "gone")


if __name__ == "__main__":
    main()
