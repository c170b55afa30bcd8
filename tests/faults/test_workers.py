"""Workers that die, hang, lag, run out of memory, or are asked to leave: the job goes on, and nothing shows in the output."""
import json
import os
import random
import resource
import signal
import unittest

from harness import PATIENCE, Case, free_port, main, read_file, wait_for


class Workers(Case):
    def test_killed_at_random(self):
        source = random.Random(3)
        run = self.start_run("--workers", 2, faults=self.slow(0.05))
        killed = []
        for _ in range(4):
            self.wait_for_tiles(self.settled() + 12, run)
            pid = source.choice(wait_for("a worker", run.workers))
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        run.wait()
        run.wait_until_gone()
        self.assertEqual(len(set(killed)), 4)
        self.assert_whole()

    def test_all_killed_at_once(self):
        run = self.start_run("--workers", 3, faults=self.slow(0.05))
        self.wait_for_tiles(20, run)
        for pid in run.workers():
            os.kill(pid, signal.SIGKILL)
        run.wait()
        self.assert_whole()

    def test_stopped(self):
        """A worker that is frozen neither holds up the job nor outlives it."""
        run = self.start_run("--workers", 2, faults=self.slow(0.04))
        self.wait_for_tiles(20, run)
        os.kill(run.workers()[0], signal.SIGSTOP)
        run.wait()
        run.wait_until_gone()
        self.assert_whole()

    def test_hanging_tile(self):
        """One that never ends on one worker ends on another, once nothing else is left to do."""
        run = self.start_run("--workers", 2, faults="hang@23x1")
        run.wait()
        run.wait_until_gone()
        self.assert_whole()

    def test_poison_tile(self):
        coverage = self.path("coverage.geojson")
        run = self.start_run("--workers", 2, "--coverage", coverage, faults="kill@17")
        said = run.wait(3)
        self.assertRegex(said, r"tile=17\b")
        self.assert_whole(quarantined=1)
        states = {}
        for feature in json.loads(read_file(coverage))["features"]:
            states[feature["properties"]["tile"]] = feature["properties"]
        self.assertEqual(len(states), self.tiles)
        self.assertEqual([tile for tile, told in states.items() if told["state"] == "quarantined"], [17])
        self.assertEqual(states[17]["attempts"], 3)
        self.assertIn("died", states[17]["reason"])
        self.assertTrue(all(told["state"] == "done" for tile, told in states.items() if tile != 17))

    def test_straggler(self):
        """The last tile of a slow worker runs a second time on an idle one, and the job does not wait for the first."""
        url = f"tcp://127.0.0.1:{free_port()}"
        run = self.start_run("--listen", url, "--insecure", "--no-local-worker")
        last = self.tiles - 1
        slow = self.start_worker(url, "--insecure", faults=self.slow(10 * PATIENCE, range(last - 40, last + 1)))
        wait_for("the slow worker", lambda: self.settled() >= 1)
        self.start_worker(url, "--insecure")
        run.wait()
        self.assert_whole()
        slow.kill()

    def test_asked_to_leave(self):
        """SIGUSR1 drains one worker: no tile is lost or tried again, and it is not replaced."""
        run = self.start_run("--workers", 2, faults=self.slow(0.05, range(160)))
        self.wait_for_tiles(20, run)
        leaver, stayer = wait_for("two workers", lambda: len(pids := run.workers()) == 2 and pids)
        os.kill(leaver, signal.SIGUSR1)
        wait_for("the worker's end", lambda: leaver not in run.family())
        self.assertTrue(run.running(), run.tell())
        self.assertEqual(run.workers(), [stayer])
        run.wait()
        self.assert_whole()

    @unittest.skipIf("address" in os.environ["PANTILE_SANITIZE"] or "thread" in os.environ["PANTILE_SANITIZE"],
                     "SKIPPED: sanitizers need more address space than any limit that shows something; pass this in a release build")
    def test_out_of_memory(self):
        """A worker with too little address space fails; the job ends well without it."""
        url = f"tcp://127.0.0.1:{free_port()}"
        run = self.start_run("--listen", url, "--insecure", faults=self.slow(0.02))
        self.wait_for_tiles(5, run)
        for mebibytes in (40, 120, 200, 280):
            self.start_worker(url, "--insecure", prefix=["prlimit", f"--as={mebibytes << 20}", "--core=0"])
        run.wait()
        self.assert_whole()


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
