"""Peers that should not be there: hostile ones, ones without a key, workers with another model or scene."""
import hashlib
import os
import random
import shutil
import time

import zmtp
from harness import PROGRAM, Case, free_port, keys, main, read_file, rss_bytes

MEBIBYTE = 1 << 20


class Hostile(Case):
    """A running job is told nonsense on its port: it neither falters nor swells."""

    def attack(self, port, seconds=2.5):
        """Every kind of nonsense in turn, each once at least, until the time is over; what was tried is counted."""
        source, tried = random.Random(9), 0
        silent = [zmtp.connect(port) for _ in range(50)]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for mechanism in (b"NULL", b"CURVE"):
                for nonsense in self.nonsense(source):
                    peer = zmtp.greet(port, mechanism)
                    for piece in nonsense:
                        if not zmtp.send(peer, piece):
                            break
                    peer.close()
                    tried += 1
        for peer in silent:
            peer.close()
        return tried

    @staticmethod
    def nonsense(source):
        noise = source.randbytes(2000)
        yield [noise]
        yield [zmtp.ready(), zmtp.frame(b"", size=1 << 62)]
        yield [zmtp.ready(), zmtp.frame(b"", size=(1 << 63) + 5)]
        yield [zmtp.ready(), *(zmtp.frame(source.randbytes(source.randrange(200))) for _ in range(50))]
        yield [zmtp.ready(), *(zmtp.frame(bytes(MEBIBYTE), more=True) for _ in range(16))]
        yield [zmtp.ready(), *(zmtp.frame(b"", more=True) for _ in range(2000))]
        yield [zmtp.ready(b"ROUTER"), zmtp.ready(b"PUB"), zmtp.frame(noise)]
        yield [zmtp.command(b"HELLO", source.randbytes(190))]
        yield [zmtp.command(b"ERROR", b"\xff")]

    def attacked_run(self, *security):
        port = free_port()
        run = self.start_run("--listen", f"tcp://127.0.0.1:{port}", *security, faults=self.slow(0.05, range(180)))
        self.wait_for_tiles(20, run)
        before = rss_bytes(run.pid)
        self.assertGreaterEqual(self.attack(port), 18)  # however slow the machine is
        self.assertTrue(run.running(), run.tell())
        grown = rss_bytes(run.pid) - before
        if not os.environ["PANTILE_SANITIZE"]:  # sanitizers keep freed memory for a while
            self.assertLess(grown, 64 * MEBIBYTE)
        run.wait()
        self.assert_whole()

    def test_with_keys(self):
        self.attacked_run()

    def test_insecure(self):
        self.attacked_run("--insecure")


class Strangers(Case):
    def test_worker_without_a_key_on_the_list(self):
        for_run, for_worker = keys(self)
        self.start(PROGRAM, "keygen", self.path("stranger"), "--server", self.path("coordinator.pub")).wait()
        url = f"tcp://127.0.0.1:{free_port()}"
        run = self.start_run("--listen", url, "--no-local-worker", *for_run)
        stranger = self.start_worker(url, "--keys", self.path("stranger.key"), "--coordinator-timeout", 5)
        self.assertNotEqual(stranger.wait(None), "")
        self.assertNotEqual(stranger.popen.returncode, 0)
        self.assertEqual(self.settled(), 0)
        self.start_worker(url, *for_worker)
        run.wait()
        self.assert_whole()


class OtherFiles(Case):
    """A worker whose files are not the coordinator's is refused, before it has a tile."""

    def root_with(self, change):
        root = self.path("root")
        for path in (self.scene.path, self.truth):
            os.makedirs(root + os.path.dirname(path), exist_ok=True)
            shutil.copy(path, root + path)
        changed = root + change
        data = bytearray(read_file(changed, "rb"))
        data[-10] ^= 0x20 if change == self.truth else 0x01
        with open(changed, "wb") as file:
            file.write(data)
        return root, changed

    def refused(self, change):
        root, changed = self.root_with(change)
        url = f"tcp://127.0.0.1:{free_port()}"
        run = self.start_run("--listen", url, "--insecure", "--no-local-worker")
        wrong = self.start(PROGRAM, "worker", "--connect", url, "--insecure", "--root", root)
        said = wrong.wait(None)
        self.assertNotIn(wrong.popen.returncode, (0, 1))
        self.assertEqual(self.settled(), 0)
        good = self.start_worker(url, "--insecure")
        run.wait()
        good.wait()
        self.assert_whole()
        return said, run.said(), changed

    def test_model(self):
        said, told, changed = self.refused(self.truth)
        for path in (self.truth, changed):
            digest = hashlib.sha256(read_file(path, "rb")).hexdigest()
            self.assertIn(digest[:16], said)
            self.assertIn(digest[:16], told)

    def test_scene(self):
        said, told, _ = self.refused(self.scene.path)
        self.assertIn(os.path.basename(self.scene.path), said)
        self.assertIn(os.path.basename(self.scene.path), told)


class BadModel(Case):
    def test_refused_before_any_work(self):
        bad = self.path("bad.safetensors")
        with open(bad, "wb") as file:
            file.write((1 << 62).to_bytes(8, "little") + b"{}")
        run = self.start(PROGRAM, "run", self.scene.path, "-o", self.out, "--job-dir", self.job, "--model", bad)
        self.assertIn("bad.safetensors", run.wait(2))
        self.assertFalse(os.path.exists(self.job))
        self.assertFalse(os.path.exists(self.out))


if __name__ == "__main__":
    main()
