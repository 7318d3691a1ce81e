#!/usr/bin/env bash
# Sets up the project, then trains on UltraMNIST at 512 pixels, by PatchGD and by gradient descent under the same memory.
#
#   bash scripts/quickstart_patchgd.sh [--digits DIR] [--epochs N] [--whole False]
#
# DIR holds MNIST's IDX files; default: scikit-learn's digits. --whole False leaves out gradient descent on whole images.

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
. "$root/scripts/environment.sh"
bash "$root/scripts/setup.sh" plot,digits || exit 1
exec "$root/.venv/bin/patchgrow" quickstart_patchgd "$root/bundles/ultramnist_classification_patchgd" \
  --output_dir "$root/runs/quickstart_patchgd" "$@"
