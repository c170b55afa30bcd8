#!/usr/bin/env bash
# What INT8 costs in accuracy, NNCF's and ours, each beside its own FP32 on the same tiles. Prints a Markdown table;
# docs/performance.md quotes it. Runs are deterministic but for the order of sums in the peers.
#
#   bench/quantised_accuracy.sh DATA MODEL... [-- --calibrate-on PLACE] [--ours] [--methods NAME...] [--precisions TEXT...]
#
# DATA holds scenes/*.tif and fields/*.tif with *.truth.geojson beside them. Needs build/release, gdal-bin, and the peers'
# environment as bench/peers.sh does.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
data=${1:?usage: bench/quantised_accuracy.sh DATA MODEL... [-- OPTION...]}
shift
models=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  models+=("$(realpath "$1")")
  shift
done
[ ${#models[@]} -gt 0 ] || { echo "bench/quantised_accuracy.sh: name at least one model" >&2; exit 1; }
[ "${1:-}" = -- ] && shift
unset OPENBLAS_CORETYPE
source "$here/bench/peers_venv.sh"
mkdir -p "$here/build/peers/tiles"
exec "$python" -B "$here/bench/quantised_accuracy.py" "$data" "$here/build/peers" --pantile "$here/build/release/cli/pantile" \
  --models "${models[@]}" "$@"
