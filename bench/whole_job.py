#!/usr/bin/python3
"""The whole job, GeoTIFF in and GeoJSON out: `pantile run` and geoai-py with the same weights, alternating.

    bench/whole_job.sh DATA MODEL [-- --rounds 5 --scenes NAME...]

geoai-py gets the scene resampled to the size that pantile run works at, which is not timed. It is timed twice: the job alone, in a
process that has its imports and the model already, and a whole process from its start to its end (less the conversion of the
model to its format). pantile run is always timed from its start to its end. Memory is the sum of the peaks of a side's processes.
The last row sums up the medians of the scenes.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SCENES = ["banepa_north_z19", "zanzibar_z21_a", "kampala_z21_a", "catanduanes_z21_a", "catanduanes_z21_b"]


def peaks_of_tree(root, peaks):
    """Notes the peak memory in MiB of a process and of all below it, by process."""
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        try:
            with open(f"/proc/{pid}/status", encoding="utf-8") as file:
                peaks.update({pid: int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM")})
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/children", encoding="utf-8") as file:
                    waiting += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile


def play(command):
    """Seconds and MiB of one command."""
    peaks, begin = {}, time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        peaks_of_tree(process.pid, peaks)
        time.sleep(0.01)
    if process.returncode != 0:
        sys.exit(f"ended with {process.returncode}: {' '.join(command)}")
    return time.monotonic() - begin, sum(peaks.values())


class Geoai:
    """A process of bench/geoai_job.py, which waits while the other side has its turn."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def turn(self):
        print("go", file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("{"):  # it says other things too
                told = json.loads(line)
                return told["seconds"], told["mib"]
        sys.exit(f"ended with {self.process.wait()}: {' '.join(self.process.args)}")

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def whole_geoai(command):
    """Seconds from the start of a process to its end, with one job between."""
    begin = time.monotonic()
    done = subprocess.run(command, input="go\n", stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    seconds = time.monotonic() - begin
    told = next(json.loads(line) for line in done.stdout.splitlines() if line.startswith("{"))
    return seconds - told["conversion"]


def resample(arguments, scene, path):
    """The scene at the size that pantile run works at, which a dump of its tiles tells."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([arguments.pantile, "run", scene, "--model", arguments.model, "-o", os.path.join(folder, "out.geojson"),
                        "--dump-tiles", os.path.join(folder, "tiles"), "--quiet"], check=True)
        with open(os.path.join(folder, "tiles", "tiles.json"), encoding="utf-8") as file:
            size = json.load(file)
    subprocess.run(["gdal_translate", "-q", "-r", "average", "-outsize", str(size["width"]), str(size["height"]), "-b", "1", "-b", "2",
                    "-b", "3", scene, path], check=True)
    return size["width"] * size["height"] / 1e6


def f1(arguments, predicted, scene):
    told = subprocess.run([arguments.pantile, "eval", predicted, scene[:-4] + ".truth.geojson", "--within", scene, "--json"], check=True,
                          stdout=subprocess.PIPE)
    return json.loads(told.stdout)["all"]["f1"]


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def measure(arguments, name, folder):
    scene = os.path.join(arguments.data, "scenes", name + ".tif")
    small, ours, theirs = (os.path.join(folder, file) for file in ("small.tif", "ours.geojson", "theirs.geojson"))
    megapixels = resample(arguments, scene, small)
    threads = ["--threads", str(arguments.threads)]
    run = [arguments.pantile, "run", scene, "--model", arguments.ours, "-o", ours, "--overwrite", "--quiet", *threads, *arguments.options]
    command = [arguments.geoai, os.path.join(HERE, "geoai_job.py"), arguments.model, small, theirs, "--chip", str(arguments.chip),
               *threads]
    geoai = Geoai(command)
    mine, other, whole = [], [], []
    for i in range(arguments.rounds):
        mine.append(play(run))
        other.append(geoai.turn())
        if i < arguments.starts:
            whole.append(whole_geoai(command))
    geoai.end()
    (mine, memory), (other, other_memory) = zip(*mine), zip(*other)
    print(f"| {name} | {megapixels:.1f} | {spread(mine, 2)} | {spread(other, 2)} | {spread([t / o for o, t in zip(mine, other)], 1)} "
          f"| {spread(whole, 2)} | {spread([t / o for o, t in zip(mine, whole)], 1)} "
          f"| {max(memory):.0f} | {max(other_memory):.0f} | {max(other_memory) / max(memory):.1f} "
          f"| {f1(arguments, ours, scene):.3f} | {f1(arguments, theirs, scene):.3f} |", flush=True)
    return [megapixels, *map(statistics.median, (mine, other, whole)), max(memory), max(other_memory)]


def print_sums(scenes):
    megapixels, mine, other, whole, memory, other_memory = zip(*scenes)
    print(f"| all | {sum(megapixels):.1f} | {sum(mine):.2f} | {sum(other):.2f} | {sum(other) / sum(mine):.1f} "
          f"| {sum(whole):.2f} | {sum(whole) / sum(mine):.1f} "
          f"| {max(memory):.0f} | {max(other_memory):.0f} | {max(other_memory) / max(memory):.1f} | | |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--model", required=True)
    parser.add_argument("--ours", help="the file that pantile run takes, such as a calibrated one")
    parser.add_argument("--pantile", required=True)
    parser.add_argument("--geoai", required=True, help="the Python interpreter of its environment")
    parser.add_argument("--chip", type=int, default=512, help="side of geoai-py's tiles; 512 is its default")
    parser.add_argument("--scenes", nargs="+", default=SCENES)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=2, help="rounds in which geoai-py is also timed as a whole process")
    parser.add_argument("--options", nargs="*", default=[], help="further options of pantile run, as --options=--precision=int8")
    arguments = parser.parse_args()
    arguments.ours = arguments.ours or arguments.model
    if not 1 <= arguments.starts <= arguments.rounds:
        parser.error("--starts: must be 1 to the number of rounds")
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, geoai-py's tiles of {arguments.chip} pixels, "
          f"load {os.getloadavg()[0]:.1f} at the start\n")
    print("| scene | Mpx | pantile run, s | geoai-py, job alone, s | times as long | geoai-py, whole process, s | times as long "
          "| pantile, MiB | geoai-py, MiB | times as much | F1 | F1 geoai-py |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        print_sums([measure(arguments, name, folder) for name in arguments.scenes])


if __name__ == "__main__":
    main()
