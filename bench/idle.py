#!/usr/bin/python3
"""CPU of processes that have nothing to do, as a share of one core: a coordinator whose only tile is out, a worker without
work, and the supervisor of a worker (`pantile worker`). docs/performance.md quotes it.

    bench/idle.py [--seconds 20]
"""
import argparse
import os
import subprocess
import tempfile
import time

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PANTILE = os.environ.get("PANTILE", os.path.join(HERE, "build", "release", "cli", "pantile"))
TICK = os.sysconf("SC_CLK_TCK")


def ticks(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def wait_for(path):
    for _ in range(600):
        if os.path.exists(path):
            return
        time.sleep(0.1)
    raise TimeoutError(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out.geojson")
        # The one tile sleeps on the worker that got it; whoever has it, all others wait.
        slow = {**os.environ, "PANTILE_TEST_FAULTS": f"slow@0:{seconds + 30}"}
        run = subprocess.Popen([PANTILE, "run", os.path.join(HERE, "examples", "zanzibar.tif"), "--engine",
                                f"oracle:{HERE}/examples/zanzibar.truth.geojson", "--tile", "4096", "--no-local-worker",
                                "--listen", "tcp://127.0.0.1:*", "-o", out, "--quiet"], env=slow)
        wait_for(out + ".pantile/endpoint")
        with open(out + ".pantile/endpoint", encoding="ascii") as file:
            endpoint = file.read().strip()
        crews = [subprocess.Popen([PANTILE, "worker", "--connect", endpoint, "--keys", out + ".pantile/worker.key"], env=slow)
                 for _ in range(2)]
        time.sleep(8)
        pids = {"coordinator": run.pid}
        for i, crew in enumerate(crews):
            pids[f"supervisor {i + 1}"] = crew.pid
            for child in children(crew.pid):
                pids[f"worker {i + 1}"] = child
        before = {name: ticks(pid) for name, pid in pids.items()}
        time.sleep(seconds)
        for name, pid in pids.items():
            print(f"{name}: {(ticks(pid) - before[name]) / TICK / seconds:.2%} of a core over {seconds:g} s")
        for process in [*crews, run]:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
