"""Writes a label map in the geometry of its image: a NIfTI file, or a DICOM segmentation."""

from __future__ import annotations

import functools
import os
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

__all__ = ["check_format", "check_output", "target_of", "write"]

_COMMAND, _SETTINGS = (runpy.run_path(str(Path(__file__).with_name(f"{name}.py"))) for name in ("command", "settings"))
stop, carried = _COMMAND["stop"], _SETTINGS["carried"]
_MOST_MOVED = 0.01  # voxels: what resampling there and back may move a header by
_CLOSE = 1e-3  # mm
_ENDINGS = {"nifti": ".nii.gz", "dicom-seg": ".dcm"}  # by output_format


def check_output(items: Sequence[dict[str, Any]], output_dir: str | os.PathLike[str]) -> None:
    """Make the folder; a label map must not replace an image, nor lie among those of the next run.

    Raises:
        ValueError: the folder holds one of the images, or can't be written to.
    """
    for item in items:
        paths = item["image"] if isinstance(item["image"], list) else [item["image"]]
        folders = [os.path.dirname(os.path.realpath(path)) for path in paths if not os.path.isdir(path)]
        if os.path.realpath(output_dir) in folders:
            stop(f"output_dir must not be the folder of the images, whose files would be overwritten: {output_dir}")
    _SETTINGS["check_writable"](output_dir)


def check_format(items: Sequence[dict[str, Any]], output_format: str, output_dir: str | os.PathLike[str]) -> None:
    """Say early what the format of the label maps needs.

    Raises:
        ValueError: there is no such format, or a DICOM segmentation can't be written of these images.
    """
    if output_format not in _ENDINGS:
        stop(f"output_format must be one of {', '.join(_ENDINGS)}, got {output_format}")
    if output_format == "dicom-seg":
        _dicom_seg()["check_sources"](items, output_dir)


def write(labels: MetaTensor, item: dict[str, Any], folder: Path, output_format: str, classes: Sequence[Any]) -> Path:
    """The file of a label map, with the image's very geometry: whole, or not at all."""
    array = labels[0].cpu().numpy()
    array = array.astype(np.uint8 if array.max(initial=0) < 256 else np.uint16)
    first = item["image"][0] if isinstance(item["image"], list) else item["image"]
    header: Any = nib.load(first).header if str(first).lower().endswith((".nii", ".nii.gz")) else None
    affine = np.asarray(labels.meta["original_affine"]) if header is None else header.get_best_affine()
    shape = tuple(np.ravel(labels.meta["spatial_shape"])) if header is None else header.get_data_shape()
    if len(shape) == 2 and array.shape[2:] == (1,):
        array = array[..., 0]  # as the image: a slice that was read as a volume of one
    in_mm = affine * ([[1.0]] * 4 if header is None else [[carried("nifti_header").mm_per_unit(header)]] * 3 + [[1.0]])
    moved = carried("nifti_header").voxels_moved((*array.shape, 1)[:3], in_mm, np.asarray(labels.affine))
    if array.shape != tuple(shape)[: array.ndim] or not moved < _MOST_MOVED:
        raise ValueError(f"labels of shape {array.shape}, image of shape {shape}, affines {moved:.2g} voxels apart")
    image = nib.Nifti1Image(array, affine, header)
    image.set_data_dtype(array.dtype)
    image.header["cal_min"] = image.header["cal_max"] = 0  # the image's window, not the labels'
    if header is None:
        image.set_sform(affine, code=1)
        is_orthogonal = np.abs(image.get_qform(coded=False) - affine).max() < _CLOSE
        image.set_qform(affine, code=int(is_orthogonal))  # a qform holds no shear
        image.header.set_xyzt_units("mm")
    folder.mkdir(parents=True, exist_ok=True)
    target = target_of(item, folder, output_format)
    partial = folder / f".{item['name']}.{os.getpid()}.partial{_ENDINGS[output_format]}"
    try:
        if output_format == "dicom-seg":
            _dicom_seg()["write_segmentation"](array, item, partial, *classes)
        else:
            nib.save(image, partial)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def target_of(item: dict[str, Any], folder: str | os.PathLike[str], output_format: str) -> Path:
    """The path of a case's label map."""
    return Path(folder) / f"{item['name']}{_ENDINGS[output_format]}"


@functools.cache
def _dicom_seg() -> dict[str, Any]:
    """The script that writes DICOM; it imports highdicom, which takes a second."""
    return runpy.run_path(str(Path(__file__).with_name("dicom_seg.py")))
