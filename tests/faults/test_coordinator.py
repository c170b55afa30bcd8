"""The coordinator dies, is told to stop, or its disk is full: what was committed stands, --resume does the rest, and the output
is the same."""
import os
import shutil
import signal
import subprocess

from harness import Case, Ledger, free_port, keys, main, mount_small, read_file, shim, wait_for


def rows_of(case):
    """What is known of each tile; how long it took tells one run of a tile from another."""
    return set(Ledger(case.job).rows("SELECT tile, worker, attempts, read_seconds, infer_seconds, digest FROM tiles") or ())


class Killed(Case):
    def test_resumes(self):
        run = self.start_run("--workers", 2, faults=self.slow(0.04))
        self.wait_for_tiles(60, run)
        run.signal(signal.SIGKILL)
        run.wait(-signal.SIGKILL)
        run.wait_until_gone()  # no worker is left behind
        before = rows_of(self)
        self.assertFalse(os.path.exists(self.out))
        self.assertEqual(self.verify(2)["missing"], self.tiles - len(before))
        self.start_run("--workers", 2, "--resume").wait()
        self.assertLessEqual(before, rows_of(self), "a committed tile was run again")
        self.assert_whole()

    def test_resumes_again_and_again(self):
        for count in (30, 90, 150):
            run = self.start_run("--workers", 2, *(["--resume"] if count > 30 else []), faults=self.slow(0.04))
            self.wait_for_tiles(count, run)
            run.kill()
        self.start_run("--resume").wait()
        self.assert_whole()

    def test_finished_job_is_not_run_again(self):
        self.start_run().wait()
        before = rows_of(self)
        self.start_run("--resume").wait(None)
        self.assertEqual(rows_of(self), before)
        self.assert_whole()

    def test_regains_outside_workers(self):
        """They wait for a coordinator that is started again at the same address with the same keys, and work on."""
        for_run, for_worker = keys(self)
        url = f"tcp://127.0.0.1:{free_port()}"
        run = self.start_run("--listen", url, "--no-local-worker", *for_run)
        worker = self.start_worker(url, *for_worker, faults=self.slow(0.03))
        self.wait_for_tiles(40, run)
        process, = worker.workers()
        run.kill()
        before = rows_of(self)
        again = self.start_run("--listen", url, "--no-local-worker", *for_run, "--resume")
        self.wait_for_tiles(len(before) + 20, again)
        self.assertEqual(worker.workers(), [process])
        again.wait()
        worker.wait()
        self.assertLessEqual(before, rows_of(self), "a committed tile was run again")
        self.assert_whole()

    def test_one_coordinator_at_a_time(self):
        run = self.start_run(faults=self.slow(0.05, range(120)))
        self.wait_for_tiles(5, run)
        second = self.start_run("--resume")
        self.assertIn(self.job, second.wait(2))
        run.wait()
        self.assert_whole()


class KilledAtWrite(Case):
    """kill -9 at the n-th change of a file: ledger, keys, spool, output. Every n in bench/faults.sh, some here."""
    scene_size = (512, 384)

    def setUp(self):
        super().setUp()
        self.place = self.path("place")
        os.mkdir(self.place)
        self.out, self.job = os.path.join(self.place, "out.geojson"), os.path.join(self.place, "job")

    def run_shimmed(self, **how):
        """Workers are not concerned: they change nothing there."""
        return self.start_run(env=shim("files", path=self.place + "/", log=self.path("calls"), **how))

    def count_writes(self):
        self.run_shimmed().wait()
        self.assert_whole()
        return len(read_file(self.path("calls")).splitlines())

    def kill_and_resume(self, place, torn):
        """True when it was killed; batches differ from run to run, and so does their number. Tiles that were committed, and
        how they stood before and after."""
        shutil.rmtree(self.place)
        os.mkdir(self.place)
        os.remove(self.path("calls"))
        run = self.run_shimmed(**{"tear_at" if torn else "kill_at": place})
        run.wait(None)
        run.wait_until_gone()
        killed = run.popen.returncode == -signal.SIGKILL
        if not killed:
            self.assertEqual(run.popen.returncode, 0, run.tell())
            self.assertLess(len(read_file(self.path("calls")).splitlines()), place)
        before = rows_of(self)
        again = self.start_run("--resume")
        again.wait(None)
        if again.popen.returncode == 2:  # it died before there was a job
            self.assertEqual(before, set(), again.tell())
            self.assertIn("no job", again.said())
            self.start_run().wait()
        else:
            self.assertEqual(again.popen.returncode, 0, again.tell())
            self.assertLessEqual(before, rows_of(self), "a committed tile was run again")
        self.assert_whole()
        return killed

    def test_some_writes(self):
        """In the midst of the first change of each file, and at a few others."""
        total = self.count_writes()
        self.assertGreater(total, 20)
        files = {}
        for number, line in enumerate(read_file(self.path("calls")).splitlines(), 1):
            name = os.path.basename(line.split(" ", 3)[3])
            files.setdefault(name.partition(".key.")[0], number)
        self.assertGreater(len(files), 4)
        for place in sorted({*files.values(), total // 2, total - 1, total}):
            with self.subTest(write=place, of=total):
                self.kill_and_resume(place, torn=place in files.values())


class Stopped(Case):
    def stop(self, number, code):
        run = self.start_run("--workers", 2, faults=self.slow(0.05))
        self.wait_for_tiles(30, run)
        run.signal(number)
        run.wait(code)
        run.wait_until_gone()
        self.assertFalse(os.path.exists(self.out))
        self.assertLess(self.settled(), self.tiles)
        self.assertGreaterEqual(self.settled(), 30)
        self.start_run("--resume").wait()
        self.assert_whole()

    def test_interrupt(self):
        self.stop(signal.SIGINT, 130)

    def test_terminate(self):
        self.stop(signal.SIGTERM, 143)

    def test_second_signal_quits_at_once(self):
        """The first would wait for a tile that takes longer than any test."""
        run = self.start_run("--workers", 2, faults=self.slow(3600, [40, 41, 42]))
        self.wait_for_tiles(30, run)
        self.wait_for_standstill()  # all workers hold a slow one
        run.signal(signal.SIGTERM)
        wait_for("the coordinator to take notice", lambda: "second signal" in run.said() or not run.running())
        self.assertTrue(run.running(), run.tell())
        run.signal(signal.SIGTERM)
        run.wait(143)
        run.wait_until_gone()
        self.start_run("--resume").wait()
        self.assert_whole()


class FullDisk(Case):
    def test_output(self):
        small = mount_small(self, "16k")
        self.out = os.path.join(small, "out.geojson")
        with open(self.out, "w", encoding="utf-8") as file:
            file.write("precious")
        run = self.start_run("--overwrite")
        self.assertIn(small, run.wait(4))  # or a file in it: what is spooled there comes first
        self.assertEqual(read_file(self.out), "precious")
        before = self.settled()
        self.assertEqual(before, self.tiles)
        subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
        self.start_run("--resume", "--overwrite").wait()
        self.assert_whole()
        self.assertEqual(os.listdir(small), ["out.geojson"])

    def test_ledger(self):
        """What was acknowledged is there when the disk has room again; what was not is done again."""
        small = mount_small(self, "200k")
        self.job = os.path.join(small, "job")
        run = self.start_run("--workers", 2)
        self.assertIn(self.job, run.wait(4))
        run.wait_until_gone()
        self.assertFalse(os.path.exists(self.out))
        self.assertLess(self.settled(), self.tiles)
        subprocess.run(["mount", "-o", "remount,size=16m", small], check=True)
        self.start_run("--resume").wait()
        self.assert_whole()


class Clock(Case):
    def test_jumps(self):
        """The wall clock jumps a day back and a year ahead in all processes: no lease ends, nothing is tried again."""
        file = self.path("jump")
        run = self.start_run("--workers", 2, faults=self.slow(0.04), env=shim("clock_jump", jump=file))
        for seconds in (-86400, 31536000, -86400, 0):
            self.wait_for_tiles(self.settled() + 20, run)
            with open(file + ".new", "w", encoding="utf-8") as out:
                out.write(str(seconds))
            os.rename(file + ".new", file)
        run.wait()
        self.assert_whole()
        self.assertEqual(Ledger(self.job).rows("SELECT count(*) FROM tiles WHERE attempts != 1"), [(0,)])


if __name__ == "__main__":
    main()
