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
DETECTIONS = 100
SECOND_SHAPES = [(768, 1024), (1024, 896), (896, 768)]


class Peer:
    """A process of bench/peer.py."""

    def __init__(self, label, arguments, kind, model, *options):
        self.label, self.seconds = label, []
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
        self.seconds.append(self.ask("go")["seconds"])

    def peak(self):
        return self.ask("peak")["mib"]

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def check_count(label, least, most):
    if (least, most) != (DETECTIONS, DETECTIONS):
        sys.exit(f"{label}: masks for {least} to {most} detections instead of {DETECTIONS}; choose fuller tiles")


class Pantile:
    """`pantile bench`; its peak memory is the greatest of its turns."""

    def __init__(self, label, arguments, model, *options):
        self.label, self.seconds, self.peaks, self.precision = label, [], [], "f32"
        self.command = [arguments.pantile, "bench", "--model", model, "--threads", str(arguments.threads), "--score", "0",
                        "--detections", str(DETECTIONS), "--json", *options]
        for tile in arguments.tiles:
            self.command += ["--image", tile]
        self.turn()  # warms the files' cache, as loading does for the peers
        self.seconds.clear()

    def turn(self):
        answer = subprocess.run(self.command, stdout=subprocess.PIPE, check=False, text=True)
        if answer.returncode != 0:
            sys.exit(f"{self.label}: ended with {answer.returncode}: {' '.join(self.command)}")
        told = json.loads(answer.stdout)
        self.seconds.append(told["ms_per_tile"]["median"] / 1e3)
        self.peaks.append(told["peak_rss_mib"])

    def peak(self):
        return max(self.peaks)

    def end(self):
        pass


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def rotate(sides, rounds):
    """Every side has its turn in every round, the order shifted by one each time."""
    for number in range(rounds):
        shift = number % len(sides)
        for side in sides[shift:] + sides[:shift]:
            side.turn()
        print(f"round {number + 1}: load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)


def print_table(title, sides, ours):
    print(f"\n## {title}\n\n| engine | computes in | s a tile: median (least to most) | times ours | peak RSS, MiB |")
    print("|---|---|---|---|---|")
    for side in sides:
        ratio = "" if ours is None or side is ours else spread([t / o for t, o in zip(side.seconds, ours.seconds)], 2)
        print(f"| {side.label} | {side.precision} | {spread(side.seconds, 3)} | {ratio} | {side.peak():.0f} |", flush=True)


def compare(title, openers, rounds):
    """`openers` start the sides one after the other; the first is ours or None. Returns the sides that still run."""
    sides = [opener() for opener in openers if opener]
    rotate(sides, rounds)
    print_table(title, sides, sides[0] if openers[0] else None)
    return sides


def end(sides):
    for side in sides:
        side.end()


def new_shapes(sides):
    print("\n| engine | a new input shape, ms beyond a later tile: median (least to most) |\n|---|---|")
    for side in sides:
        if isinstance(side, Peer) and side.label.endswith("OpenVINO, 1 stream"):
            costs = [1e3 * side.ask("shape", *shape)["seconds"] for shape in SECOND_SHAPES]
            print(f"| {side.label} | {spread(costs, 0)} |", flush=True)


def measure(arguments, model):
    name = os.path.splitext(os.path.basename(model))[0]
    folder = os.path.join(arguments.folder, name)
    fp32, int8 = (os.path.join(folder, file + ".onnx") for file in ("fp32", "int8"))
    ours8 = os.path.join(folder, "ours.int8.safetensors")

    def peer(label, *rest):
        return lambda: Peer(label, arguments, *rest)

    def pantile(label, file, *options):
        return (lambda: Pantile(label, arguments, file, *options)) if arguments.ours else None

    sides = compare(f"{name}, FP32", [
        pantile("Pantile", model, "--precision", "fp32"), peer("torchvision", "torchvision", model),
        peer("ONNX Runtime", "onnxruntime", fp32), peer("OpenVINO, 1 stream", "openvino", fp32),
        peer("OpenVINO, 2 streams", "openvino", fp32, "--streams", "2"),
        peer("OpenVINO's default precision", "openvino", fp32, "--precision", "default")], arguments.rounds)
    new_shapes(sides)
    end(sides)
    sides = compare(f"{name}, INT8", [
        pantile("Pantile", ours8, "--precision", "int8"), peer("ONNX Runtime", "onnxruntime", int8),
        peer("OpenVINO, 1 stream", "openvino", int8), peer("OpenVINO, 2 streams", "openvino", int8, "--streams", "2")],
        arguments.rounds)
    new_shapes(sides)
    end(sides)
    end(compare(f"{name}, whole tile to run-length masks in scene pixels", [
        pantile("Pantile, INT8", ours8, "--precision", "int8", "--masks"),
        peer("torchvision, masks pasted", "torchvision-rle", model)], arguments.rounds))


def has_bench(pantile):
    answer = subprocess.run([pantile, "bench", "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, text=True)
    return answer.returncode == 0 and "--json" in answer.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="where peer_models.py has left the models")
    parser.add_argument("--pantile", required=True)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--tiles", nargs="+", required=True)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    arguments.ours = has_bench(arguments.pantile)
    if not arguments.ours:
        print("`pantile bench` is not in this build: the peers alone", file=sys.stderr)
    print(f"{arguments.threads} threads, {arguments.rounds} rounds, {len(arguments.tiles)} tiles, {DETECTIONS} masks a tile, "
          f"{platform.machine()}, load {os.getloadavg()[0]:.1f} at the start", flush=True)
    for model in arguments.models:
        measure(arguments, model)


if __name__ == "__main__":
    main()
