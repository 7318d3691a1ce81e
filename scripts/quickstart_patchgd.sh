#!/usr/bin/env bash
# Sets up the project, then learns the grades of phantom slides by PatchGD, and on slides shrunk to take no more memory.
#
#   bash scripts/quickstart_patchgd.sh [--epochs N] [--seed N] [--output_dir DIR]

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
. "$root/scripts/environment.sh"
bash "$root/scripts/setup.sh" plot,tiff || exit 1
exec "$root/.venv/bin/patchgrow" quickstart_patchgd "$root/bundles/panda_classification_patchgd" \
  --output_dir "$root/runs/quickstart_patchgd" "$@"
