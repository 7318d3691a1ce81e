#!/usr/bin/env bash
# Measures everything about a GPU that a CPU can't tell, step by step, in less than eight minutes on an H100.
#
#   bash benchmarks/gpu.sh [--device cpu] [--output FOLDER] [--only STEP,STEP] [--limit_s 480]
#
# WHEELS=FOLDER installs from wheels, without a network. Steps that are done are not repeated: start it again to go on.

set -eu
root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
cd -- "$root"
if [ -n "${WHEELS:-}" ]; then
  [ -x .venv/bin/python ] || python3 -m venv .venv
  .venv/bin/python -m pip install --quiet --no-index --find-links "$WHEELS" --no-build-isolation -e . ||
    .venv/bin/python -m pip install --quiet --no-index --find-links "$WHEELS" -e .
else
  bash scripts/setup.sh plot
fi
. scripts/environment.sh
exec .venv/bin/python benchmarks/gpu "$@"
