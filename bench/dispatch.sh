#!/usr/bin/env bash
# What the coordinator costs: tiles a second with workers that answer at once (bench_swarm), its memory and its CPU time.
# docs/performance.md quotes it. Needs a release build with -DPANTILE_BENCH=ON and Debian's python3.
#
#   bench/dispatch.sh [ROUNDS [TILES_ACROSS]]
#
# A job of TILES_ACROSS x TILES_ACROSS (450: 202,500) tiles of the null engine runs ROUNDS (5) times with each number of
# workers, over a local socket without keys and over loopback TCP with CURVE. Everything but the reading and the network is
# real: messages, scheduler, ledger with its syncs, assembly.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 - "$here/build/release" "$work" "${1:-5}" "${2:-450}" <<'PY'
import os
import statistics
import subprocess
import sys
import time

build, work, rounds, across = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.chdir(work)

# One grey pixel, stretched: the null engine reads nothing of it.
size = across * 128 + 128
with open("dot.pgm", "wb") as file:
    file.write(b"P5 1 1 255 \x64")
bands = "".join(
    f'<VRTRasterBand dataType="Byte" band="{band}"><SimpleSource><SourceFilename relativeToVRT="1">dot.pgm</SourceFilename>'
    f'<SourceBand>1</SourceBand><SrcRect xOff="0" yOff="0" xSize="1" ySize="1"/>'
    f'<DstRect xOff="0" yOff="0" xSize="{size}" ySize="{size}"/></SimpleSource></VRTRasterBand>' for band in (1, 2, 3))
with open("scene.vrt", "w", encoding="utf-8") as file:
    file.write(f'<VRTDataset rasterXSize="{size}" rasterYSize="{size}"><SRS>EPSG:32737</SRS>'
               f'<GeoTransform>500000, 0.5, 0, 9400000, 0, -0.5</GeoTransform>{bands}</VRTDataset>')


def play(workers, credit, secure):
    """One job: the swarm's figures, the coordinator's CPU seconds and peak memory in MiB."""
    subprocess.run("rm -rf out*", shell=True, check=True)
    listen = ["--listen", "tcp://127.0.0.1:*"] if secure else ["--listen", f"ipc://{work}/door", "--insecure"]
    with open("run.log", "w", encoding="utf-8") as log:
        run = subprocess.Popen(
            [f"{build}/cli/pantile", "run", "scene.vrt", "--engine", "null", "--tile", "256", "--overlap", "128", "--gsd",
             "native", "--no-local-worker", "--driver", "VRT", "--driver", "PNM", "-o", "out.geojson", *listen], stderr=log, stdout=log)
    while not os.path.exists("out.geojson.pantile/endpoint"):
        if run.poll() is not None:
            sys.exit(open("run.log", encoding="utf-8").read())
        time.sleep(0.02)
    time.sleep(0.1)
    endpoint = open("out.geojson.pantile/endpoint", encoding="utf-8").read().strip()
    keys = ["out.geojson.pantile/worker.key"] if secure else []
    swarm = subprocess.run([f"{build}/bench/bench_swarm", endpoint, str(workers), str(credit), *keys], check=True,
                           capture_output=True, text=True).stdout.split()
    _, status, usage = os.wait4(run.pid, 0)
    if status != 0:
        sys.exit(open("run.log", encoding="utf-8").read())
    figures = dict(zip(swarm[::2], map(float, swarm[1::2])))
    return figures["rate"], usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, figures["seconds"], figures["joined"]


print(f"{across * across} tiles, {rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
print(f"{'':24} {'tiles/s':>9} {'least':>8} {'most':>8} {'CPU us':>7} {'CPU':>5} {'MiB':>6} {'joined':>7}")
for secure in (False, True):
    for workers, credit in ((1, 64), (2, 64), (8, 64), (64, 16), (1000, 2), (1000, 16)):
        results = [play(workers, credit, secure) for _ in range(rounds)]
        rates = [r[0] for r in results]
        print(f"{'curve' if secure else 'ipc'} {workers:5} of credit {credit:2} "
              f"  {statistics.median(rates):9.0f} {min(rates):8.0f} {max(rates):8.0f} "
              f"{statistics.median(r[1] for r in results) / across ** 2 * 1e6:7.1f} "
              f"{statistics.median(r[1] / r[3] for r in results):5.2f} {max(r[2] for r in results):6.0f} "
              f"{statistics.median(r[4] for r in results):7.2f}", flush=True)
PY
