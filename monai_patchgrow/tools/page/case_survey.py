"""What a page tells of one case: its grid, its intensities, and how much of it each label has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_patchgrow.data.tasks.nifti_file import NiftiFile, read_header, read_voxels
from monai_patchgrow.data.tasks.task import Case, DecathlonTask
from monai_patchgrow.tools.verify.parallel import check_all

__all__ = ["CaseSurvey", "ChannelSurvey", "survey_cases", "turned"]

SAMPLED = 200_000
"""Voxels of a channel, drawn at random, by which its intensities are told."""

_PERCENTILES = (0.5, 50, 99.5)  # nnU-Net clips at the outer ones


@dataclass(frozen=True)
class ChannelSurvey:
    """Intensities of one channel of a case, over those of `SAMPLED` voxels that are not 0.

    low, median, high: 0.5th, 50th and 99.5th percentile; 0 where all voxels are.
    """

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class CaseSurvey:
    """What one case is like.

    name: of the case.
    shape, spacing: voxels and mm along the axes of an orientation.
    channels: intensities.
    counts: voxels by label value.
    """

    name: str
    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    channels: tuple[ChannelSurvey, ...]
    counts: tuple[int, ...]

    @property
    def extent(self) -> tuple[float, ...]:
        """Mm along each axis."""
        return tuple(voxels * mm for voxels, mm in zip(self.shape, self.spacing, strict=True))

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel, ml."""
        return float(np.prod(self.spacing)) / 1000

    def millilitres(self, values: Sequence[int]) -> float:
        """Volume of the voxels that have one of these values."""
        return sum(self.counts[value] for value in values) * self.voxel_ml


def survey_cases(task: DecathlonTask, *, orientation: str, num_workers: int | None = None) -> list[CaseSurvey]:
    """Read all cases, each once and by itself.

    Args:
        task: the data set.
        orientation: codes of the axes along which shapes and spacings are told, as ``RAS``.
        num_workers: processes, each with one case in memory; default: one per core, at most 8.

    Raises:
        DataError: a file that can't be read.
    """
    survey = partial(_survey, num_values=len(task.labels), orientation=orientation)
    return check_all(survey, task.cases, unit="case", num_workers=num_workers, title="survey")


def _survey(case: Case, *, num_values: int, orientation: str) -> CaseSurvey:
    channels: list[ChannelSurvey] = []
    headers = [read_header(path) for path in case.images]
    for header in headers:
        voxels = read_voxels(header)
        channels += [_channel(part) for part in np.moveaxis(voxels, 3, 0)] if voxels.ndim > 3 else [_channel(voxels)]
    label = read_voxels(read_header(case.label))
    counts = np.zeros(num_values, np.int64)
    for part in np.moveaxis(label, -1, 0):
        counts += np.bincount(np.rint(part).ravel().astype(np.intp), minlength=num_values)[:num_values]
    axes = _axes(headers[0], orientation)
    spacing = np.linalg.norm(headers[0].affine[:3, :3], axis=0)
    return CaseSurvey(
        case.name,
        tuple(headers[0].shape[axis] for axis in axes),
        tuple(float(spacing[axis]) for axis in axes),
        tuple(channels),
        tuple(counts.tolist()),
    )


def _channel(voxels: np.ndarray) -> ChannelSurvey:
    flat = voxels.ravel("K")
    if len(flat) > SAMPLED:
        flat = flat[np.random.default_rng(0).integers(len(flat), size=SAMPLED)]
    flat = flat[flat != 0]
    return ChannelSurvey(*(np.percentile(flat, _PERCENTILES).tolist() if len(flat) else (0.0, 0.0, 0.0)))


def _axes(header: NiftiFile, orientation: str) -> list[int]:
    """The stored axis along each axis of an orientation."""
    stored = nib.io_orientation(header.affine)[:, 0].astype(int).tolist()
    wanted = nib.orientations.axcodes2ornt(tuple(orientation))[:, 0].astype(int).tolist()
    return [stored.index(axis) for axis in wanted]


def turned(path: Path, orientation: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """The voxels of a file, turned to an orientation, and their spacing in mm.

    Args:
        path: of a NIfTI file.
        orientation: codes of the axes, as ``RAS``.
    """
    header = read_header(path)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(header.affine), nib.orientations.axcodes2ornt(tuple(orientation))
    )
    spacing = np.linalg.norm(header.affine[:3, :3], axis=0)
    axes = _axes(header, orientation)
    return nib.orientations.apply_orientation(read_voxels(header), turn), tuple(float(spacing[axis]) for axis in axes)
