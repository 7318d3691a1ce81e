"""Runs nnU-Net's fingerprint extractor and planners on one data set, in an interpreter that need not have this package.

python run_nnunet.py version
python run_nnunet.py fingerprint FOLDER NUM_WORKERS CASES
python run_nnunet.py plan FOLDER PLANNER GIB

FOLDER holds nnU-Net's three folders, ``raw``, ``preprocessed`` and ``results``, and the one data set in them has the
number 1. GIB is the memory that is planned for, "default" the planner's own. The plan is put at ``FOLDER/plan.json``.
The folder CASES keeps what is found in each case, so that a fingerprint which is interrupted can be resumed.
"""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

NUMBER = 1  # of the data set, among nnU-Net's
_CASES = "PATCHGROW_NNUNET_CASES"  # the variable by which nnU-Net's processes know the folder
_SEAL = hashlib.sha256().digest_size
_OF_NUMPY = {"_frombuffer", "_reconstruct", "dtype", "ndarray", "scalar"}  # what arrays and numbers are pickled by
_UNREADABLE = (OSError, EOFError, ValueError, TypeError, AttributeError, ImportError, pickle.UnpicklingError)


def main(step: str, *arguments: str) -> None:
    """Do one step."""
    if step == "version":
        tell_version()
        return
    folder, *others = arguments
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = os.path.join(folder, name)
    if step == "fingerprint":
        extract_fingerprint(int(others[0]), others[1])
    else:
        make_plan(folder, *others)


def tell_version() -> None:
    """Write the version of nnunetv2, nothing where there is none."""
    try:
        sys.stdout.write(version("nnunetv2"))
    except PackageNotFoundError:
        return


def extract_fingerprint(num_workers: int, cases: str) -> None:
    """Write dataset_fingerprint.json, as ``nnUNetv2_extract_fingerprint`` does."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.experiment_planning.plan_and_preprocess_api import extract_fingerprints

    os.environ[_CASES] = cases
    # A version that doesn't call it by this name keeps nothing, and finds the same. Its processes have their own one.
    DatasetFingerprintExtractor.analyze_case = staticmethod(analyze_case_once)
    extract_fingerprints([NUMBER], num_processes=num_workers, check_dataset_integrity=False)


def analyze_case_once(images: Sequence[str], label: str, *others: Any) -> Any:
    """What nnU-Net finds in a case: what was kept, for the same files and arguments, or else found now and kept.

    nnU-Net draws a case's voxels by a seed of the case's own, so they are the same at any time and in any order.

    Args:
        images: files of the case.
        label: its file.
        *others: further arguments of nnU-Net's ``analyze_case``.
    """
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor

    stamps = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in (*images, label)]
    name = hashlib.sha256(repr((version("nnunetv2"), stamps, others)).encode()).hexdigest()
    kept = os.path.join(os.environ[_CASES], name)
    with suppress(*_UNREADABLE):
        return _read(kept)
    found = DatasetFingerprintExtractor.analyze_case(images, label, *others)
    with suppress(OSError):  # a full disk is no reason to end
        _keep(found, kept)
    return found


def _keep(found: Any, path: str) -> None:
    """Write a file that appears whole or not at all, behind a checksum of itself."""
    content, temporary = pickle.dumps(found), f"{path}.{os.getpid()}"
    try:
        with open(temporary, "wb") as file:
            file.write(hashlib.sha256(content).digest() + content)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            os.remove(temporary)


def _read(path: str) -> Any:
    with open(path, "rb") as file:
        seal, content = file.read(_SEAL), file.read()
    if hashlib.sha256(content).digest() != seal:
        raise ValueError(f"{path}: damaged")
    return _Arrays(io.BytesIO(content)).load()


class _Arrays(pickle.Unpickler):
    """Reads plain values and arrays: a cache may be shared, and code in it is not run."""

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] != "numpy" or name not in _OF_NUMPY:
            raise pickle.UnpicklingError(f"{module}.{name} is no array")
        return super().find_class(module, name)


def make_plan(folder: str, planner: str, gib: str) -> None:
    """Write plan.json, as ``nnUNetv2_plan_experiment`` makes it."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import plan_experiments
    from nnunetv2.utilities.dataset_name_id_conversion import convert_id_to_dataset_name

    name = plan_experiments([NUMBER], planner, gpu_memory_target_in_gb=None if gib == "default" else float(gib))
    plans = os.path.join(folder, "preprocessed", convert_id_to_dataset_name(NUMBER), f"{name}.json")
    shutil.move(plans, os.path.join(folder, "plan.json"))


if __name__ == "__main__":  # nnU-Net's processes import this file again
    main(*sys.argv[1:])
