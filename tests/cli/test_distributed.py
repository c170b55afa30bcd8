"""One job on many workers: the same bytes for any number of them, resumed or not, local, under mpirun or from outside."""
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

from osgeo import gdal

from harness import (BUILDINGS, Case, PROGRAM, SOURCE, features, json_lines, main, noise, sha256, write_scene, write_truth)
from test_run import HEIGHT, WIDTH, seeded_shapes

MPIRUN = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
TILING = ("--gsd", "native", "--tile", 128, "--overlap", 64, "--simplify", 0)
TILES = 10 * 7
PATIENCE = 240  # seconds; for a machine that does much else


def ranks_environment(**more):
    """LeakSanitizer cannot name what Open MPI leaks after it has unloaded its own parts."""
    return {**os.environ, **MPIRUN, "ASAN_OPTIONS": "detect_leaks=0", **more}


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited in vain for " + what)
        time.sleep(0.05)


class Distributed(Case):
    def setUp(self):
        super().setUp()
        self.scene = write_scene(self.path("scene.tif"), noise(WIDTH, HEIGHT), options=["TILED=YES"])
        self.truth = write_truth(self.path("truth.gpkg"), seeded_shapes())
        self.running = []
        self.addCleanup(self.end_all)

    def end_all(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def arguments(self, out, *more):
        return ["run", self.scene, "-o", out, "--engine", "oracle:" + self.truth, *TILING, *more]

    def start(self, *arguments, **more):
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, text=True, **more)
        self.running.append(process)
        return process

    def end(self, process, code=0):
        errors = process.communicate(timeout=PATIENCE)[1]
        self.assertEqual(process.returncode, code, errors)
        return errors

    def expected(self):
        """What one worker makes of it."""
        out = self.path("expected.geojson")
        if not os.path.exists(out):
            self.pantile(*self.arguments(out))
        return sha256(out)

    def told(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return json.load(file)


class Local(Distributed):
    def test_any_number_of_workers(self):
        for workers in (2, 5):
            out = self.path(f"out{workers}.geojson")
            self.pantile(*self.arguments(out, "--workers", workers, "--report", self.path("report.json"), "--overwrite"))
            self.assertEqual(sha256(out), self.expected(), workers)
            told = self.told("report.json")
            self.assertEqual(sum(w["tiles"] for w in told["workers"].values()), TILES)
            self.assertEqual(told["counts"]["tiles"], TILES)
            self.pantile("verify", out + ".pantile")

    def test_two_mosaics(self):
        """Tiles of several groups of scenes are numbered through; each group is put together by itself."""
        far = write_scene(self.path("far.tif"), noise(300, 200, seed=3), epsg=32634)
        sums = set()
        for workers in (1, 3):
            out = self.path(f"out{workers}.geojson")
            self.pantile("run", self.scene, far, "-o", out, "--engine", "oracle:" + self.truth, *TILING, "--workers", workers)
            sums.add(sha256(out))
        self.assertEqual(len(sums), 1)

    def test_links_keep_what_lies_beside_them(self):
        """Overviews and world files belong to the name that was given, on both ends; a file may come by two names."""
        os.mkdir(self.path("store"))
        stored = shutil.copy(self.scene, self.path("store", "0815.tif"))
        os.symlink(stored, self.path("link.tif"))
        dataset = gdal.Open(stored)
        dataset.BuildOverviews("NEAREST", [2])  # in a file of its own, as the dataset is read-only
        del dataset
        self.assertTrue(os.path.exists(stored + ".ovr"))
        expected = self.expected()
        for scenes in ([self.path("link.tif")], [self.path("link.tif"), self.scene, stored]):
            out = self.path(f"out{len(scenes)}.geojson")
            self.pantile("run", *scenes, *self.arguments(out)[2:])
            self.assertEqual(sha256(out), expected)
        out = self.path("out.geojson")
        os.symlink(self.scene, self.path("store", "out.tif"))
        self.scene = self.path("store", "out.tif")
        self.refused(1, ["out.tif leads to", "scene.tif", "--root"], *self.arguments(out, "--root", self.path("store")), output=out)

    def test_one_image_of_a_file(self):
        out, named = self.path("out.geojson"), f"GTIFF_DIR:1:{self.scene}"
        expected = self.expected()
        self.scene = named
        self.pantile(*self.arguments(out, "--workers", 2))
        self.assertEqual(sha256(out), expected)
        self.pantile(*self.arguments(out, "--resume"))

    def test_null_engine(self):
        out = self.path("out.geojson")
        self.pantile("run", self.scene, "-o", out, "--engine", "null", *TILING, "--workers", 2)
        self.assertEqual(features(out), [])
        self.refused(1, ["null"], "plan", self.scene, "--engine", "null", *TILING[:-2])

    def test_coverage(self):
        out, coverage = self.path("out.geojson"), self.path("coverage.geojson")
        pixels = noise(WIDTH, HEIGHT)
        pixels[:, :, :200] = 0
        self.scene = write_scene(self.path("holes.tif"), pixels, nodata=0)
        self.pantile(*self.arguments(out, "--coverage", coverage, "--workers", 2), code=3,
                     env={**os.environ, "PANTILE_TEST_FAULTS": "bad@69"})
        tiles = [properties for properties, _ in features(coverage)]
        self.assertEqual(sorted(t["tile"] for t in tiles), list(range(TILES)))
        states = {t["tile"]: t["state"] for t in tiles}
        self.assertEqual(states[69], "quarantined")
        self.assertEqual(states[0], "empty")
        self.assertEqual(set(states.values()), {"done", "empty", "quarantined"})
        self.pantile(*self.arguments(out, "--resume", "--coverage", coverage, "--workers", 2), code=3)  # done, as it was
        whole = sum(geometry.GetArea() for _, geometry in features(coverage))
        self.assertAlmostEqual(whole / features(coverage)[0][1].GetArea(), WIDTH * HEIGHT / 96 ** 2, delta=1)

    def test_read_errors_may_fail_the_job(self):
        environment = {**os.environ, "PANTILE_TEST_FAULTS": "fail@5"}
        out = self.path("out.geojson")
        done = self.pantile(*self.arguments(out, "--on-read-error", "fail"), code=2, env=environment)
        self.assertIn("tile 5", done.stderr)
        self.assertFalse(os.path.exists(out))
        self.pantile(*self.arguments(out, "--overwrite"), code=3, env=environment)

    def test_deaths_cost_nothing(self):
        out = self.path("out.geojson")
        faults = {**os.environ, "PANTILE_TEST_FAULTS": "kill@3x1,exit@20:9x2,nomem@40x1", "ASAN_OPTIONS": "detect_leaks=0"}
        self.pantile(*self.arguments(out, "--workers", 2, "--report", self.path("report.json")), env=faults)
        self.assertEqual(sha256(out), self.expected())
        self.assertGreaterEqual(self.told("report.json")["control"]["workers_joined"], 4)

    def test_workers_that_cannot_open_the_job(self):
        """The reason comes from the worker's own process, and ends the job at once."""
        layer = self.path("nothing.gpkg")
        with open(layer, "wb") as file:
            file.write(b"not a layer")
        done = self.pantile("run", self.scene, "-o", self.path("out.geojson"), "--engine", "oracle:" + layer, *TILING, code=2)
        self.assertIn("nothing.gpkg", done.stderr)
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith("out")], [])

    def test_terminal(self):
        """A table of workers below the bar, and nothing left of it at the end."""
        import pty
        parent, child = pty.openpty()
        run = subprocess.Popen([PROGRAM, *map(str, self.arguments(self.path("out.geojson"), "--workers", 2))],
                               stdout=child, stderr=child,
                               env={**os.environ, "PANTILE_TEST_FAULTS": "slow@50:1"})
        self.running.append(run)
        os.close(child)
        seen = b""
        while True:
            try:
                data = os.read(parent, 65536)
            except OSError:
                break
            seen += data
        os.close(parent)
        self.assertEqual(run.wait(timeout=PATIENCE), 0, seen)
        self.assertIn(b" of 70 tiles", seen)
        self.assertIn(b"s/tile", seen)
        self.assertTrue(seen.rsplit(b"\x1b[J", 1)[1].startswith(b"done"), seen[-500:])


class Resumed(Distributed):
    def interrupt(self, out, number, *more):
        """Stopped in the midst of it; a slow tile makes sure that there is a midst."""
        run = self.start(*self.arguments(out, "--log", "json", *more),
                         env={**os.environ, "PANTILE_TEST_FAULTS": "slow@30:3"})
        for line in run.stderr:
            if '"progress"' in line:
                break
        run.send_signal(number)
        return json_lines(self.end(run, 128 + number))[-1]["msg"]

    def test_signals(self):
        for number, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT"), (signal.SIGUSR1, "SIGUSR1")):
            out = self.path(name + ".geojson")
            said = self.interrupt(out, number)
            self.assertIn("stopped by " + name, said)
            self.assertIn("--resume", said)
            self.assertFalse(os.path.exists(out))
            self.refused(2, [".pantile", "--resume", "--overwrite"], *self.arguments(out))
            self.pantile("verify", out + ".pantile", code=2)
            picture = self.path("precious.png")  # resuming is no leave to replace what was there before
            with open(picture, "wb") as file:
                file.write(b"precious")
            self.refused(2, ["precious.png", "--overwrite"], *self.arguments(out, "--resume", "--overlay", picture))
            self.pantile(*self.arguments(out, "--resume", "--workers", 2, "--report", self.path("report.json"),
                                         *(("--overwrite",) if number != signal.SIGTERM else ())))
            self.assertEqual(sha256(out), self.expected())
            self.assertGreater(self.told("report.json")["counts"]["resumed"], 0)
            self.pantile("verify", out + ".pantile")

    def test_differences_are_refused_and_named(self):
        out = self.path("out.geojson")
        self.interrupt(out, signal.SIGTERM)
        self.refused(2, ["min_area"], *self.arguments(out, "--resume", "--min-area", 5))
        # Whoever began with --overwrite and adds --resume still goes on.
        self.refused(2, ["min_area", "in place of --resume"], *self.arguments(out, "--resume", "--overwrite", "--min-area", 5))
        self.refused(2, ["engine.kind was oracle, is null"], *self.arguments(out, "--resume", "--engine", "null"))
        write_scene(self.scene, noise(WIDTH, HEIGHT, seed=2))
        self.refused(2, ["fingerprint"], *self.arguments(out, "--resume"))

    def test_cut_off_while_the_output_was_put_in_place(self):
        """Then what lies there is the job's own; else it is precious."""
        out = self.path("out.geojson")
        self.interrupt(out, signal.SIGTERM)
        with open(out, "wb") as file:
            file.write(b"precious")
        self.refused(2, ["out.geojson", "--overwrite"], *self.arguments(out, "--resume"))
        with open(out + ".pantile/placing", "w", encoding="utf-8") as file:
            file.write(out + "\n")
        self.pantile(*self.arguments(out, "--resume"))
        self.assertEqual(sha256(out), self.expected())

    def test_overwrite_begins_anew(self):
        out = self.path("out.geojson")
        self.interrupt(out, signal.SIGTERM)
        self.pantile(*self.arguments(out, "--overwrite", "--report", self.path("report.json")))
        self.assertEqual(self.told("report.json")["counts"]["resumed"], 0)
        self.assertEqual(sha256(out), self.expected())

    def test_killed(self):
        """Not even asked: what was committed is there, and workers do not outlive their coordinator."""
        out = self.path("out.geojson")
        run = self.start(*self.arguments(out, "--log", "json"), env={**os.environ, "PANTILE_TEST_FAULTS": "slow@30:600"})
        for line in run.stderr:
            if '"progress"' in line:
                break
        workers = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True, check=True).stdout.split()
        self.assertEqual(len(workers), 1)
        run.kill()
        run.wait(timeout=PATIENCE)
        wait_for("the worker's end", lambda: not os.path.exists("/proc/" + workers[0]))
        self.pantile(*self.arguments(out, "--resume"))
        self.assertEqual(sha256(out), self.expected())

    def test_nothing_to_resume(self):
        out = self.path("out.geojson")
        self.refused(2, ["out.geojson.pantile", "no job"], *self.arguments(out, "--resume"))
        self.pantile(*self.arguments(out))
        before = os.stat(out).st_mtime_ns
        done = self.pantile(*self.arguments(out, "--resume"))
        self.assertIn("nothing to resume", done.stderr)
        self.assertEqual(os.stat(out).st_mtime_ns, before)
        os.remove(out)
        self.refused(2, ["out.geojson", "--overwrite"], *self.arguments(out, "--resume"))
        self.pantile(*self.arguments(out))  # the proof of an output that is gone is in nobody's way

    def test_two_at_once(self):
        out = self.path("out.geojson")
        first = self.start(*self.arguments(out, "--no-local-worker", "--job-dir", self.path("job")))
        wait_for("the first", lambda: os.path.exists(self.path("job", "endpoint")))
        self.refused(2, ["job", "in use"], *self.arguments(self.path("other.geojson"), "--job-dir", self.path("job"),
                                                           "--overwrite"))
        first.send_signal(signal.SIGTERM)
        self.end(first, 143)
        self.assertFalse(os.path.exists(self.path("job")))  # nothing was done, so nothing is kept


class Ranks(Distributed):
    def mpirun(self, ranks, *arguments, code=0, command=("mpirun", "--oversubscribe"), **environment):
        done = subprocess.run([*command, "-n", str(ranks), PROGRAM, *map(str, arguments)], capture_output=True, text=True,
                              timeout=PATIENCE, env=ranks_environment(**environment), check=False)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def test_any_number_of_ranks(self):
        for ranks in (1, 2, 3):
            out = self.path(f"out{ranks}.geojson")
            self.mpirun(ranks, *self.arguments(out))
            self.assertEqual(sha256(out), self.expected(), ranks)

    def test_job_shorter_than_the_start_of_a_rank(self):
        """Who comes when all is done is told so, and does not look for a coordinator that is gone."""
        for ranks in (2, 4, 5):
            done = self.mpirun(ranks, "run", self.scene, "-o", self.path(f"out{ranks}.geojson"), "--engine", "null", "--gsd",
                               "native")
            self.assertNotIn("pantile run:", done.stderr)

    def test_only_others_work(self):
        out = self.path("out.geojson")
        self.mpirun(3, *self.arguments(out, "--no-local-worker", "--report", self.path("report.json")))
        self.assertEqual(sha256(out), self.expected())
        self.assertIn(self.told("report.json")["control"]["workers_joined"], (1, 2))  # one may come too late

    def test_mistakes_end_all_ranks(self):
        """One line, by rank 0; the others leave without a word and without waiting for anything."""
        out = self.path("out.geojson")
        for code, says, more in ((2, "nowhere.gpkg", ("--engine", "oracle:nowhere.gpkg")), (1, "--tiles", ("--tiles",))):
            done = self.mpirun(3, *self.arguments(out, *more), code=code)
            lines = [line for line in done.stderr.splitlines() if line.startswith("pantile")]
            self.assertEqual(len(lines), 1, done.stderr)
            self.assertIn(says, lines[0])
        self.assertEqual(self.mpirun(2, "run", "--help").stdout.count("Example:"), 1)

    def test_wrapper_returns_the_code(self):
        """Also where a rank is killed, which costs its worker alone."""
        wrapper = os.path.join(SOURCE, "scripts", "pantile-mpirun")
        out = self.path("out.geojson")
        self.mpirun(3, *self.arguments(out), code=3, command=[wrapper], PANTILE_TEST_FAULTS="bad@5")
        self.mpirun(2, *self.arguments(out), code=2, command=[wrapper])  # it is there already
        nothing = subprocess.run([wrapper, "-n", "2", self.path("pantile"), "run"], capture_output=True, text=True,
                                 timeout=PATIENCE, check=False)
        self.assertEqual(nothing.returncode, 1)
        self.assertIn("no such program", nothing.stderr)
        other = subprocess.run([wrapper, "-n", "2", PROGRAM, "--version"], capture_output=True, text=True, timeout=PATIENCE,
                               check=False)
        self.assertEqual((other.returncode, other.stdout), (1, ""))
        self.assertIn("only run", other.stderr)
        out = self.path("killed.geojson")
        run = subprocess.Popen([wrapper, "-n", "3", PROGRAM, *map(str, self.arguments(out, "--log", "json"))], cwd=self.dir,
                               stderr=subprocess.PIPE, text=True, start_new_session=True,
                               env=ranks_environment(PANTILE_TEST_FAULTS="slow@30:3"))
        self.running.append(run)
        for line in run.stderr:
            if '"progress"' in line:
                break
        ranks = self.ranks_of(run)
        self.assertEqual(sorted(ranks), [0, 1, 2])
        os.kill(ranks[2], signal.SIGKILL)
        self.end(run)
        self.assertEqual(sha256(out), self.expected())
        self.assertEqual([name for name in os.listdir(self.dir) if name.startswith(".pantile")], [])

    @staticmethod
    def ranks_of(run):
        """Rank -> process, of the supervisors below mpirun below the wrapper."""
        found = {}
        below = lambda pid: subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True,
                                           check=False).stdout.split()
        for launcher in below(run.pid):
            for pid in below(launcher):
                with open(f"/proc/{pid}/environ", "rb") as file:
                    variables = dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry)
                if b"OMPI_COMM_WORLD_RANK" in variables:
                    found[int(variables[b"OMPI_COMM_WORLD_RANK"])] = int(pid)
        return found

    def test_wrapper_stops_in_order(self):
        wrapper = os.path.join(SOURCE, "scripts", "pantile-mpirun")
        out = self.path("out.geojson")
        run = subprocess.Popen([wrapper, "-n", "2", PROGRAM, *map(str, self.arguments(out, "--log", "json"))], cwd=self.dir,
                               stderr=subprocess.PIPE, text=True, start_new_session=True,
                               env=ranks_environment(PANTILE_TEST_FAULTS="slow@30:3"))
        self.running.append(run)
        for line in run.stderr:
            if '"progress"' in line:
                break
        run.send_signal(signal.SIGTERM)
        self.assertIn("--resume", self.end(run, 143))
        self.mpirun(2, *self.arguments(out, "--resume"), command=[wrapper])
        self.assertEqual(sha256(out), self.expected())


class Outside(Distributed):
    def coordinate(self, out, *more):
        """A coordinator without workers of its own, once it listens; and where."""
        run = self.start(*self.arguments(out, "--no-local-worker", *more))
        endpoint = out + ".pantile/endpoint"
        wait_for("the endpoint", lambda: os.path.exists(endpoint) or run.poll() is not None)
        self.assertIsNone(run.poll(), "the coordinator ended")
        with open(endpoint, encoding="utf-8") as file:
            return run, file.read().strip()

    def test_by_the_folder(self):
        """Who can read the job's folder needs nothing else."""
        out = self.path("out.geojson")
        run, endpoint = self.coordinate(out, "--log", "json")
        join = ("worker", "--connect", endpoint, "--keys", out + ".pantile/worker.key")
        slow = ",".join(f"slow@{tile}:0.5" for tile in range(TILES))  # so the job waits for the second to come
        first = self.start(*join, env={**os.environ, "PANTILE_TEST_FAULTS": slow})
        for line in run.stderr:
            if '"a worker joined"' in line:
                break
        second = self.start(*join)
        self.assertEqual(self.end(run).count('"a worker joined"'), 1)
        for worker in (first, second):
            self.end(worker)
        self.assertEqual(sha256(out), self.expected())
        self.assertEqual(sorted(os.listdir(out + ".pantile")), ["ledger.db", "lock"])

    def test_by_the_list(self):
        out = self.path("out.geojson")
        self.pantile("keygen", self.path("server"))
        for name in ("guest", "stranger"):
            self.pantile("keygen", self.path(name), "--server", self.path("server.pub"))
        run, endpoint = self.coordinate(out, "--keys", self.path("server.key"), "--allow", self.path("guest.pub"),
                                        "--listen", "tcp://127.0.0.1:*")
        self.assertFalse(os.path.exists(out + ".pantile/coordinator.key"))
        stranger = self.start("worker", "--connect", endpoint, "--keys", self.path("stranger.key"), "--coordinator-timeout",
                              2)
        self.end(stranger, 69)
        guest = self.start("worker", "--connect", endpoint, "--keys", self.path("guest.key"))
        self.end(run)
        self.end(guest)
        self.assertEqual(sha256(out), self.expected())

    def test_coordinator_killed_and_started_again(self):
        """Workers from outside wait for it, with what they have found, and go on with it."""
        out = self.path("out.geojson")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = "tcp://127.0.0.1:%d" % free.getsockname()[1]
        run, _ = self.coordinate(out, "--listen", address, "--log", "json")
        worker = self.start("worker", "--connect", address, "--keys", out + ".pantile/worker.key",
                            env={**os.environ, "PANTILE_TEST_FAULTS": "slow@30:3"})
        for line in run.stderr:
            if '"progress"' in line:
                break
        run.kill()
        run.wait(timeout=PATIENCE)
        again = self.start(*self.arguments(out, "--no-local-worker", "--listen", address, "--resume", "--report",
                                           self.path("report.json")))
        self.end(again)
        self.end(worker)
        self.assertEqual(sha256(out), self.expected())
        self.assertGreater(self.told("report.json")["counts"]["resumed"], 0)

    def test_in_the_open(self):
        out = self.path("out.geojson")
        run, endpoint = self.coordinate(out, "--insecure", "--listen", "ipc://" + self.path("link"))
        worker = self.start("worker", "--connect", endpoint, "--insecure")
        self.end(run)
        self.end(worker)
        self.assertEqual(sha256(out), self.expected())
        self.refused(1, ["--keys"], "worker", "--connect", endpoint)

    def test_under_another_root(self):
        """The coordinator's root and the worker's are different folders with the same files below."""
        here, there = self.path("here"), self.path("there")
        for folder in (here, there):
            os.mkdir(folder)
            shutil.copy(self.scene, folder)
            shutil.copy(self.truth, folder)
        out = self.path("out.geojson")
        expected = self.expected()
        self.scene, self.truth = os.path.join(here, "scene.tif"), os.path.join(here, "truth.gpkg")
        run, endpoint = self.coordinate(out, "--root", here)
        os.rename(here, self.path("gone"))
        worker = self.start("worker", "--connect", endpoint, "--keys", out + ".pantile/worker.key", "--root", there)
        os.rename(self.path("gone"), here)
        self.end(run)
        self.end(worker)
        self.assertEqual(sha256(out), expected)
        self.refused(1, ["scene.tif", "--root"], *self.arguments(self.path("b.geojson"), "--root", there))

    def test_without_the_scene(self):
        out = self.path("out.geojson")
        piece = self.path("piece.tif")
        gdal.Translate(piece, os.path.join(SOURCE, "examples", "zanzibar.tif"), srcWin=[300, 300, 1300, 1000])
        arguments = ["run", piece, "-m", BUILDINGS, "--tile", 256, "--overlap", 64, "-o"]
        run = self.start(*arguments, out, "--no-local-worker", "--ship-pixels")
        endpoint = out + ".pantile/endpoint"
        wait_for("the endpoint", lambda: os.path.exists(endpoint))
        with open(endpoint, encoding="utf-8") as file:
            address = file.read().strip()
        os.mkdir(self.path("empty"))
        worker = self.start("worker", "--connect", address, "--keys", out + ".pantile/worker.key", "--no-scene", "--root",
                            self.path("empty"), "--model", BUILDINGS)
        self.end(run)
        self.end(worker)
        self.pantile(*arguments, self.path("same.geojson"))
        self.assertEqual(sha256(out), sha256(self.path("same.geojson")))
        self.assertGreater(len(features(out)), 0)

    def test_refusals(self):
        out = self.path("out.geojson")
        self.refused(1, ["nonsense", "tcp:"], *self.arguments(out, "--listen", "nonsense", "--insecure"))
        self.refused(1, ["tcp://127.0.0.1", "PORT"], *self.arguments(out, "--listen", "tcp://127.0.0.1"))
        self.refused(2, ["no.key"], *self.arguments(out, "--keys", self.path("no.key")))
        self.pantile("keygen", self.path("c"))
        self.refused(2, ["no.pub"], *self.arguments(out, "--keys", self.path("c.key"), "--allow", self.path("no.pub")))
        self.refused(2, ["--root", "nowhere"], *self.arguments(out, "--root", self.path("nowhere")))
        self.refused(1, ["metrics", "nonsense", "HOST:PORT"], *self.arguments(out, "--metrics", "nonsense"))
        self.refused(2, ["worker"], *self.arguments(out, "--no-local-worker", "--wait", 1))

    def test_metrics(self):
        out = self.path("out.geojson")
        run = self.start(*self.arguments(out, "--metrics", "127.0.0.1:0", "--log", "json"),
                         env={**os.environ, "PANTILE_TEST_FAULTS": "slow@30:2"})
        port = None
        for line in run.stderr:
            told = json.loads(line)
            port = told.get("port", port)
            if told["msg"] == "progress":
                break
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE) as page:
            text = page.read().decode()
        self.assertRegex(text, r"(?m)^pantile_\w*workers\w*(\{.*\})? 1$")
        self.assertRegex(text, r"(?m)^pantile_tiles\w*(\{.*\})? \d+$")
        with self.assertRaises(urllib.error.HTTPError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/nothing", timeout=PATIENCE)
        self.end(run)


if __name__ == "__main__":
    main()
