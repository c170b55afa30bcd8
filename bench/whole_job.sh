#!/usr/bin/env bash
# The whole job, GeoTIFF in and GeoJSON out, of `pantile run` and of geoai-py with the same weights, alternating: time, memory,
# F1. Prints a Markdown table; docs/performance.md quotes it.
#
#   bench/whole_job.sh DATA MODEL [-- --rounds 5 --scenes NAME... --chip 1024]
#
# DATA holds scenes/*.tif with *.truth.geojson beside them. Needs build/release, gdal-bin, and 7 GB for geoai-py's own Python
# environment: PANTILE_GEOAI_VENV, or build/geoai-venv, which is made where it is missing. Where `pantile calibrate` exists, ours
# runs in INT8, calibrated on the first scene alone; the calibrated file stays in build/peers.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
usage="usage: bench/whole_job.sh DATA MODEL [-- OPTION...]"
data=${1:?$usage}
model=${2:?$usage}
shift 2
[ "${1:-}" = -- ] && shift
unset OPENBLAS_CORETYPE
venv=${PANTILE_GEOAI_VENV:-$here/build/geoai-venv}
if ! "$venv/bin/python" -c 'import geoai.extract' 2>/dev/null; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check 'geoai-py==0.40.1'
fi
pantile=$here/build/release/cli/pantile
ours=()
if "$pantile" calibrate --help >/dev/null 2>&1; then
  file=$here/build/peers/whole_job.$(basename "${model%.safetensors}").int8.safetensors
  mkdir -p "$here/build/peers"
  rm -f "$file"
  "$pantile" calibrate --model "$model" --scene "$data/scenes/zanzibar_z21_a.tif" --tiles 10 -o "$file" --quiet
  ours=(--ours "$file" --options=--precision=int8)
fi
exec python3 -B "$here/bench/whole_job.py" "$data" --model "$model" --pantile "$pantile" --geoai "$venv/bin/python" \
  "${ours[@]}" "$@"
