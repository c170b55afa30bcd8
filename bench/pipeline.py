#!/usr/bin/python3
"""The whole run against the engine alone, and against itself with more workers; docs/performance.md quotes both.

    bench/pipeline.py efficiency SCENE MODEL [--rounds 5]          Mpx/s of `pantile run` over Mpx/s of the engine alone
    bench/pipeline.py scaling SCENE MODEL --workers 1 2 4 [...]    single-core workers: speed-up and SHA-256 of the output

The engine alone runs on windows of the same scene, as many processes side by side as there are workers: what the machine's
cores and memory allow. Needs build/release with -DPANTILE_BENCH=ON. Options for `pantile run` may follow after `--`.
"""
import argparse
import glob
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("PANTILE_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "build", "release"))
PANTILE = os.path.join(BUILD, "cli", "pantile")
ENGINE = os.path.join(BUILD, "bench", "bench_engine")
SAMPLE = 6  # tiles for the engine alone


def run(arguments, folder, workers, threads, extra):
    """Seconds, the report and the output's SHA-256 of one run."""
    out, report = os.path.join(folder, "out.geojson"), os.path.join(folder, "report.json")
    command = [PANTILE, "run", arguments.scene, "--model", arguments.model, "-o", out, "--report", report, "--overwrite",
               "--quiet", "--workers", str(workers), "--threads", str(threads), *arguments.options, *extra]
    begin = time.monotonic()
    subprocess.run(command, check=True)
    seconds = time.monotonic() - begin
    with open(report, encoding="utf-8") as file, open(out, "rb") as output:
        return seconds, json.load(file), hashlib.sha256(output.read()).hexdigest()


def sample_tiles(folder):
    """Full tiles spread over the scene: the most frequent size of file, evenly chosen."""
    paths = sorted(glob.glob(os.path.join(folder, "*.ppm")))
    sizes = [os.path.getsize(path) for path in paths]
    full = [path for path, size in zip(paths, sizes) if size == max(sizes)]
    return [full[i * len(full) // SAMPLE] for i in range(min(SAMPLE, len(full)))]


def engine_alone(arguments, tiles, processes, threads, rounds):
    answer = subprocess.run([ENGINE, arguments.model, str(threads), str(processes), str(rounds), *tiles], check=True,
                            stdout=subprocess.PIPE)
    return json.loads(answer.stdout)["mpx_per_s"]


def inferred_mpx(report):
    return report["counts"]["pixels"] / 1e6


def efficiency(arguments, folder):
    cores = len(os.sched_getaffinity(0))
    dump = os.path.join(folder, "tiles")
    _, report, _ = run(arguments, folder, 1, cores, ["--dump-tiles", dump])
    tiles = sample_tiles(dump)
    print(f"{inferred_mpx(report):.1f} Mpx inferred a run; engine alone on {len(tiles)} full tiles; {cores} threads")
    ratios = []
    for _ in range(arguments.rounds):
        alone = engine_alone(arguments, tiles, 1, cores, 2)
        seconds, report, _ = run(arguments, folder, 1, cores, [])
        whole = inferred_mpx(report) / seconds
        ratios.append(whole / alone)
        print(f"engine {alone:.3f} Mpx/s, run {whole:.3f} Mpx/s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"pipeline efficiency: median {statistics.median(ratios):.3f}, min {min(ratios):.3f}, max {max(ratios):.3f}")


def scaling(arguments, folder):
    dump = os.path.join(folder, "tiles")
    run(arguments, folder, max(arguments.workers), 1, ["--dump-tiles", dump])
    tiles = sample_tiles(dump)
    first = first_alone = None
    print("| workers | run, Mpx/s | of linear | engine alone, Mpx/s | of linear | run / engine | SHA-256 |")
    print("|---|---|---|---|---|---|---|")
    digests = set()
    for workers in arguments.workers:
        alone = engine_alone(arguments, tiles, workers, 1, arguments.rounds)
        seconds, report, digest = run(arguments, folder, workers, 1, [])
        whole = inferred_mpx(report) / seconds
        first, first_alone = first or whole / workers, first_alone or alone / workers
        digests.add(digest)
        print(f"| {workers} | {whole:.2f} | {whole / first / workers:.1%} | {alone:.2f} | {alone / first_alone / workers:.1%} "
              f"| {whole / alone:.1%} | {digest[:16]} |", flush=True)
    if len(digests) != 1:
        sys.exit("the outputs differ")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["efficiency", "scaling"])
    parser.add_argument("scene")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    own = sys.argv[1:]
    options = own[own.index("--") + 1:] if "--" in own else []
    arguments = parser.parse_args(own[:own.index("--")] if "--" in own else own)
    arguments.options = options
    with tempfile.TemporaryDirectory() as folder:
        (efficiency if arguments.what == "efficiency" else scaling)(arguments, folder)


if __name__ == "__main__":
    main()
