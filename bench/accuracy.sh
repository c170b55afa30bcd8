#!/usr/bin/env bash
# F1 at IoU 0.5 of `pantile run` in FP32 and of torchvision running the same weights on the same tiles with the same stitching
# rules. Prints a Markdown table; docs/accuracy.md quotes it.
#
#   bench/accuracy.sh DATA [BUILDINGS_MODEL...]
#
# DATA holds scenes/*.tif and fields/*.tif, each with *.truth.geojson beside it. Further models (such as a ResNet-50 one)
# are measured on the building scenes too. Needs build/release and Debian's python3-torchvision.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
data=${1:?usage: bench/accuracy.sh DATA [BUILDINGS_MODEL...]}
shift
pantile=$here/build/release/cli/pantile
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

measure() { # predicted truth scene -> "P R F1 PQ AP50"
  "$pantile" eval "$1" "$2" --within "$3" --json |
    /usr/bin/python3 -c 'import json, sys; a = json.load(sys.stdin)["all"]
print("%.4f %.4f %.4f %.4f %.4f %d" % (a["precision"], a["recall"], a["f1"], a["pq"], a["ap50"], a["truth"]))'
}

row() { # model scene
  local model=$1 scene=$2 name truth tiles=$work/tiles ours theirs
  name=$(basename "${scene%.tif}")
  truth=${scene%.tif}.truth.geojson
  rm -rf "$tiles"
  "$pantile" run "$scene" --model "$model" --precision fp32 -o "$work/ours.geojson" --dump-tiles "$tiles" --overwrite --quiet
  (cd "$here/bench" && /usr/bin/python3 torchvision_tiles.py "$tiles" --model "$model")
  "$pantile" run "$scene" --model "$model" -o "$work/theirs.geojson" --engine "replay:$tiles" --overwrite --quiet
  ours=($(measure "$work/ours.geojson" "$truth" "$scene"))
  theirs=($(measure "$work/theirs.geojson" "$truth" "$scene"))
  echo "| $(basename "${model%.safetensors}") | $name | ${ours[5]} | ${ours[0]} | ${ours[1]} | ${ours[2]} | ${theirs[2]} |" \
    "$(/usr/bin/python3 -c "print('%+.4f' % (${ours[2]} - ${theirs[2]}))") | ${ours[3]} | ${ours[4]} |"
}

echo "| model | scene | truth | precision | recall | F1 | F1 torchvision | difference | PQ | AP50 |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for model in "$here/models/buildings_mnv2_fpn.safetensors" "$@"; do
  for scene in "$data"/scenes/*.tif; do
    [ -f "${scene%.tif}.truth.geojson" ] && row "$model" "$scene"
  done
done
for scene in "$data"/fields/*.tif; do
  row "$here/models/fields_mnv2_fpn.safetensors" "$scene"
done
