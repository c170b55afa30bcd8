#!/usr/bin/env bash
# Faults of real processes in numbers: prints the Markdown table that docs/reliability.md quotes. An hour on two cores for all
# rows; names of rows (bench/faults.sh --list) choose some. As root, or rows are skipped. First:
#   cmake --preset release && cmake --build build/release --target pantile fault_tools
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
export PANTILE="${PANTILE:-$here/build/release/cli/pantile}"
export PANTILE_FAULT_TOOLS="${PANTILE_FAULT_TOOLS:-$here/build/release/tests/faults}"
export PANTILE_SANITIZE=""
unset OPENBLAS_CORETYPE
exec /usr/bin/python3 -B "$here/bench/faults.py" "$@"
