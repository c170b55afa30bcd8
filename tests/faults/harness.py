"""What the fault tests share: jobs of real processes, what their ledger says, and a certain end for every process.

A process is found again by a mark in its environment, which all that it starts inherit: whatever its group or parent, it is
killed when the test is over. Nothing is timed; tests wait for facts, generously."""
import ctypes
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

import scenes

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
PROGRAM = os.environ["PANTILE"]
TOOLS = os.environ["PANTILE_FAULT_TOOLS"]  # folder of proxy and shims
MARK = "PANTILE_FAULT_TEST"
PATIENCE = 90  # seconds; a busy machine under ASan needs a few of them
TILE, OVERLAP = 128, 64


def wait_for(what, look, seconds=PATIENCE, pause=0.01):
    """The first true value that look() gives."""
    end = time.monotonic() + seconds
    while True:
        value = look()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)


def read_file(path, mode="r"):
    with open(path, mode, encoding=None if "b" in mode else "utf-8", errors=None if "b" in mode else "replace") as file:
        return file.read()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def shim(name, **variables):
    """Environment that preloads a shim. ASan wants to be the first library, unless told otherwise."""
    return {"LD_PRELOAD": os.path.join(TOOLS, "shims", f"shim_{name}.so"),
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0",
            **{"PANTILE_SHIM_" + key.upper(): str(value) for key, value in variables.items()}}


class Counter:
    """A number in a file, counted up by shims of any process; survives kill -9."""

    def __init__(self, path):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(8))

    def value(self):
        return int.from_bytes(read_file(self.path, "rb"), sys.byteorder)


class Process:
    """A program and all that it starts, with its streams in files."""

    def __init__(self, folder, arguments, env=None, prefix=()):
        self.mark = uuid.uuid4().hex
        self.out, self.err = (os.path.join(folder, f"{self.mark}.{name}") for name in ("out", "err"))
        self.arguments = [*map(str, prefix), *map(str, arguments)]
        with open(self.out, "w", encoding="utf-8") as out, open(self.err, "w", encoding="utf-8") as err:
            self.begun = time.monotonic()
            self.popen = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                          start_new_session=True, cwd=folder, env={**os.environ, **(env or {}), MARK: self.mark})
        self.pid = self.popen.pid

    def family(self):
        """Living processes with this mark, itself included: {pid: command line}."""
        found = {}
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    if f"{MARK}={self.mark}".encode() in read_file(f"/proc/{name}/environ", "rb"):
                        found[int(name)] = read_file(f"/proc/{name}/cmdline", "rb").decode(errors="replace").split("\0")
                except OSError:
                    pass  # it has just ended
        return found

    def workers(self):
        """Pids of worker processes that are well on their way (past exec)."""
        return sorted(pid for pid, words in self.family().items() if "__worker" in words[:3])

    def signal(self, number):
        os.kill(self.pid, number)

    def running(self):
        return self.popen.poll() is None

    def wait(self, code=0, seconds=PATIENCE):
        """Waits for its end; the standard error it left. `code` is negative for a signal, None for any."""
        try:
            got = self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {seconds} s: {self.tell()}") from None
        if code is not None and got != code:
            raise AssertionError(f"exit code {got}, not {code}: {self.tell()}")
        return read_file(self.err)

    def wait_until_gone(self, seconds=PATIENCE):
        """Nothing that it started is left."""
        wait_for(f"the end of {self.family()}", lambda: not self.family(), seconds)

    def said(self):
        return read_file(self.err)

    def tell(self):
        return f"{' '.join(self.arguments)}\n{read_file(self.out)[-4000:]}\n{read_file(self.err)[-12000:]}"

    def kill(self):
        """Kills all there is, whatever state it is in."""
        while True:
            family = self.family()
            for pid in family:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if not family:
                break
            time.sleep(0.005)
        self.popen.wait()


class Ledger:
    """A job's ledger as the tests see it, also while a coordinator has it: from a copy, since that one holds it locked."""

    def __init__(self, folder):
        self.folder = folder

    def copy(self, place):
        """False when there is none, or when it was tidied up in the meantime."""
        names = [os.path.join(self.folder, "ledger.db" + end) for end in ("", "-wal")]
        journal = os.path.getsize(names[1]) if os.path.exists(names[1]) else 0
        try:
            for name in names[:1 + (journal > 0)]:
                shutil.copy(name, place)
        except FileNotFoundError:
            return False
        return journal <= (os.path.getsize(names[1]) if os.path.exists(names[1]) else 0)

    def rows(self, query):
        """None when there is no such table yet."""
        with tempfile.TemporaryDirectory(prefix="pantile-look-") as place:
            if not self.copy(place):
                return None
            connection = sqlite3.connect(os.path.join(place, "ledger.db"))
            try:
                return connection.execute(query).fetchall()
            except sqlite3.DatabaseError:
                return None
            finally:
                connection.close()

    def settled(self):
        rows = self.rows("SELECT count(*) FROM tiles")
        return rows[0][0] if rows else 0


class Case(unittest.TestCase):
    """Each test has a folder of its own; the class has a scene, its truth and the output of a run without faults."""
    scene_size = (1280, 960)

    @classmethod
    def setUpClass(cls):
        cls.shared = tempfile.mkdtemp(prefix="pantile-faults-")
        cls.addClassCleanup(shutil.rmtree, cls.shared, ignore_errors=True)
        cls.scene = scenes.Scene(os.path.join(cls.shared, "scene.tif"), *cls.scene_size)
        cls.truth = os.path.join(cls.shared, "truth.geojson")
        scenes.write_truth(cls.truth, cls.scene)
        columns, rows = cls.scene.tiles(TILE, OVERLAP)
        cls.tiles = columns * rows
        out = os.path.join(cls.shared, "reference.geojson")
        Process(cls.shared, [PROGRAM, *cls.run_words(out), "--workers", 1]).wait()
        cls.reference = read_file(out, "rb")

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="pantile-faults-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.out, self.job = self.path("out.geojson"), self.path("job")

    def path(self, *names):
        return os.path.join(self.dir, *names)

    @classmethod
    def run_words(cls, out, *more, scene=None):
        return ["run", scene or cls.scene.path, "-o", out, "--engine", "oracle:" + cls.truth, "--gsd", "native", "--simplify",
                0, "--tile", TILE, "--overlap", OVERLAP, *more]

    def start(self, *arguments, env=None, prefix=()):
        process = Process(self.dir, arguments, env, prefix)
        self.addCleanup(process.kill)
        return process

    def start_run(self, *more, faults=None, env=None, prefix=(), scene=None):
        """The standard job, with what the oracle of its workers shall suffer."""
        env = {**(env or {}), **({"PANTILE_TEST_FAULTS": faults} if faults else {})}
        return self.start(PROGRAM, *self.run_words(self.out, "--job-dir", self.job, *more, scene=scene), env=env,
                          prefix=prefix)

    def start_worker(self, url, *more, faults=None, env=None, prefix=()):
        env = {**(env or {}), **({"PANTILE_TEST_FAULTS": faults} if faults else {})}
        return self.start(PROGRAM, "worker", "--connect", url, "--root", "/", *more, env=env, prefix=prefix)

    def slow(self, seconds, tiles=None):
        """Faults that make tiles (all by default) take so long."""
        return ",".join(f"slow@{tile}:{seconds}" for tile in (tiles if tiles is not None else range(self.tiles)))

    def settled(self):
        return Ledger(self.job).settled()

    def wait_for_tiles(self, count, process=None):
        """Waits until so many tiles are in the ledger; the process shall live meanwhile."""
        def look():
            if process and not process.running():
                raise AssertionError(f"ended before {count} tiles: {process.tell()}")
            return self.settled() >= count
        wait_for(f"{count} tiles in the ledger", look, pause=0.05)

    def wait_for_standstill(self):
        """Waits until no tile has come to the ledger for a second; how many there are."""
        count, since = self.settled(), time.monotonic()
        def look():
            nonlocal count, since
            if self.settled() != count:
                count, since = self.settled(), time.monotonic()
            return time.monotonic() - since >= 1
        wait_for("tiles to come no more", look, pause=0.1)
        return count

    def assert_same_output(self, out=None):
        self.assertEqual(read_file(out or self.out, "rb"), self.reference, "the output differs from that without faults")

    def verify(self, code=0):
        """What `pantile verify` counts in the job's ledger."""
        done = self.start(PROGRAM, "verify", self.job, "--json")
        done.wait(code)
        return json.loads(read_file(done.out))

    def assert_whole(self, quarantined=0):
        """Every tile is in the ledger once, and the output is that of a run without faults."""
        counts = self.verify(3 if quarantined else 0)
        for name, value in (("tiles", self.tiles), ("quarantined", quarantined), ("missing", 0), ("doubled", 0), ("foreign", 0),
                            ("damaged", 0), ("complete", True)):
            self.assertEqual(counts[name], value, counts)
        if not quarantined:
            self.assert_same_output()
        return counts


def keys(case):
    """Options of a coordinator and of a worker that trust each other."""
    case.start(PROGRAM, "keygen", case.path("coordinator")).wait()
    case.start(PROGRAM, "keygen", case.path("worker"), "--server", case.path("coordinator.pub")).wait()
    return (["--keys", case.path("coordinator.key"), "--allow", case.path("worker.pub")],
            ["--keys", case.path("worker.key")])


def mount_small(case, size):
    """A file system of so many bytes, gone with the test."""
    folder = case.path("small")
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], capture_output=True, text=True,
                          check=False)
    if done.returncode:
        case.skipTest(f"SKIPPED: a disk that runs full needs the right to mount: {done.stderr.strip()}")
    case.addCleanup(subprocess.run, ["umount", "-l", folder], check=False, capture_output=True)
    return folder


def rss_bytes(pid):
    return int(read_file(f"/proc/{pid}/statm").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: ctest's timeout must not leave a test behind
    unittest.main(argv=[sys.argv[0], *sys.argv[1:]], verbosity=2)
