#!/usr/bin/env bash
# Sets up the project, then trains with a growing patch and with the full one for the same time, and compares Dice.
#
#   bash scripts/quickstart.sh [--data DIR] [--curriculum NAME] [--epochs N]
#
# DIR is any folder in Decathlon layout (dataset.json, imagesTr, labelsTr); default: a small synthetic task.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
. "$root/scripts/environment.sh"
bash "$root/scripts/setup.sh" plot || exit 1
exec "$root/.venv/bin/patchgrow" quickstart "$root/bundles/hippocampus_segmentation_patchgrow" \
  --output_dir "$root/runs/quickstart" "$@"
