"""pantile worker: joins from outside, leaves when asked, is refused with a reason."""
import os
import shutil
import signal
import subprocess
import time
import unittest

from harness import BUILDINGS, PROGRAM, SOURCE, Case, box, main, noise, sha256, write_scene, write_truth

FIELDS = os.path.join(SOURCE, "models", "fields_mnv2_fpn.safetensors")
SMALL_TILES = ("--tile", 128, "--overlap", 64, "--gsd", "native")
LOST = 69


class WorkerCase(Case):
    def setUp(self):
        super().setUp()
        os.mkdir(self.path("here"))
        self.scene = write_scene(self.path("here", "scene.tif"), noise(400, 300))
        self.truth = write_truth(self.path("here", "truth.gpkg"),
                                 [[box(x, y, x + 25, y + 20)] for x in range(10, 370, 55) for y in range(10, 270, 45)])
        self.oracle = ("--engine", f"oracle:{self.truth}", *SMALL_TILES)
        self.processes = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def start(self, *arguments, faults=""):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, text=True,
                                   env={**os.environ, "PANTILE_TEST_FAULTS": faults})
        self.processes.append(process)
        return process

    def coordinate(self, *arguments, out="out.geojson"):
        """A coordinator without workers, once it listens: itself, and what its workers must say to reach it."""
        process = self.start("run", self.scene, "-o", self.path(out), "--no-local-worker", "--listen",
                             "tcp://127.0.0.1:*", *arguments)
        folder = self.path(out) + ".pantile"
        self.until(lambda: os.path.exists(os.path.join(folder, "endpoint")), process)
        with open(os.path.join(folder, "endpoint"), encoding="utf-8") as file:
            return process, ("--connect", file.read().strip(), "--keys", os.path.join(folder, "worker.key"))

    def until(self, condition, process=None):
        for _ in range(1200):
            if condition():
                return
            if process and process.poll() is not None:
                self.fail(process.communicate()[1])
            time.sleep(0.1)
        self.fail("waited for two minutes")

    def ends(self, process, code):
        _, told = process.communicate(timeout=300)
        self.assertEqual(process.returncode, code, told)
        return told

    def alone(self, *arguments):
        """What one machine makes of the scene."""
        out = self.path("alone.geojson")
        self.pantile("run", self.scene, "-o", out, *arguments)
        return sha256(out)


class TestJoining(WorkerCase):
    def test_workers_from_outside_make_the_same(self):
        """In a place of their own, where links lead elsewhere; one joins late and one leaves early."""
        shutil.copytree(self.path("here"), self.path("there"))
        os.symlink("/etc", self.path("there", "etc"))
        run, how = self.coordinate(*self.oracle, "--root", self.path("here"), "--log", "json")
        there = ("--root", self.path("there"))
        leaver = self.start("worker", *how, *there, "--credit", 1, faults="slow@0:1.5x1,slow@1:1,slow@2:1,slow@3:1")
        for line in run.stderr:
            if '"a worker joined"' in line:
                break
        leaver.send_signal(signal.SIGTERM)
        self.ends(leaver, 0)
        self.assertIsNone(run.poll())
        late = self.start("worker", *how, *there, "--workers", 2)
        self.ends(run, 0)
        self.ends(late, 0)
        self.assertEqual(sha256(self.path("out.geojson")), self.alone(*self.oracle))

    def test_pixels_by_message(self):
        model = ("--model", BUILDINGS, "--score", 0.05, "--tile", 256, "--overlap", 64, "--gsd", "native")
        run, how = self.coordinate(*model, "--ship-pixels")
        worker = self.start("worker", *how, "--no-scene", "--root", self.path(), "--model", BUILDINGS)
        self.ends(run, 0)
        self.ends(worker, 0)
        self.assertEqual(sha256(self.path("out.geojson")), self.alone(*model))


class TestNotJoining(WorkerCase):
    def test_another_scene(self):
        shutil.copytree(self.path("here"), self.path("there"))
        write_scene(self.path("there", "scene.tif"), noise(400, 300, seed=2))
        _, how = self.coordinate(*self.oracle, "--root", self.path("here"))
        told = self.ends(self.start("worker", *how, "--root", self.path("there")), 2)
        self.assertIn("fingerprint", told)
        self.assertIn(self.path("there", "scene.tif"), told)

    def test_a_file_outside_of_the_root(self):
        os.mkdir(self.path("there"))
        os.symlink(self.scene, self.path("there", "scene.tif"))
        shutil.copy(self.truth, self.path("there"))
        run, how = self.coordinate(*self.oracle, "--root", self.path("here"))
        told = self.ends(self.start("worker", *how, "--root", self.path("there")), 2)
        self.assertIn("outside of this worker's root", told)
        run.send_signal(signal.SIGTERM)
        told = run.communicate(timeout=60)[1]
        self.assertRegex(told, r"a worker left before it could begin reason=.*scene\.tif leads to ")

    def test_another_model(self):
        run, how = self.coordinate("--model", BUILDINGS, *SMALL_TILES)
        told = self.ends(self.start("worker", *how, "--model", FIELDS), 2)
        self.assertIn(sha256(BUILDINGS), told)
        self.assertIn(sha256(FIELDS), told)
        run.send_signal(signal.SIGTERM)
        self.assertIn(sha256(FIELDS), run.communicate(timeout=60)[1])

    def test_a_backend_that_only_others_have(self):
        """In builds without oneDNN: a run on this machine is refused, one that leaves the work to others is not."""
        there = self.pantile("bench", "-m", BUILDINGS, "--size", 64, "--backend", "onednn", code=None)
        if there.returncode == 0:
            self.skipTest("this build has every backend")
        self.refused(1, ["--backend", "onednn in this build", "native, portable"], "run", self.scene, "-o",
                     self.path("o.geojson"), "-m", BUILDINGS, "--backend", "onednn")
        run, how = self.coordinate("--model", BUILDINGS, "--backend", "onednn", *SMALL_TILES)
        told = self.ends(self.start("worker", *how), 2)
        self.assertIn("the job's --backend: no backend named onednn in this build", told)
        self.assertIn("--backend auto", told)
        run.send_signal(signal.SIGTERM)
        self.assertIn("onednn in this build", run.communicate(timeout=60)[1])

    def test_nobody_there(self):
        told = self.ends(self.start("worker", "--connect", f"ipc://{self.path('none')}", "--insecure",
                                    "--coordinator-timeout", 1), LOST)
        self.assertIn("nothing heard from the coordinator", told)

    def test_wrong_usage(self):
        self.refused(1, ["--connect"], "worker")
        self.refused(1, ["--keys", "--insecure"], "worker", "--connect", "tcp://127.0.0.1:1")
        self.refused(1, ["--keys and --insecure"], "worker", "--connect", "tcp://127.0.0.1:1", "--insecure", "--keys", "k")
        self.refused(2, ["none.key"], "worker", "--connect", "tcp://127.0.0.1:1", "--keys", self.path("none.key"))
        self.refused(1, ["takes no arguments"], "worker", "scene.tif")
        for endpoint in ("node1:5555", "tcp://node1", "tcp://node1:*", "tcp://node1:0", "tcp://node1:99999"):
            self.refused(1, [endpoint], "worker", "--insecure", "--connect", endpoint)
        self.refused(1, ["--connect needs a value"], "worker", "--insecure", "--connect", "")
        self.refused(1, ["--allow-url s3://", "/vsi"], "worker", "--insecure", "--connect", "tcp://node1:5", "--allow-url", "s3://")
        self.refused(2, ["--root", "no such folder"], "worker", "--insecure", "--connect", "tcp://node1:5", "--root",
                     self.path("gone"))
        self.refused(1, ["pantile run and pantile worker"], "__worker")


if __name__ == "__main__":
    main()
