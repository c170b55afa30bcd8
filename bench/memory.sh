#!/usr/bin/env bash
# Peak memory and time of `pantile run` with the oracle engine on a 40,000 x 40,000 pixel VRT read at its own resolution
# (everything but the network runs: reading, stitching, vectorising, writing). docs/performance.md quotes it.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
size=${1:-40000}
count=${2:-20000}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
/usr/bin/python3 "$here/bench/large_scene.py" "$here/examples/zanzibar.tif" "$work/large" --size "$size" --count "$count"
/usr/bin/python3 - "$here/build/release/cli/pantile" run "$work/large.vrt" --engine "oracle:$work/large.gpkg" --gsd native \
  -o "$work/out.geojson" <<'PY'
import resource, subprocess, sys, time
begin = time.monotonic()
code = subprocess.call(sys.argv[1:])
seconds = time.monotonic() - begin
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(f"exit {code}, peak RSS {peak:.0f} MiB, {seconds:.1f} s")
PY
grep -c '"Feature"' "$work/out.geojson"
