"""Runs nnU-Net's fingerprint extractor and planners on one data set, in an interpreter that need not have this package.

python run_nnunet.py version
python run_nnunet.py fingerprint FOLDER NUM_WORKERS
python run_nnunet.py plan FOLDER PLANNER GIB

FOLDER holds nnU-Net's three folders, ``raw``, ``preprocessed`` and ``results``, and the one data set in them has the
number 1. GIB is the memory that is planned for, "default" the planner's own. The plan is put at ``FOLDER/plan.json``.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version

NUMBER = 1  # of the data set, among nnU-Net's


def main(step: str, *arguments: str) -> None:
    """Do one step."""
    if step == "version":
        tell_version()
        return
    folder, *others = arguments
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = os.path.join(folder, name)
    if step == "fingerprint":
        extract_fingerprint(int(others[0]))
    else:
        make_plan(folder, *others)


def tell_version() -> None:
    """Write the version of nnunetv2, nothing where there is none."""
    try:
        sys.stdout.write(version("nnunetv2"))
    except PackageNotFoundError:
        return


def extract_fingerprint(num_workers: int) -> None:
    """Write dataset_fingerprint.json, as ``nnUNetv2_extract_fingerprint`` does."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints

    extract_fingerprints([NUMBER], num_processes=num_workers, check_dataset_integrity=False)


def make_plan(folder: str, planner: str, gib: str) -> None:
    """Write plan.json, as ``nnUNetv2_plan_experiment`` makes it."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments
    from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name

    name = plan_experiments([NUMBER], planner, gpu_memory_target_in_gb=None if gib == "default" else float(gib))
    plans = os.path.join(folder, "preprocessed", convert_id_to_dataset_name(NUMBER), f"{name}.json")
    shutil.move(plans, os.path.join(folder, "plan.json"))


if __name__ == "__main__":  # nnU-Net's processes import this file again
    main(*sys.argv[1:])
