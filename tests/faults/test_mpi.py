"""Under mpirun: ranks and workers die, the launcher is told to stop or dies itself."""
import os
import shutil
import signal
import unittest

from harness import PROGRAM, SOURCE, Case, main, read_file, wait_for

LAUNCHER = os.path.join(SOURCE, "scripts", "pantile-mpirun")


@unittest.skipUnless(shutil.which("mpirun"), "SKIPPED: there is no mpirun here")
class Mpi(Case):
    ranks = 3

    def start_ranks(self, *more, faults=None):
        # What Open MPI leaks takes seconds to be told apart from ours, at the end of each rank.
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0",
               **({"PANTILE_TEST_FAULTS": faults} if faults else {})}
        return self.start(LAUNCHER, "-n", self.ranks, PROGRAM, *self.run_words(self.out, "--job-dir", self.job, *more), env=env)

    @staticmethod
    def rank_of(pid):
        for entry in read_file(f"/proc/{pid}/environ", "rb").split(b"\0"):
            if entry.startswith(b"OMPI_COMM_WORLD_RANK="):
                return int(entry.partition(b"=")[2])
        return None

    def rank(self, run, number):
        """Pid of that rank's own process."""
        for pid, words in run.family().items():
            if words[0].endswith("pantile") and words[1:2] == ["run"] and self.rank_of(pid) == number:
                return pid
        return None

    def started(self, tiles=20, faults=None):
        run = self.start_ranks(faults=faults or self.slow(0.06))
        self.wait_for_tiles(tiles, run)
        wait_for("the workers", lambda: len(run.workers()) == self.ranks)
        return run

    def test_every_rank_works(self):
        run = self.started()
        self.assertEqual({self.rank_of(pid) for pid in run.workers()}, set(range(self.ranks)))
        run.wait()
        run.wait_until_gone()
        self.assert_whole()

    def test_worker_of_a_rank_killed(self):
        run = self.started(faults=self.slow(0.12))  # the successor comes before the job is done
        victim = next(pid for pid in run.workers() if self.rank_of(pid) == 2)
        os.kill(victim, signal.SIGKILL)
        wait_for("its successor", lambda: len(run.workers()) == self.ranks and victim not in run.workers())
        run.wait()
        run.wait_until_gone()
        self.assert_whole()

    def test_supervisor_killed(self):
        run = self.started()
        os.kill(self.rank(run, 2), signal.SIGKILL)
        run.wait(None)
        run.wait_until_gone()
        if run.popen.returncode:
            self.start_ranks("--resume").wait()
        self.assert_whole()

    def test_terminated(self):
        run = self.started()
        run.signal(signal.SIGTERM)
        run.wait(143)
        run.wait_until_gone()
        self.assertFalse(os.path.exists(self.out))
        self.start_ranks("--resume").wait()
        self.assert_whole()

    def test_launcher_killed(self):
        run = self.started()
        mpirun = next(pid for pid, words in run.family().items() if os.path.basename(words[0]) == "mpirun")
        os.kill(mpirun, signal.SIGKILL)
        run.wait(None)
        run.wait_until_gone()
        if not os.path.exists(self.out):
            self.start_ranks("--resume").wait()
        self.assert_whole()

    def test_exit_code(self):
        """What rank 0 says is what the launcher returns."""
        self.assertRegex(self.start_ranks(faults="kill@17").wait(3), r"tile=17\b")
        self.assert_whole(quarantined=1)


if __name__ == "__main__":
    main()
