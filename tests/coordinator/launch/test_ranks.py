"""Ranks under a real mpirun learn what rank 0 knows, at no cost, and leave. Usage: test_ranks.py PROGRAM"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv[1]
FREE = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
LAUNCHERS = ("OMPI_", "PMI", "SLURM_")


def clean():
    """This test's own launcher, if any, is not ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}


class Ranks(unittest.TestCase):
    def start(self, ranks, *arguments, options=(), environment=()):
        command = ["mpirun", "--oversubscribe", *options, "-n", str(ranks), PROGRAM, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240,
                              env={**clean(), **FREE, **dict(environment)}, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return sorted((json.loads(line) for line in done.stdout.splitlines()), key=lambda r: r["rank"])

    def test_all_learn(self):
        for ranks in (2, 3, 5):
            told = self.start(ranks, "good")
            self.assertEqual([r["rank"] for r in told], list(range(ranks)))
            for r in told:
                self.assertEqual((r["mpi"], r["size"], r["local_size"], r["hosts"]), (True, ranks, ranks, 1))
                self.assertEqual((r["endpoint"], r["secret"], r["server"], r["digest"], r["failed"]),
                                 ("tcp://127.0.0.1:5555", "a secret", "a public key", 0xab, False))
            self.assertEqual(sorted(r["local_rank"] for r in told), list(range(ranks)))

    def test_cores_are_shared(self):
        cores = len(os.sched_getaffinity(0))
        for ranks in (2, 3):
            told = self.start(ranks, "good", options=("--bind-to", "none"))
            self.assertEqual(sum(r["cores"] for r in told), max(cores, ranks))

    def test_rank_0_failed(self):
        for r in self.start(3, "failed"):
            self.assertTrue(r["failed"])

    def test_waiting_costs_nothing(self):
        for r in self.start(2, "slow")[1:]:
            self.assertLess(r["cpu"], 1.0)  # of two seconds; a blocked MPI_Bcast takes them all

    def test_one_rank_is_alone(self):
        alone, = self.start(1, "good")
        self.assertFalse(alone["mpi"])

    def test_code(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "code")
            self.start(3, "code", "3", environment={"PANTILE_EXIT_FILE": path}.items())
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), "3\n")

    def test_launcher_without_mpi(self):
        """srun without PMI starts several processes that each think they are alone: refused, not run twice."""
        done = subprocess.run([PROGRAM, "good"], capture_output=True, text=True, timeout=240, check=False,
                              env={**clean(), **FREE, "PMI_SIZE": "2", "PMI_RANK": "0"})
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("--mpi=pmix", done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
