#!/usr/bin/env bash
# Seconds a tile and peak memory of torchvision, ONNX Runtime and OpenVINO (FP32, and INT8 by NNCF) beside `pantile bench`, on
# the same tiles, weights and caps, sides alternating. Prints Markdown tables; docs/performance.md quotes them.
#
#   bench/peers.sh DATA MODEL... [-- --rounds 5 --threads 2]
#
# DATA holds scenes/*.tif; the tiles are 1024 x 1024 pixels of it at 0.2 m. Needs build/release and 6 GB for the peers' own
# Python environment: PANTILE_PEERS_VENV, or build/peers-venv, which is made where it is missing. What the peers
# export and calibrate stays in build/peers for the next time.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
data=${1:?usage: bench/peers.sh DATA MODEL... [-- OPTION...]}
shift
models=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  models+=("$(realpath "$1")")
  shift
done
[ ${#models[@]} -gt 0 ] || { echo "bench/peers.sh: name at least one model" >&2; exit 1; }
[ "${1:-}" = -- ] && shift
unset OPENBLAS_CORETYPE
pantile=$here/build/release/cli/pantile
work=$here/build/peers
source "$here/bench/peers_venv.sh"

dump() { # scene: its tiles to $work/tiles/NAME
  local name
  name=$(basename "${1%.tif}")
  [ -f "$work/tiles/$name/tiles.json" ] ||
    "$pantile" run "$1" --model "$here/models/buildings_mnv2_fpn.safetensors" -o "$work/$name.geojson" \
      --dump-tiles "$work/tiles/$name" --overwrite --quiet
}

mkdir -p "$work/tiles"
for scene in banepa_north_z19 zanzibar_z21_a kampala_z21_a; do
  dump "$data/scenes/$scene.tif"
done
timed=("$work"/tiles/banepa_north_z19/{0,1}.ppm) # the two full tiles of a dense town: both have over 100 detections
calibration=("$work"/tiles/{zanzibar_z21_a,kampala_z21_a}/*.ppm) # ten

for model in "${models[@]}"; do
  folder=$work/$(basename "${model%.safetensors}")
  "$python" "$here/bench/peer_models.py" "$model" -o "$folder" --calibrate "${calibration[@]}" >"$work/peer_models.log" 2>&1 ||
    { cat "$work/peer_models.log" >&2; exit 1; }
  if "$pantile" calibrate --help >/dev/null 2>&1; then # each time: the program may have changed since
    "$pantile" calibrate --overwrite --model "$model" --scene "$data/scenes/zanzibar_z21_a.tif" --scene "$data/scenes/kampala_z21_a.tif" \
      --tiles 10 -o "$folder/ours.int8.safetensors" --quiet
  fi
done
exec "$python" -B "$here/bench/peers.py" "$work" --pantile "$pantile" --models "${models[@]}" --tiles "${timed[@]}" "$@"
