"""Has nnU-Net plan a data set, and keeps what it found."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monai_patchgrow.data.tasks.task import JSON
from monai_patchgrow.files import write_whole
from monai_patchgrow.tools.plan.nnunet_process import NnunetProcess
from monai_patchgrow.tools.plan.options import PlanOptions
from monai_patchgrow.tools.plan.raw_data import data_digest

__all__ = ["Say", "plan_data"]

Say = Callable[[str], None]
"""Is told each step, a line at a time."""

_DATASET = "Dataset001_Data"
_FINGERPRINT = "dataset_fingerprint.json"


def plan_data(
    description: Mapping[str, Any],
    name: str,
    options: PlanOptions,
    nnunet: NnunetProcess,
    *,
    check_voxels: Callable[[], None],
    say: Say,
) -> Path:
    """Give the file of a plan; nnU-Net makes it in a temporary folder, unless it has made it before.

    Plan and fingerprint are kept in ``options.cache``, by what they depend on: with another memory or preset no image
    is read again. Of a fingerprint that is interrupted, what was found in each case is kept there until there is one.

    Args:
        description: of the data, as `raw_description` gives it.
        name: of the data, which the plan gets.
        options: what is planned.
        nnunet: what runs nnU-Net.
        check_voxels: is called before nnU-Net reads the images, and raises what is wrong with one.
        say: is told each step.

    Raises:
        ValueError: a step of nnU-Net failed, or `check_voxels` did.
        OSError: a folder that can't be written to.
    """
    kept = options.cache / f"{name}-{data_digest(description, nnunet.version)}"
    plans = kept / f"{options.planner}_{options.gib or 'default'}.json"
    if plans.is_file():
        say(f"3/3 plan: made before, {plans}")
        return plans
    fingerprint = kept / _FINGERPRINT
    if not fingerprint.is_file():
        say("2/3 fingerprint: every voxel is checked")
        check_voxels()
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="patchgrow_new_") as temporary:
        folder = Path(temporary)
        _lay_out(folder, description)
        cases = options.cache / f"{name}-cases"  # of this data set, even where a file of it changes meanwhile
        _get_fingerprint(nnunet, folder, fingerprint, cases, len(description["dataset"]), options.workers, say)
        memory = "its own memory target" if options.gib is None else f"{options.gib:g} GiB"
        say(f"3/3 plan: {options.planner} of nnU-Net {nnunet.version}, {memory}")
        content = {**nnunet.plan(folder, options.planner, options.gib), "dataset_name": name}
    write_whole(json.dumps(content, indent=4) + "\n", plans)
    return plans


def _lay_out(folder: Path, description: Mapping[str, Any]) -> None:
    """Make nnU-Net's folders."""
    for name in ("raw", "preprocessed", "results"):
        (folder / name / _DATASET).mkdir(parents=True)
    (folder / "raw" / _DATASET / JSON).write_text(json.dumps(description), encoding="utf-8")


def _get_fingerprint(
    nnunet: NnunetProcess, folder: Path, kept: Path, cases: Path, num_cases: int, num_workers: int, say: Say
) -> None:
    """Take the fingerprint that was kept, or have nnU-Net extract one and keep it."""
    file = folder / "preprocessed" / _DATASET / _FINGERPRINT
    if kept.is_file():
        say(f"2/3 fingerprint: found before, {kept}")
        file.write_bytes(kept.read_bytes())
        return
    cases.mkdir(exist_ok=True)
    before = len([path for path in cases.iterdir() if not path.suffix])
    found = f" (what it found in {before} before is kept)" if before else ""
    say(f"2/3 fingerprint: nnU-Net reads {num_cases} cases{found}")
    nnunet.extract_fingerprint(folder, cases, num_cases=num_cases, num_workers=num_workers)
    write_whole(file.read_text(encoding="utf-8"), kept)
    shutil.rmtree(cases, ignore_errors=True)
