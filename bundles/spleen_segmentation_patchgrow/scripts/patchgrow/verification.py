"""Whether the files of a task's cases are sound: by their headers, or by every voxel."""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .errors import DataError
from .faults import Fault, FaultList
from .header_checks import check_channels, check_image_header, check_label_header, spacing_of
from .nifti_file import NiftiFile, read_header, read_voxels
from .task import Case, DecathlonTask
from .usable_cpus import usable_cpus
from .voxel_checks import check_image_values, check_label_values, check_not_constant

__all__ = ["CheckedCase", "check_case", "check_image", "find_problems", "verify_cases"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckedCase:
    """What a check of one case, or of one image without a label, came to.

    name: of the case.
    faults: all that were found, warnings too.
    shape, spacing: of the image, voxels and mm; empty where its header can't be read.
    values: that its label has; empty where they aren't known.
    digest: of the image's voxels; empty where they weren't read.
    """

    name: str
    faults: tuple[Fault, ...]
    shape: tuple[int, ...] = ()
    spacing: tuple[float, ...] = ()
    values: frozenset[int] = frozenset()
    digest: str = ""


def verify_cases(
    task: DecathlonTask,
    cases: Sequence[Case] | None = None,
    *,
    trust_label_voxels: bool = False,
    num_workers: int | None = None,
    headers_only: bool = False,
) -> None:
    """Read every voxel of the cases and check that image and label belong together.

    All files are whole; the image has the task's channels (4th axis, or one per file), values that float32 holds, and
    not one alone; its files share shape and grid; the label has the image's shape and grid (no voxel is half of one
    off) and only the task's values. A terminal shows progress; warnings are logged, one line per rule.

    Args:
        task: from `read_task`.
        cases: those to check; default: all of the task.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.
        num_workers: threads, each with one file in memory; default: one per core, at most 4.
        headers_only: read no voxel.

    Raises:
        DataError: the first problem in the order of the cases, and how many more cases have one.

    Example:
        >>> verify_cases(DecathlonTask("empty", ("MRI",), {0: "background", 1: "organ"}, ()))
    """
    check = partial(check_case, task, trust_label_voxels=trust_label_voxels, headers_only=headers_only)
    checked = _check_all(check, task.cases if cases is None else cases, num_workers)
    _log_warnings(fault for case in checked for fault in case.faults if fault.is_warning)
    problems = [*_first_faults(checked).values()]
    if problems:
        raise DataError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))


def find_problems(
    task: DecathlonTask,
    cases: Sequence[Case] | None = None,
    *,
    trust_label_voxels: bool = False,
    num_workers: int | None = None,
) -> dict[str, str]:
    """What is wrong with each case that is not sound, in one line, by the case's name; see `verify_cases`.

    Example:
        >>> find_problems(DecathlonTask("empty", ("MRI",), {0: "background", 1: "organ"}, ()))
        {}
    """
    check = partial(check_case, task, trust_label_voxels=trust_label_voxels)
    return _first_faults(_check_all(check, task.cases if cases is None else cases, num_workers))


def check_case(
    task: DecathlonTask, case: Case, *, trust_label_voxels: bool = False, headers_only: bool = False
) -> CheckedCase:
    """Check one case, and find all that is wrong with it.

    Args:
        task: whose channels and labels it must have; where it has none they aren't known.
        case: the case.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.
        headers_only: read no voxel.
    """
    image = check_image(case.name, case.images, num_channels=len(task.channels) or None, headers_only=headers_only)
    faults = FaultList(image.faults)
    reference = _header_of(case.images[0], FaultList()) if image.shape else None
    values: frozenset[int] = frozenset()
    if (label := _header_of(case.label, faults)) is not None:
        check_label_header(label, reference, faults.report, trust_label_voxels=trust_label_voxels)
        if not headers_only and (voxels := _voxels_of(label, faults)) is not None:
            values = check_label_values(case.label, voxels, task.labels, faults.report)
    return replace(image, faults=tuple(faults), values=values)


def check_image(
    name: str, files: Sequence[Path], *, num_channels: int | None, headers_only: bool = False
) -> CheckedCase:
    """Check one image, one file or a file per channel, and find all that is wrong with it.

    Args:
        name: of the case.
        files: of the image.
        num_channels: that it must have; None: any number.
        headers_only: read no voxel.
    """
    faults = FaultList()
    headers = [_header_of(path, faults) for path in files]
    found = [header for header in headers if header is not None]
    for header in found:
        check_image_header(header, num_channels if len(files) == 1 else 1, faults.report)
    if found:
        check_channels(found, faults.report)
    digest = "" if headers_only else _check_voxels(found, faults, is_whole=len(found) == len(files))
    return CheckedCase(name, tuple(faults), *_geometry_of(headers[0]), digest=digest)


def _check_voxels(headers: Sequence[NiftiFile], faults: FaultList, *, is_whole: bool) -> str:
    """Check the voxels of an image; returns their digest, empty where they are unsound."""
    digest, channels = hashlib.blake2b(digest_size=16), []
    for header in headers:
        voxels = _voxels_of(header, faults)
        if voxels is None or not check_image_values(header.path, voxels, faults.report):
            is_whole = False
        else:
            digest.update(repr(voxels.shape).encode())
            digest.update(np.ascontiguousarray(voxels.T).data)
            channels.append(voxels)
    if not is_whole:
        return ""
    check_not_constant(headers[0].path, channels, faults.report)
    return digest.hexdigest()


def _geometry_of(header: NiftiFile | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if header is None or len(header.shape) < 3 or not np.isfinite(header.affine).all():
        return (), ()
    return header.shape[:3], tuple(spacing_of(header).tolist())


def _header_of(path: Path, faults: FaultList) -> NiftiFile | None:
    try:
        return read_header(path)
    except DataError as error:
        _keep(error, path, faults)
    return None


def _voxels_of(header: NiftiFile, faults: FaultList) -> np.ndarray | None:
    try:
        return read_voxels(header)
    except DataError as error:
        _keep(error, header.path, faults)
    return None


def _keep(error: DataError, path: Path, faults: FaultList) -> None:
    faults.report(error.rule or "file-unreadable", path, str(error).removeprefix(f"{path}: "))


def _check_all(check: partial[CheckedCase], cases: Sequence[Case], num_workers: int | None) -> list[CheckedCase]:
    threads = min(4, usable_cpus()) if num_workers is None else max(1, num_workers)
    with ThreadPoolExecutor(threads) as pool:
        # disable=None: silent unless stderr is a terminal
        progress = tqdm(pool.map(check, cases), total=len(cases), desc="verify", unit="case", disable=None, leave=False)
        return list(progress)


def _first_faults(checked: Sequence[CheckedCase]) -> dict[str, str]:
    found = {case.name: [str(fault) for fault in case.faults if not fault.is_warning] for case in checked}
    return {name: faults[0] for name, faults in found.items() if faults}


def _log_warnings(warnings: Iterable[Fault]) -> None:
    """Log one line per rule: a data set may break one in each of its cases."""
    by_rule = defaultdict(list)
    for fault in warnings:
        by_rule[fault.rule].append(fault)
    for rule, faults in by_rule.items():
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        _logger.warning("%s%s [%s]", faults[0], more, rule)
