"""What the header of a NIfTI file tells, and of an image and its label both: no voxel is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .faults import Report
from .nifti_file import NiftiFile
from .nifti_header import SAME_VOXEL, mm_per_unit, off_grid, voxels_moved

__all__ = ["check_channels", "check_header", "check_image_header", "check_label_header", "spacing_of"]

_SAME_SPACING = 1e-3  # of a spacing; single precision rounds less
_RIGHT_ANGLE = 1e-2  # cosine between axes
_USUAL_MM = (1e-3, 100.0)


def check_image_header(file: NiftiFile, num_channels: int | None, report: Report) -> None:
    """Report what is wrong with the header of an image.

    Args:
        file: of the image, or of one of its channels.
        num_channels: that it must have; None: any number.
        report: is told each fault.
    """
    check_header(file, report)
    shape = file.shape
    if len(shape) < 3:
        report("axes", file.path, f"shape {shape}: images have 2 or 3 axes, and a last one of channels")
        return
    if len(shape) > 4:
        report("axes", file.path, f"shape {shape}: images have 2 or 3 axes, and one of channels")
        return
    found = shape[3] if len(shape) > 3 else 1
    if num_channels is not None and found != num_channels:
        report("channel-count", file.path, f"shape {shape} has {found} channels, dataset.json {num_channels}")
    if not np.isfinite(file.affine).all():
        report("affine-not-finite", file.path, "its affine has NaN or infinite entries: set sform or qform right")
    elif np.linalg.matrix_rank(file.affine[:3, :3]) < 3:
        what = "its header gives voxels no extent in space (sform and qform): set one of them right"
        report("no-extent", file.path, what)


def check_channels(files: Sequence[NiftiFile], report: Report) -> None:
    """Report channels, one file each, that don't lie on the grid of the first."""
    first, *others = files
    for file in others:
        if file.shape[:3] != first.shape[:3]:
            report("channel-shape", file.path, f"shape {file.shape[:3]}, but {first.path.name} has {first.shape[:3]}")
        elif not (moved := voxels_moved(first.shape[:3], first.affine, file.affine)) < SAME_VOXEL:
            what = f"affine is {moved:.3g} voxels off that of {first.path.name}: resample it"
            report("channel-grid", file.path, what)


def check_label_header(
    label: NiftiFile, image: NiftiFile | None, report: Report, *, trust_label_voxels: bool = False
) -> None:
    """Report what is wrong with the header of a label, by itself and beside its image's.

    Args:
        label: its file.
        image: the first file of its image; None: it can't be read.
        report: is told each fault.
        trust_label_voxels: a label with its image's shape belongs to the image's voxels, whatever its header says.
    """
    check_header(label, report)
    if label.dtype.kind == "f":
        report("label-float", label.path, f"label map of type {label.dtype}: save it as integers")
    shape = label.shape
    if len(shape) == 4 and shape[3] == 1:
        report("label-extra-axis", label.path, f"shape {shape}: has a last axis of one, which is left out")
        shape = shape[:3]
    if image is None:
        return
    if shape != image.shape[:3]:
        report("label-shape", label.path, f"shape {shape}, but its image has {image.shape[:3]}")
    elif not trust_label_voxels and not (moved := voxels_moved(shape, image.affine, label.affine)) < SAME_VOXEL:
        report("label-grid", label.path, off_grid(moved))


def check_header(file: NiftiFile, report: Report) -> None:
    """Report what any header may have wrong: scaling, spacing, axes and codes."""
    slope, inter = (float(file.raw[key]) if key in file.raw else 1.0 for key in ("scl_slope", "scl_inter"))
    if not np.isfinite(slope) and not (np.isnan(slope) and np.isnan(inter)):  # both NaN: nibabel's own "none"
        report("scale-ignored", file.path, f"scl_slope is {slope}: it is taken for 1")
    elif slope and np.isfinite(slope) and not np.isfinite(inter):
        report("scale", file.path, f"scl_inter is {inter}: write 0")
    axes = min(3, len(file.header.get_data_shape()))
    raw = np.asarray(file.raw["pixdim"][1 : 1 + axes], float)
    codes = int(file.raw["qform_code"]), int(file.raw["sform_code"])
    if not codes[1] > 0 and (raw == 0).any():
        report("spacing-zero", file.path, f"spacing {_text(raw)}: 0 is taken for 1 mm")
    if np.isfinite(file.affine).all():
        _check_spacing(file, raw, report)
    if max(codes) <= 0:
        report("form-codes", file.path, "qform_code and sform_code are 0: which way it lies is a guess")


def spacing_of(file: NiftiFile) -> np.ndarray:
    """Spacing in mm, by the affine, of the three axes."""
    return np.linalg.norm(file.affine[:3, :3], axis=0)


def _check_spacing(file: NiftiFile, raw: np.ndarray, report: Report) -> None:
    spacing = spacing_of(file)[: len(raw)]
    told = raw * mm_per_unit(file.header)
    if not (spacing > 0).all():
        return
    if (raw < 0).any() or not np.allclose(np.where(told == 0, spacing, np.abs(told)), spacing, rtol=_SAME_SPACING):
        report("spacing-unlike-affine", file.path, f"spacing {_text(told)} mm, but its affine has {_text(spacing)}")
    if spacing.min() < _USUAL_MM[0] or spacing.max() > _USUAL_MM[1]:
        report("spacing-absurd", file.path, f"spacing {_text(spacing)} mm: is the unit right?")
    directions = file.affine[:3, :3] / spacing_of(file)
    if np.abs(directions.T @ directions - np.eye(3)).max() > _RIGHT_ANGLE:
        report("affine-sheared", file.path, "its axes are not at right angles: resample it")
    elif min(int(file.raw["qform_code"]), int(file.raw["sform_code"])) > 0:
        qform = file.header.get_qform() * ([[mm_per_unit(file.header)]] * 3 + [[1]])
        if not (moved := voxels_moved(file.shape[:3], file.affine, qform)) < SAME_VOXEL:
            what = f"its qform puts voxels {moved:.3g} voxels off its sform, which is read"
            report("qform-unlike-sform", file.path, what)


def _text(sizes: np.ndarray) -> str:
    return " x ".join(f"{size:.4g}" for size in sizes)
