"""The check of a data set before anything is trained on it, and a summary of what it holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.faults import Fault
from monai_patchgrow.data.tasks.task import JSON
from monai_patchgrow.tools.verify.report import DataReport

__all__ = ["check_data", "repair_data", "verify_data"]


def check_data(
    dataset_dir: str | os.PathLike[str],
    *,
    trust_label_voxels: bool = False,
    num_classes: int | None = None,
    headers_only: bool = False,
    num_workers: int | None = None,
    split_file: str | None = None,
) -> DataReport:
    """Find all that is wrong with a data set: in Decathlon's or nnU-Net's layout, or of labelled images.

    Args:
        dataset_dir: folder with dataset.json; or with train.csv or labels.csv and images, or with a folder per class.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.
        num_classes: of labelled images: labels are 0 to num_classes - 1; default: those that there are.
        headers_only: read headers, and no voxel.
        num_workers: processes, each with one file in memory; 0: this one; default: one per core, at most 8.
        split_file: of one's own, which is checked too; see `read_split_file`.

    Raises:
        DataError: no such folder, or one in none of the layouts.

    Example:
        >>> import tempfile
        >>> from monai_patchgrow.data.synthetic.phantom import write_phantom_task
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     check_data(write_phantom_task(folder, num_cases=3)).title
        'Phantom: 3 cases, no problems found'
    """
    folder = Path(dataset_dir)
    if (folder / JSON).is_file() or not folder.is_dir() or (folder / "imagesTr").is_dir():
        from monai_patchgrow.tools.verify.segmentation import check_segmentation

        options: dict[str, Any] = {"trust_label_voxels": trust_label_voxels, "headers_only": headers_only}
        return check_segmentation(folder, num_workers=num_workers, split_file=split_file, **options)
    from monai_patchgrow.tools.verify.classification import check_classification

    options = {"num_classes": num_classes, "headers_only": headers_only, "split_file": split_file}
    return check_classification(folder, num_workers=num_workers, **options)


def repair_data(report: DataReport, target: str | os.PathLike[str], **options: Any) -> tuple[list[Fault], DataReport]:
    """Copy a data set for segmentation, mend in the copy what is harmless, and check the copy.

    Args:
        report: of the data set.
        target: folder of the copy, new or empty.
        **options: those of `check_data`.

    Returns:
        The faults that were mended, and what was found in the copy.

    Raises:
        DataError: a target that holds something, or a data set that isn't for segmentation.
    """
    from monai_patchgrow.tools.verify.repair import repair

    if not (report.folder / JSON).is_file():
        raise DataError(f"{report.folder}: only data sets with a {JSON} are repaired")
    mended = repair(report.folder, Path(target), report.faults)
    return mended, check_data(target, **options)


def verify_data(dataset_dir: str | os.PathLike[str], *, trust_label_voxels: bool = False) -> str:
    """Check a data set, every voxel of it, and describe it; see `check_data`, which tells all faults at once.

    Args:
        dataset_dir: its folder.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.

    Returns:
        A few lines to print: name, number of cases, channels, labels, and the range of shapes (voxels) and
        spacings (mm), axis by axis; warnings come first.

    Raises:
        DataError: the first fault of the folder or its files, in one line, and how many more there are.

    Example:
        >>> import tempfile
        >>> from monai_patchgrow.data.synthetic.phantom import write_phantom_task
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     print(verify_data(write_phantom_task(folder, num_cases=3)))
        Phantom: 3 cases, no problems found
        channels  0 synthetic
        labels    0 background, 1 head, 2 tail
        shape     32 x 38 x 27 to 34 x 42 x 30 voxels
        spacing   1 x 1 x 1.5 mm
    """
    report = check_data(dataset_dir, trust_label_voxels=trust_label_voxels)
    faults = [fault for fault in report.faults if not fault.is_warning]
    if faults:
        raise DataError(str(faults[0]) + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""))
    return report.as_table()
