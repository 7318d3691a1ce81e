"""Writes a label map as a DICOM segmentation (SEG) that refers to the series it was made of; highdicom does."""

from __future__ import annotations

import json
import os
import re
import runpy
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.utils import optional_import

__all__ = ["check_sources", "write_segmentation"]

highdicom, _has_highdicom = optional_import("highdicom")
pydicom, _ = optional_import("pydicom")
codes, _ = optional_import("pydicom.sr.codedict", name="codes")
Code, _ = optional_import("pydicom.sr.coding", name="Code")

_DICOM = runpy.run_path(str(Path(__file__).with_name("dicom.py")))
stop = runpy.run_path(str(Path(__file__).with_name("cases.py")))["stop"]
carried = runpy.run_path(str(Path(__file__).with_name("carried.py")))["carried"]
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID", "SOPInstanceUID", "FrameOfReferenceUID", "Modality")
_MAY_BE_EMPTY = {
    **dict.fromkeys(("PatientID", "PatientName", "AccessionNumber", "StudyID"), ".+"),
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), r"\d{8}"),
    "PatientSex": "[MFO]",
    "StudyTime": r"\d{2,6}(\.\d{1,6})?",
}
_SCHEME = "99PATCHGROW"  # a private coding scheme's name starts with 99
_LONGEST_MEANING = 64


def check_sources(items: Sequence[dict[str, Any]], output_dir: str | os.PathLike[str]) -> None:
    """What a SEG needs: highdicom, and for every case a DICOM series, which lies in another folder than the SEG.

    Raises:
        ValueError: one of them is missing.
    """
    if not _has_highdicom:
        stop("output_format dicom-seg needs highdicom: pip install highdicom")
    others = [item["name"] for item in items if not _DICOM["is_dicom"](_first_path(item))]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        what = f"{', '.join(others[:3])}{more} {'is' if len(others) == 1 else 'are'} none"
        stop(f"output_format dicom-seg refers to a DICOM series, and {what}: write nifti instead")
    if os.path.realpath(output_dir) in (os.path.realpath(_first_path(item)) for item in items):
        stop(f"output_dir must not be the folder of a series, which a segmentation would become part of: {output_dir}")


def write_segmentation(
    labels: np.ndarray,
    item: dict[str, Any],
    path: str | os.PathLike[str],
    names: Mapping[str, Any] | None = None,
    regions_class_order: Sequence[int] | None = None,
) -> None:
    """Write the SEG of a case: a segment for each label, or for each region, which may overlap.

    Args:
        labels: (columns, rows, slices), in the order of the series' grid.
        item: of `find_images`.
        path: of the file.
        names: the bundle's labels; None: they are called by their value.
        regions_class_order: the bundle's, where its labels are regions.

    Raises:
        ValueError: the series can't be referred to.
    """
    grid = _DICOM["plan_series"](_DICOM["channels_of"](item["image"])[0])  # the labels have the first channel's grid
    if not grid.is_placed:
        raise ValueError("a DICOM segmentation needs slices that say where they lie: write nifti instead")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sources, masks = _sources(grid.slices, np.ascontiguousarray(labels.T))
        segments, masks = _segments(masks, names, regions_class_order)
        segmentation = highdicom.seg.Segmentation(
            source_images=sources,
            pixel_array=masks,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=segments,
            series_instance_uid=highdicom.UID(),
            series_number=int(sources[0].get("SeriesNumber") or 0) + 1000,
            series_description=f"segmentation by {_bundle()['name']}"[:_LONGEST_MEANING],
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="monai-patchgrow",
            manufacturer_model_name=_bundle()["name"],
            software_versions=_bundle()["version"],
            device_serial_number="0",
        )
        segmentation.save_as(path)


def _first_path(item: dict[str, Any]) -> str:
    return str(item["image"][0] if isinstance(item["image"], list | tuple) else item["image"])


def _sources(slices: Sequence[Any], masks: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """The datasets that the masks (slices, rows, columns) refer to, and the masks in their order."""
    paths = list(dict.fromkeys(one.path for one in slices))
    datasets = [_source(path) for path in paths]
    if slices[0].num_frames == 1:
        return datasets, masks
    if len(paths) > 1:
        raise ValueError(f"a DICOM segmentation refers to one multi-frame file, not {len(paths)}: write nifti instead")
    frames = np.zeros((slices[0].num_frames, *masks.shape[1:]), masks.dtype)  # a copy that was left out stays empty
    for one, mask in zip(slices, masks, strict=True):
        frames[one.frame - 1] = mask
    return datasets, frames


def _source(path: str) -> Any:
    """A file's dataset without pixels, where what anonymisation took from it, or made no value of its kind, is empty.

    Raises:
        ValueError: it lacks what a reference to it needs.
    """
    dataset = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    if missing := [keyword for keyword in _NEEDED if not dataset.get(keyword)]:
        what = f"{', '.join(missing)}, which {os.path.basename(path)} lacks"
        raise ValueError(f"a DICOM segmentation needs {what}: write nifti instead")
    for keyword, pattern in _MAY_BE_EMPTY.items():
        if not re.fullmatch(pattern, str(dataset.get(keyword) or "")):
            setattr(dataset, keyword, "")
    return dataset


def _segments(masks: np.ndarray, names: Any, order: Any) -> tuple[list[Any], np.ndarray]:
    """What each segment is, and the masks (slices, rows, columns) by their numbers; of regions a mask each, behind."""
    classes = None if names is None else carried("segmentation_classes").parse_labels(names, order)
    if classes is not None and classes.regions:
        described = [_segment(number, name) for number, name in enumerate(classes.regions, start=1)]
        return described, np.stack([np.isin(masks, values) for values in classes.regions.values()], -1)
    known = () if classes is None else classes.structures
    count = max(int(masks.max(initial=0)), len(known))
    told = [*known, *(f"label {value}" for value in range(len(known) + 1, count + 1))]
    return [_segment(value, name) for value, name in enumerate(told, start=1)], masks


def _segment(value: int, name: str) -> Any:
    """What a label, or a region by its number, means.

    Its code is the bundle's own, for nobody says which structure in SNOMED it is.
    """
    bundle = _bundle()
    return highdicom.seg.SegmentDescription(
        segment_number=value,
        segment_label=name[:_LONGEST_MEANING],
        segmented_property_category=codes.cid7150.AnatomicalStructure,
        segmented_property_type=Code(f"label-{value}", _SCHEME, name[:_LONGEST_MEANING]),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=bundle["name"], version=bundle["version"], family=codes.cid7162.ArtificialIntelligence
        ),
    )


def _bundle() -> Mapping[str, Any]:
    """The bundle's metadata."""
    return json.loads(Path(__file__).resolve().parents[1].joinpath("configs", "metadata.json").read_text("utf-8"))
