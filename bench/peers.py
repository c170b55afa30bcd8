"""Times the peers and `pantile bench` side by side on the same tiles; bench/peers.sh prepares what it needs and starts it.

Every peer is a process of its own (bench/peer.py) that waits while another one has its turn; a round gives each a turn, in
another order every time. Ours is `pantile bench`, started anew each round. All compute 1,000 proposals, the heads on all of
them, and masks for 100 detections; a peer with another count ends the run.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DETECTIONS, PROPOSALS = 100, 1000
NEW_SHAPES = [(768, 1024), (1024, 896), (896, 768)]


class Peer:
    """A process of bench/peer.py."""

    def __init__(self, label, arguments, kind, model, *options):
        self.label, self.seconds, self.busy = label, [], []
        command = [sys.executable, os.path.join(HERE, "peer.py"), kind, model, *arguments.tiles,
                   "--threads", str(arguments.threads), *options]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        ready = self.answer()
        check_count(label, ready["detections"], ready["most"])
        self.precision = ready["precision"]

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            command = " ".join(self.process.args)
            sys.exit(f"{self.label}: ended with {self.process.wait()}; to see why: {command}")
        return json.loads(line)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        return self.answer()

    def turn(self):
        told = self.ask("go")
        self.seconds.append(told["seconds"])
        self.busy.append(told["busy"])

    def peak(self):
        return self.ask("peak")["mib"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def check_count(label, least, most):
    if (least, most) != (DETECTIONS, DETECTIONS):
        sys.exit(f"{label}: masks for {least} to {most} detections instead of {DETECTIONS}; choose fuller tiles")


class Ours:
    """A program of ours that measures itself, started anew for each turn; its peak memory is the greatest of its turns."""

    def __init__(self, label, command):
        self.label, self.command, self.seconds, self.busy, self.told = label, command, [], [], []
        self.turn()  # warms the files' cache, as loading does for the peers
        self.seconds.clear()
        self.busy.clear()

    def turn(self):
        answer = subprocess.run(self.command, stdout=subprocess.PIPE, check=False, text=True)
        if answer.returncode != 0:
            sys.exit(f"{self.label}: ended with {answer.returncode}: {' '.join(self.command)}")
        told = json.loads(answer.stdout)
        count = int(told["detections"])
        check_count(self.label, count, count)
        self.seconds.append(told["ms_per_tile"]["median"] / 1e3)
        self.busy.append(told["cpu_ms_per_tile"] / 1e3)
        self.precision = told["precision"]
        self.told.append(told)

    def peak(self):
        return max(told["peak_rss_mib"] for told in self.told)

    def end(self):
        pass


def pantile_bench(label, arguments, model, *options):
    images = [word for tile in arguments.tiles for word in ("--image", tile)]
    return Ours(label, [arguments.pantile, "bench", "--model", model, "--threads", str(arguments.threads), "--score", "0",
                        "--detections", str(DETECTIONS), "--proposals", str(PROPOSALS), "--rounds", "2", "--json", *images, *options])


def pantile_instances(label, arguments, model, precision):
    program = os.path.join(os.path.dirname(arguments.pantile), "..", "bench", "bench_instances")
    return Ours(label, [program, model, precision, str(arguments.threads), str(DETECTIONS), "2", *arguments.tiles])


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rotate(sides, rounds):
    """Every side has its turn in every round, the order shifted by one each time."""
    for number in range(rounds):
        shift = number % len(sides)
        for side in sides[shift:] + sides[:shift]:
            side.turn()
        print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


def print_table(title, sides):
    """Ratios are to the fastest of ours, round by round. Processor time is what the clock would show on a machine without
    other work, times the threads, if no thread waited; those that wait by spinning have it counted."""
    ours = min((side for side in sides if isinstance(side, Ours)), key=lambda side: statistics.median(side.seconds), default=None)
    print(f"\n## {title}\n\n| engine | computes in | s a tile: median (least to most) | times ours | processor s, least | peak RSS, MiB |")
    print("|---|---|---|---|---|---|")
    for side in sides:
        ratio = "" if ours is None or side is ours else spread([t / o for t, o in zip(side.seconds, ours.seconds)], 2)
        print(f"| {side.label} | {side.precision} | {spread(side.seconds, 3)} | {ratio} | {min(side.busy):.3f} | {side.peak():.0f} |", flush=True)


def print_new_shapes(sides):
    lines = []
    for side in sides:
        costs = []
        if isinstance(side, Ours) and "new_size_ms" in side.told[0]:
            costs = [told["new_size_ms"] for told in side.told]
        elif isinstance(side, Peer) and side.label == "OpenVINO, 1 stream":
            costs = [1e3 * side.ask("shape", *shape)["seconds"] for shape in NEW_SHAPES]
        if costs:
            lines.append(f"| {side.label} | {spread(costs, 1)} |")
    if lines:
        print("\n| engine | a new input shape, ms beyond a later tile: median (least to most) |\n|---|---|", *lines, sep="\n", flush=True)


def compare(title, openers, rounds):
    """`openers` start the sides, one after the other; all of them run until the end."""
    sides = [opener() for opener in openers]
    rotate(sides, rounds)
    print_table(title, sides)
    print_new_shapes(sides)
    for side in sides:
        side.end()


def measure(arguments, model):
    name = os.path.splitext(os.path.basename(model))[0]
    folder = os.path.join(arguments.folder, name)
    fp32, int8 = (os.path.join(folder, file + ".onnx") for file in ("fp32", "int8"))
    ours8 = os.path.join(folder, "ours.int8.safetensors")

    def peer(label, *rest):
        return lambda: Peer(label, arguments, *rest)

    def ours(make, label, *rest):
        return [lambda: make(label, arguments, *rest)] if arguments.ours else []

    compare(f"{name}, FP32", ours(pantile_bench, "Pantile, 1 stream", model, "--precision", "fp32", "--streams", "1")
            + ours(pantile_bench, "Pantile, 2 streams", model, "--precision", "fp32", "--streams", "2")
            + [peer("torchvision", "torchvision", model), peer("ONNX Runtime", "onnxruntime", fp32),
               peer("OpenVINO, 1 stream", "openvino", fp32), peer("OpenVINO, 2 streams", "openvino", fp32, "--streams", "2"),
               peer("OpenVINO, its default precision", "openvino", fp32, "--precision", "default")], arguments.rounds)
    compare(f"{name}, INT8", ours(pantile_bench, "Pantile, 1 stream", ours8, "--precision", "int8", "--streams", "1")
            + ours(pantile_bench, "Pantile, 2 streams", ours8, "--precision", "int8", "--streams", "2")
            + [peer("ONNX Runtime", "onnxruntime", int8), peer("OpenVINO, 1 stream", "openvino", int8),
               peer("OpenVINO, 2 streams", "openvino", int8, "--streams", "2")], arguments.rounds)
    compare(f"{name}, whole tile to run-length masks in scene pixels",
            ours(pantile_instances, "Pantile, INT8", ours8, "int8") + ours(pantile_instances, "Pantile, FP32", model, "fp32")
            + [peer("torchvision, masks pasted", "torchvision-rle", model)], arguments.rounds)


def has_command(pantile, name):
    return subprocess.run([pantile, name, "--help"], capture_output=True, check=False).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="where peer_models.py has left the models")
    parser.add_argument("--pantile", required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--tiles", nargs="+", required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.ours = all(has_command(arguments.pantile, name) for name in ("bench", "calibrate"))
    if not arguments.ours:
        print(f"{arguments.pantile} has no bench or no calibrate: the peers alone", file=sys.stderr)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, {len(arguments.tiles)} tiles, {DETECTIONS} masks a tile, "
          f"{platform.machine()}, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    for model in arguments.models:
        measure(arguments, model)


if __name__ == "__main__":
    main()
