"""Checks a data set for segmentation, in Decathlon's or nnU-Net's layout, file by file and as a whole."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.suffixes import VOLUMES, split_suffix
from monai_patchgrow.data.tasks.decathlon import read_task
from monai_patchgrow.data.tasks.faults import FaultList
from monai_patchgrow.data.tasks.task import JSON, Case, DecathlonTask, read_json
from monai_patchgrow.data.tasks.verification import CheckedCase, check_case, check_image
from monai_patchgrow.tools.verify.parallel import check_all
from monai_patchgrow.tools.verify.report import DataReport
from monai_patchgrow.tools.verify.split import check_split
from monai_patchgrow.tools.verify.whole_set import check_classes_present, check_duplicates, check_spacings

__all__ = ["check_segmentation"]

_CHANNEL = re.compile(r"_\d{4}$")  # as nnU-Net numbers an image's files


def check_segmentation(
    folder: Path,
    *,
    trust_label_voxels: bool = False,
    headers_only: bool = False,
    num_workers: int | None = None,
    split_file: str | None = None,
) -> DataReport:
    """Find all that is wrong with a data set.

    Args:
        folder: with dataset.json.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.
        headers_only: read no voxel.
        num_workers: processes; default: one per core, at most 8.
        split_file: of one's own, which is checked too.
    """
    faults = FaultList()
    try:
        task = read_task(folder, report=faults.report)
    except DataError as error:
        if error.rule is None:
            raise
        file = folder / JSON
        faults.report(error.rule, file, str(error).removeprefix(f"{file}: "))
        return DataReport(folder, folder.name, "not read", tuple(faults))
    options = {"trust_label_voxels": trust_label_voxels, "headers_only": headers_only}
    tests = _test_images(folder)
    jobs: list[Case | tuple[Path, ...]] = [*task.cases, *tests]
    checked = check_all(partial(_check, task, options), jobs, unit="case", num_workers=num_workers)
    trained = dict(zip((str(case.images[0]) for case in task.cases), checked, strict=False))
    tested = dict(zip((str(files[0]) for files in tests), checked[len(task.cases) :], strict=True))
    faults += [fault for one in checked for fault in one.faults]
    _check_whole(folder, task, trained, tested, faults)
    names = [case.name for case in task.cases]
    split = {} if split_file is None else check_split(split_file, names, faults.report)
    count = f"{len(task.cases)} cases" + (f" and {len(tests)} test images" if tests else "")
    return DataReport(folder, task.name, count, tuple(faults), {**_summary(task, trained), **split})


def _check(task: DecathlonTask, options: Mapping[str, bool], job: Case | tuple[Path, ...]) -> CheckedCase:
    if isinstance(job, Case):
        return check_case(task, job, **options)
    name = split_suffix(job[0].name)[0]
    return check_image(name, job, num_channels=None, headers_only=options["headers_only"])


def _check_whole(
    folder: Path,
    task: DecathlonTask,
    trained: Mapping[str, CheckedCase],
    tested: Mapping[str, CheckedCase],
    faults: FaultList,
) -> None:
    names = {Path(file).resolve(): file for file in trained}
    for file in _listed_tests(folder):
        if (folder / file).resolve() in names:
            faults.report("test-overlap", folder / JSON, f'"test" lists {file}, which is trained on')
    check_duplicates(trained, faults.report, tested=tested)
    check_spacings(trained, faults.report)
    if found := {value for case in trained.values() for value in case.values}:
        check_classes_present(str(folder / JSON), task.labels, found, faults.report)
    told = {_case_name(Path(fault.file)) for fault in faults}
    used = {path.resolve() for case in task.cases for path in (*case.images, case.label)}
    for path in [*_files_in(folder / "imagesTr"), *_files_in(folder / "labelsTr")]:
        if path.resolve() not in used and _case_name(path) not in told:
            faults.report("file-unlisted", path, "belongs to no case")


def _listed_tests(folder: Path) -> list[str]:
    listed = read_json(folder).get("test", [])
    entries = listed if isinstance(listed, list) else []
    files = [entry.get("image") if isinstance(entry, dict) else entry for entry in entries]
    return [file for file in files if isinstance(file, str)]


def _test_images(folder: Path) -> list[tuple[Path, ...]]:
    """The files of each image of imagesTs, several where they are numbered as channels."""
    files = [path for path in _files_in(folder / "imagesTs") if split_suffix(path.name)[1] in VOLUMES]
    if not all(_CHANNEL.search(split_suffix(path.name)[0]) for path in files):
        return [(path,) for path in files]
    images = defaultdict[str, list[Path]](list)
    for path in files:
        images[_case_name(path)].append(path)
    return [tuple(paths) for paths in images.values()]


def _files_in(folder: Path) -> list[Path]:
    """Its files, without hidden ones."""
    return sorted(path for path in folder.glob("*") if path.is_file() and not path.name.startswith("."))


def _case_name(path: Path) -> str:
    return _CHANNEL.sub("", split_suffix(path.name)[0])


def _summary(task: DecathlonTask, trained: Mapping[str, CheckedCase]) -> dict[str, str]:
    rows = {
        "channels": ", ".join(f"{number} {name}" for number, name in enumerate(task.channels)),
        "labels": ", ".join(f"{value} {name}" for value, name in task.labels.items()),
    }
    if task.regions:
        written = zip(task.regions.items(), task.regions_class_order, strict=True)
        rows["labels"] = f"0 to {max(task.labels)}" + (", the last to be ignored" if task.classes.ignored else "")
        rows["regions"] = ", ".join(
            f"{name} {'+'.join(map(str, values))} (written as {value})" for (name, values), value in written
        )
    if known := [case for case in trained.values() if case.shape]:
        rows["shape"] = f"{_range([case.shape for case in known])} voxels"
        rows["spacing"] = f"{_range([case.spacing for case in known])} mm"
    return rows


def _range(sizes: Sequence[tuple[float, ...]]) -> str:
    """Smallest to largest size per axis, or the one size that all have."""
    ends = (np.min(sizes, axis=0), np.max(sizes, axis=0))
    low, high = (" x ".join(f"{size:.4g}" for size in end) for end in ends)
    return low if low == high else f"{low} to {high}"
