"""The network between coordinator and workers: cut, doubled, late, lossy."""
import json
import signal
import time

from harness import Case, free_port, keys, main, read_file
from network import SERVER, Network, Proxy


class Cut(Case):
    seconds = 9  # longer than both ends' patience with a silent connection; bench/faults.sh cuts for 30 s

    def test_cut_and_healed(self):
        network = Network(self)
        for_run, for_worker = keys(self)
        url = f"tcp://{SERVER}:5555"
        run = self.start_run("--listen", url, "--no-local-worker", *for_run, prefix=network.at(network.server))
        worker = self.start_worker(url, *for_worker, faults=self.slow(0.04), prefix=network.at(network.client))
        self.wait_for_tiles(40, run)
        network.cut()
        during = self.wait_for_standstill()  # what was on its way has arrived or is lost
        time.sleep(self.seconds)
        self.assertEqual(self.settled(), during)
        self.assertTrue(run.running() and worker.running(), run.tell() + worker.tell())
        network.heal()
        run.wait()
        worker.wait()
        self.assert_whole()


class Proxied(Case):
    def run_behind(self, first_seed=1, **faults):
        """What two proxies did between a job and its two workers."""
        url = f"tcp://127.0.0.1:{free_port()}"
        run = self.start_run("--listen", url, "--insecure", "--no-local-worker")
        proxies = [Proxy(self, url, seed=seed, **faults) for seed in (first_seed, first_seed + 1)]
        for proxy in proxies:
            self.start_worker(proxy.url, "--insecure", "--coordinator-timeout", 60, faults=self.slow(0.002))
        run.wait()
        self.assert_whole()
        done = []
        for proxy in proxies:
            proxy.process.signal(signal.SIGTERM)
            proxy.process.wait()
            done.append(json.loads(read_file(proxy.process.out).splitlines()[-1]))
        return {name: sum(told[name] for told in done) for name in done[0]}

    def test_everything_doubled(self):
        done = self.run_behind(doubled=1000, late_ms=200)
        self.assertEqual(done["doubled"], done["passed"])

    def test_reordered(self):
        self.assertGreater(self.run_behind(late=300, late_ms=300)["late"], 100)

    def test_doubled_reordered_and_lost(self):
        done = self.run_behind(doubled=100, late=100, late_ms=200, lost=20)
        for name in ("doubled", "late", "lost"):
            self.assertGreater(done[name], 0, done)


if __name__ == "__main__":
    main()
