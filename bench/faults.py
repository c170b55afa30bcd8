#!/usr/bin/python3
"""The rows of bench/faults.sh: the faults of tests/faults, oftener, longer, and measured. Every figure of "lost" and "doubled"
is what `pantile verify` counts; every run's output is compared with that of a run without faults."""
import json
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import time
import unittest

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(SOURCE, "tests", "faults"))

import test_coordinator
import test_mpi
import test_network
import test_peers
import test_scene
from harness import PROGRAM, Case, Ledger, free_port, keys, mount_small, read_file, rss_bytes, wait_for
from network import SERVER, Network

TABLE = []


def figure(fault, conditions, text):
    TABLE.append((fault, conditions, text))
    print(f"{fault}: {text}", file=sys.stderr, flush=True)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values, unit="s", digits=2):
    """Median (least to most)."""
    return (f"{statistics.median(values):.{digits}f} {unit} ({min(values):.{digits}f} to {max(values):.{digits}f})"
            if values else "none")


class Base(Case):
    def setUp(self):
        super().setUp()
        self.serial = 0

    def fresh(self):
        """Another job and output."""
        self.serial += 1
        self.job, self.out = self.path(f"job{self.serial}"), self.path(f"out{self.serial}.geojson")

    def names(self):
        """Workers that have settled a tile."""
        return {row[0] for row in Ledger(self.job).rows("SELECT DISTINCT worker FROM tiles") or ()}

    def has_worked(self, pid):
        return any(name.endswith(f":{pid}") for name in self.names())

    def seconds_until(self, what, look):
        begun = time.monotonic()
        wait_for(what, look, 300, 0.002)
        return time.monotonic() - begun


class Workers(Base):
    scene_size = (2560, 1920)

    def test_kill(self):
        """kill -9 of random workers."""
        source, recoveries = random.Random(11), []
        run = self.start_run("--workers", 2, faults=self.slow(0.25))
        while len(recoveries) < 50:
            before = wait_for("two workers", lambda: len(run.workers()) == 2 and run.workers())
            for pid in before:
                wait_for(f"a tile of worker {pid}", lambda pid=pid: self.has_worked(pid))
            victim = source.choice(before)
            time.sleep(source.random() * 0.3)  # anywhere in its work
            os.kill(victim, signal.SIGKILL)
            def replaced():
                fresh = [pid for pid in run.workers() if pid not in before]
                return fresh and self.has_worked(fresh[0])
            recoveries.append(self.seconds_until("its successor's first tile", replaced))
        run.wait(seconds=600)
        counts = self.assert_whole()
        figure("worker kill -9", "50 at random of 2 workers, tiles of 0.25 s",
               f"lost {counts['missing']}, doubled {counts['doubled']}; its successor's first tile is in the ledger after "
               f"{spread(recoveries)}, p95 {percentile(recoveries, 0.95):.2f} s")


class Hang(Base):
    def test_stop(self):
        """A worker is stopped (SIGSTOP) in the middle of a job."""
        seconds = []
        for _ in range(5):
            self.fresh()
            run = self.start_run("--workers", 2, faults=self.slow(0.25))
            self.wait_for_tiles(30, run)
            victim = wait_for("two workers", lambda: len(run.workers()) == 2 and run.workers())[0]
            os.kill(victim, signal.SIGSTOP)
            seconds.append(self.seconds_until("the kill", lambda: victim not in run.family()))
            run.wait(seconds=300)
            self.assert_whole()
        figure("worker hangs: SIGSTOP", "one of 2 workers, 5 jobs",
               f"killed and replaced after {spread(seconds, digits=0)}; lost 0, doubled 0")

    def test_compute(self):
        """A tile never ends at its first attempt, with much left to do."""
        run = self.start_run("--workers", 2, faults="hang@23x1," + self.slow(0.9))
        self.wait_for_tiles(24, run)
        before = run.workers()
        def replaced():
            return [pid for pid in before if pid not in run.family()]
        seconds = self.seconds_until("the kill", replaced)
        run.wait(seconds=600)
        self.assert_whole()
        figure("worker hangs: its tile never ends", "one of 2 workers",
               f"killed and replaced after {seconds:.0f} s; lost 0, doubled 0")


class Straggler(Base):
    def test_tail(self):
        """One worker takes 20 s for its tile when nothing else is left to do."""
        seconds = []
        for _ in range(5):
            self.fresh()
            url = f"tcp://127.0.0.1:{free_port()}"
            run = self.start_run("--listen", url, "--insecure", "--no-local-worker")
            slow = self.start_worker(url, "--insecure", "--credit", 1, faults=self.slow(20, range(100, self.tiles)))
            self.start_worker(url, "--insecure", faults=self.slow(0.02))
            wait_for("all but one", lambda: self.settled() >= self.tiles - 1, pause=0.001)
            begun = time.monotonic()
            run.wait()
            seconds.append(time.monotonic() - begun)
            self.assert_whole()
            slow.kill()
        figure("straggler", "a tile takes 20 s on its worker, 5 jobs",
               f"the job ends {spread(seconds)} after its last but one tile, by a second run elsewhere")


class Poison(Base):
    def test_poison(self):
        """A tile that kills every worker."""
        deaths, seconds = [], []
        for _ in range(5):
            self.fresh()
            begun = time.monotonic()
            run = self.start_run("--workers", 2, "--coverage", self.path("cov.geojson"), "--overwrite", faults="kill@17")
            run.wait(3)
            seconds.append(time.monotonic() - begun)
            self.assert_whole(quarantined=1)
            told = [f["properties"] for f in json.loads(read_file(self.path("cov.geojson")))["features"]]
            deaths.append(next(t["attempts"] for t in told if t["tile"] == 17))
        figure("poison tile", "kills every worker, 2 workers, 5 jobs",
               f"{'/'.join(map(str, sorted(set(deaths))))} deaths, then quarantined: exit code 3, named, drawn; all other tiles "
               f"done; "
               f"whole job {spread(seconds)}")


class Writes(test_coordinator.KilledAtWrite):
    def test_every_write(self):
        """The coordinator dies at every change of a file, before it and in the midst of it."""
        total, killed, tried = self.count_writes(), 0, 0
        for place in range(1, total + 1):
            for torn in (False, True):
                killed += self.kill_and_resume(place, torn)
                tried += 1
        figure("coordinator kill -9", f"at each of {total} changes of a file (ledger, keys, spool, output), before and in the midst of it",
               f"{killed} of {tried} killed, all resumed: lost 0, doubled 0, committed tiles run again 0, output identical")


class Restart(Base):
    scene_size = (2560, 1920)

    def test_restart(self):
        """The coordinator dies in the middle of a job of 1,131 tiles."""
        seconds = []
        for count in (100, 300, 500, 700, 900):
            self.fresh()
            run = self.start_run("--workers", 2, faults=self.slow(0.005))
            self.wait_for_tiles(count, run)
            run.signal(signal.SIGKILL)
            run.wait_until_gone()
            before = test_coordinator.rows_of(self)
            resumed = self.start_run("--workers", 2, "--resume", faults=self.slow(0.005))
            seconds.append(self.seconds_until("a new tile", lambda: self.settled() > len(before)))
            resumed.wait()
            self.assertLessEqual(before, test_coordinator.rows_of(self))
            self.assert_whole()
        figure("coordinator kill -9, restart", "5 jobs of 1,131 tiles, killed after 100 to 900",
               f"first new tile in the ledger {spread(seconds)} after --resume; committed tiles run again 0")


class Cut(Base):
    def test_cut(self):
        """The network between coordinator and worker is cut for 30 s."""
        resumed = []
        for_run, for_worker = keys(self)
        for _ in range(5):
            self.fresh()
            network = Network(self)
            url = f"tcp://{SERVER}:5555"
            run = self.start_run("--listen", url, "--no-local-worker", *for_run, prefix=network.at(network.server))
            worker = self.start_worker(url, *for_worker, faults=self.slow(0.1), prefix=network.at(network.client))
            self.wait_for_tiles(60, run)
            network.cut()
            time.sleep(1)
            before = self.settled()
            time.sleep(29)
            self.assertEqual(self.settled(), before)
            network.heal()
            resumed.append(self.seconds_until("the next tile", lambda: self.settled() > before))
            run.wait()
            worker.wait()
            self.assert_whole()
            network.remove()
        figure("network cut for 30 s", "namespaces, iptables DROP, one outside worker, CURVE, 5 jobs",
               f"next tile in the ledger {spread(resumed)} after healing; lost 0, doubled 0")


class Proxied(test_network.Proxied):
    def test_seeds(self):
        """Messages doubled, late and lost, with 20 seeds."""
        sums = {}
        for seed in range(20):
            self.job, self.out = self.path(f"job{seed}"), self.path(f"out{seed}.geojson")
            for name, value in self.run_behind(first_seed=10 * seed, doubled=200, late=200, late_ms=500, lost=20).items():
                sums[name] = sums.get(name, 0) + value
        figure("messages doubled, reordered, lost", "20 jobs, 2 workers behind proxies",
               f"{sums['doubled']} doubled, {sums['late']} late, {sums['lost']} lost; lost tiles 0, doubled tiles 0")


class Cuts(test_scene.Cut):
    def test_many_cuts(self):
        """Truncated scenes."""
        codes = self.cut_often(200, formats=test_scene.FORMATS)
        figure("truncated GeoTIFF", f"200 cuts of files in {len(test_scene.FORMATS)} formats",
               f"silently wrong tiles 0; refused before the run {codes.get(2, 0)}, tiles quarantined {codes.get(3, 0)}, "
               f"nothing lost by the cut {codes.get(0, 0)}")


class Full(Base):
    def test_disks(self):
        """The disk of the ledger, or of the output, is full."""
        for name, sizes in (("ledger", range(40, 400, 24)), ("output", range(8, 80, 8))):
            stopped = 0
            for kibibytes in sizes:
                self.fresh()
                small = mount_small(self, f"{kibibytes}k")
                if name == "ledger":
                    self.job = os.path.join(small, "job")
                else:
                    self.out = os.path.join(small, "out.geojson")
                run = self.start_run("--workers", 2)
                run.wait(None)
                if run.popen.returncode != 0:
                    self.assertEqual(run.popen.returncode, 4, run.tell())
                    self.assertFalse(os.path.exists(self.out))
                    stopped += 1
                    subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
                    self.start_run(*(["--resume"] if os.path.exists(os.path.join(self.job, "ledger.db")) else [])).wait()
                self.assert_whole()
                subprocess.run(["umount", "-l", small], check=True)
            figure(f"disk full at the {name}", f"{len(sizes)} disks of {sizes[0]} to {sizes[-1]} KiB",
                   f"{stopped} jobs stopped with exit code 4 and were resumed; acknowledged but not durable 0, partial visible "
                   "files 0")


class Memory(Base):
    def test_memory(self):
        """Workers with less and less address space, beside one that has enough."""
        url = f"tcp://127.0.0.1:{free_port()}"
        run = self.start_run("--listen", url, "--insecure", faults=self.slow(0.2))
        self.wait_for_tiles(5, run)
        limits = range(40, 400, 40)
        workers = [self.start_worker(url, "--insecure", "--coordinator-timeout", 10,
                                     prefix=["prlimit", f"--as={mebibytes << 20}", "--core=0"]) for mebibytes in limits]
        peak = 0
        while run.running():
            try:
                peak = max(peak, rss_bytes(run.pid))
            except FileNotFoundError:
                break
            time.sleep(0.1)
        run.wait()
        self.assert_whole()
        names = {int(name.rpartition(":")[2]) for name in self.names()}
        codes = {}
        for mebibytes, worker in zip(limits, workers):
            worker.wait(None, 120)
            codes.setdefault(worker.popen.returncode, []).append(mebibytes)
        told = "; ".join(f"exit code {code} with {', '.join(map(str, sizes))} MiB" for code, sizes in sorted(codes.items()))
        figure("out of memory", "an ordinary worker and 9 under ulimit -v",
               f"{told}; the job ends well, {len(names)} processes have settled tiles; lost 0, doubled 0; RSS of the "
               f"coordinator at most {peak >> 20} MiB")


class Models(Base):
    def test_models(self):
        """Damaged model files."""
        whole = read_file(os.path.join(SOURCE, "models", "buildings_mnv2_fpn.safetensors"), "rb")
        source, seconds, codes, peak = random.Random(2), [], {}, 0
        head = 8 + int.from_bytes(whole[:8], "little")
        for i in range(200):
            data = bytearray(whole)
            if i % 2:
                data = data[:source.randrange(len(data))]
            else:
                for _ in range(source.randint(1, 20)):
                    data[source.randrange(head)] = source.randrange(256)
            path = self.path("bad.safetensors")
            with open(path, "wb") as file:
                file.write(data)
            begun = time.monotonic()
            run = self.start(PROGRAM, "plan", self.scene.path, "--model", path, "--gsd", "native")
            _, status, usage = os.wait4(run.pid, 0)
            seconds.append(time.monotonic() - begun)
            code = os.waitstatus_to_exitcode(status)
            run.popen.returncode = code
            codes[code] = codes.get(code, 0) + 1
            peak = max(peak, usage.ru_maxrss)
        self.assertLessEqual(set(codes), {0, 2})
        figure("bad model file", "200 files cut, or with bytes of the header changed",
               f"refused {codes.get(2, 0)}, still a model {codes.get(0, 0)}, crashes 0; at most {max(seconds):.2f} s and "
               f"{peak >> 10} MiB")


class Hostile(test_peers.Hostile):
    scene_size = (2560, 1920)

    def timed(self, attacked):
        port = free_port()
        out = self.path(f"{time.monotonic_ns()}.geojson")
        words = ["run", self.scene.path, "-o", out, "--job-dir", out + ".job", "--engine", "null", "--gsd", "native", "--tile",
                 128, "--overlap", 64, "--listen", f"tcp://127.0.0.1:{port}", "--workers", 1]
        run = self.start(PROGRAM, *words, env={"PANTILE_TEST_FAULTS": self.slow(0.005)})
        wait_for("tiles", lambda: Ledger(out + ".job").settled() >= 20)
        begun, at, before = time.monotonic(), Ledger(out + ".job").settled(), rss_bytes(run.pid)
        tried = self.attack(port, 3) if attacked else time.sleep(3)
        rate = (Ledger(out + ".job").settled() - at) / (time.monotonic() - begun)
        grown = rss_bytes(run.pid) - before
        run.wait()
        return rate, grown, tried

    def test_throughput(self):
        """Raw TCP peers that send nonsense as fast as one thread can."""
        quiet, loud, grown, tried = [], [], [], 0
        for _ in range(5):
            quiet.append(self.timed(False)[0])
            rate, more, count = self.timed(True)
            loud.append(rate)
            grown.append(more / (1 << 20))
            tried += count
        figure("hostile peers", f"5 jobs, {tried} connections with nonsense in 15 s; 50 silent ones all the time",
               f"RSS grows by {spread(grown, 'MiB', 1)}; {spread(loud, 'tiles/s', 0)} against {spread(quiet, 'tiles/s', 0)} "
               "in peace")


class Stops(Base):
    def test_signals(self):
        """SIGINT and SIGTERM."""
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            seconds = []
            for _ in range(10):
                self.fresh()
                run = self.start_run("--workers", 2, faults=self.slow(0.2))
                self.wait_for_tiles(20, run)
                run.signal(number)
                begun = time.monotonic()
                run.wait(code)
                seconds.append(time.monotonic() - begun)
                self.start_run("--resume").wait()
                self.assert_whole()
            figure(signal.Signals(number).name, "10 jobs, 2 workers, tiles of 0.2 s",
                   f"exit code {code} after {spread(seconds)}; resumed: lost 0, doubled 0")


class Repeated(unittest.TestCase):
    """Tests whose figure is how often they pass."""

    def repeat(self, times, case, name, fault, conditions, says):
        suite = unittest.TestSuite(case(name) for _ in range(times))
        result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0).run(suite)
        if result.skipped:
            self.skipTest(result.skipped[0][1])
        passed = times - len(result.failures) - len(result.errors)
        figure(fault, f"{times} jobs, {conditions}", f"{passed} of {times}: {says}")
        self.assertEqual(passed, times)

    def test_mpi(self):
        """Ranks, their workers and the launcher."""
        for name, fault, says in (
                ("test_worker_of_a_rank_killed", "MPI: a rank's worker killed", "replaced, job done"),
                ("test_supervisor_killed", "MPI: a supervising rank killed", "nothing left behind; done, or resumed"),
                ("test_terminated", "MPI: mpirun gets SIGTERM", "drained, exit code 143, resumed"),
                ("test_launcher_killed", "MPI: mpirun killed", "nothing left behind, resumed")):
            self.repeat(10, test_mpi.Mpi, name, fault, "3 ranks", says)

    def test_others(self):
        self.repeat(10, test_peers.OtherFiles, "test_model", "wrong model on one worker", "an outside worker",
                    "refused before it had a tile, both hashes logged; wrong tiles accepted 0")
        self.repeat(10, test_peers.OtherFiles, "test_scene", "wrong scene on one worker", "an outside worker",
                    "refused before it had a tile; wrong tiles accepted 0")
        self.repeat(5, test_coordinator.Clock, "test_jumps", "clock jump", "4 jumps each, a day back and a year ahead",
                    "false expiries 0")
        self.repeat(5, test_scene.Unreadable, "test_quarantine", "one unreadable block", "2 workers",
                    "the 9 tiles on the block are quarantined after 3 tries each, exit code 3; the rest is done")


def main():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    suite = unittest.TestSuite()
    rows = [(case, name) for case in (Workers, Hang, Straggler, Poison, Writes, Restart, Cut, Proxied, Cuts, Full, Memory,
                                      Models, Hostile, Stops, Repeated)
            for name in unittest.defaultTestLoader.getTestCaseNames(case)
            if name in vars(case)]
    if "--list" in sys.argv:
        print("\n".join(f"{case.__name__}.{name}" for case, name in rows))
        return
    for case, name in rows:
        if len(sys.argv) == 1 or any(word in f"{case.__name__}.{name}" for word in sys.argv[1:]):
            suite.addTest(case(name))
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=2).run(suite)
    print("| Fault | Conditions | Figure |\n|---|---|---|")
    for row in TABLE:
        print("| " + " | ".join(row) + " |")
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
