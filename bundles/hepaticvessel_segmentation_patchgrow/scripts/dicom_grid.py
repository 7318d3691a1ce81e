"""Decides from the headers of slices, before a voxel is read, whether and how they form one regular grid."""

from __future__ import annotations

import math
import runpy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Grid", "plan_grid"]

_VOLUME = runpy.run_path(str(Path(__file__).with_name("dicom_volume.py")))
along, normal_of, place_text, refuse = (_VOLUME[name] for name in ("along", "normal_of", "place_text", "refuse"))

STEP_TOLERANCE = 0.1
"""Share of a step that a slice may lie off its place: scanners round positions to a tenth of a millimetre."""
PIXEL_TOLERANCE = 0.25
"""Pixels that a slice may lie aside of its place."""
TILT_TOLERANCE = 0.5
"""Pixels by which the last slice may be shifted against the first; beyond, the grid is sheared."""

Slice = Any  # of dicom_headers.py; scripts know each other by path alone


@dataclass(frozen=True, kw_only=True, eq=False)
class Grid:
    """A regular grid of slices.

    slices: in ascending order along the normal of their planes.
    affine: from voxel (column, row, slice) to mm (LPS), (4, 4).
    is_placed: whether the slices say where they lie; a single one may not.
    tilt: degrees between the line through the slices and their normal; 0: none.
    warnings: what was left out or supposed, a line each.
    """

    slices: tuple[Slice, ...]
    affine: np.ndarray
    is_placed: bool = True
    tilt: float = 0.0
    warnings: tuple[str, ...] = ()


def plan_grid(slices: Sequence[Slice], *, same_values: Callable[[Slice, Slice], bool]) -> Grid:
    """The one regular grid that the slices form.

    Args:
        slices: of a folder or a file, in any order; at least one.
        same_values: whether two slices have the same voxels; it is asked where two lie at one place.

    Raises:
        ValueError: they form none; the line says why, with the files, and what would work.
    """
    warnings: list[str] = []
    slices = _VOLUME["without_localisers"](slices, warnings)
    _VOLUME["check_mixtures"](slices)
    if len(slices) > 1:
        slices = sorted(slices, key=lambda one: (along(slices[0], one), one.path, one.frame))
        kept = _VOLUME["without_copies"](slices, same_values, warnings)
        if _VOLUME["overlaps"](kept, STEP_TOLERANCE):
            _VOLUME["refuse_overlaps"](slices, _VOLUME["overlaps"](slices, STEP_TOLERANCE))
        slices = kept
    if len(slices) == 1:
        return _single(slices[0], warnings)
    _check_steps(slices)
    _check_line(slices)
    affine, tilt = _affine(slices)
    if tilt:
        warnings.append(
            f"a gantry tilt of {tilt:.1f} degrees shifts the slices against each other: the label map has their grid, "
            "as NIfTI with a shear in its sform and no qform, which programs that know right angles alone won't open"
        )
    return Grid(slices=tuple(slices), affine=affine, tilt=tilt, warnings=tuple(warnings))


def _single(one: Slice, warnings: list[str]) -> Grid:
    """The grid of a single slice, whose thickness is its third spacing."""
    is_placed = _VOLUME["is_placed"](one)
    if not is_placed:
        warnings.append(f"{one.name} does not say where it lies in the patient, and so the label map does not either")
        spacing = one.spacing if one.spacing and min(one.spacing) > 0 else (1.0, 1.0)
        one = replace(one, spacing=spacing, position=(0.0,) * 3, orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    elif not one.thickness:
        warnings.append(f"{one.name} is a single slice without SliceThickness, which is taken as 1 mm")
    affine = _frame(one)
    affine[:3, 2] *= one.thickness or 1.0
    return Grid(slices=(one,), affine=affine, is_placed=is_placed, warnings=tuple(warnings))


def _check_steps(slices: Sequence[Slice]) -> None:
    """Equal steps along the normal."""
    places = np.array([along(slices[0], one) for one in slices])
    steps = np.diff(places)
    usual = float(np.median(steps))
    if np.abs(places - _line(places)).max() <= STEP_TOLERANCE * usual:
        return
    wide = np.flatnonzero(steps > (1 + 2 * STEP_TOLERANCE) * usual)
    odd = int(wide[0]) if len(wide) else int(np.abs(steps - usual).argmax())
    one, other = slices[odd], slices[odd + 1]
    between = f"between {one.name} at {place_text(one)} and {other.name} at {place_text(other)}"
    parts = steps[wide] / usual
    if len(wide) and np.abs(parts - np.rint(parts)).max() <= 2 * STEP_TOLERANCE:
        missing = int(np.rint(parts).sum()) - len(wide)
        first = "" if len(wide) == 1 else f"in {len(wide)} gaps, the first "
        verb = "is" if missing == 1 else "are"
        what = f"{missing} of {len(slices) + missing} slices {verb} missing, {first}{between}"
        refuse(f"{what}, while other steps are of {usual:.4g} mm; get the whole series")
    refuse(f"steps between slices are not equal, {steps.min():.4g} to {steps.max():.4g} mm, odd {between}")


def _check_line(slices: Sequence[Slice]) -> None:
    """Slices behind each other on one line."""
    positions = np.array([one.position for one in slices])
    off = positions - np.stack([_line(axis) for axis in positions.T], 1)
    pixels = np.abs(off @ np.reshape(slices[0].orientation, (2, 3)).T) / slices[0].spacing[::-1]
    worst = int(pixels.max(1).argmax())
    if pixels.max() > PIXEL_TOLERANCE:
        where = f"{slices[worst].name} at {place_text(slices[worst])}"
        refuse(f"slices do not lie behind each other on one line: {where} lies {pixels.max():.2g} pixels beside it")


def _line(values: np.ndarray) -> np.ndarray:
    """The values of the straight line through equally spaced values that has the least squares."""
    numbers = np.arange(len(values))
    return np.polyval(np.polyfit(numbers, values, 1), numbers)


def _affine(slices: Sequence[Slice]) -> tuple[np.ndarray, float]:
    """The grid's affine (LPS), and its tilt in degrees."""
    affine = _frame(slices[0])
    way = np.subtract(slices[-1].position, slices[0].position)
    normal = affine[:3, 2].copy()
    aside = way - normal * (way @ normal)
    pixels = np.abs(np.reshape(slices[0].orientation, (2, 3)) @ aside) / slices[0].spacing[::-1]
    steps = len(slices) - 1
    if pixels.max() <= TILT_TOLERANCE:
        affine[:3, 2] *= np.linalg.norm(way) / steps  # as ITK has it
        return affine, 0.0
    affine[:3, 2] = way / steps
    return affine, math.degrees(math.atan2(float(np.linalg.norm(aside)), float(way @ normal)))


def _frame(one: Slice) -> np.ndarray:
    """A slice's affine (LPS), with a third axis of 1 mm."""
    affine = np.eye(4)
    affine[:3, 0] = np.multiply(one.orientation[:3], one.spacing[1])
    affine[:3, 1] = np.multiply(one.orientation[3:], one.spacing[0])
    affine[:3, 2] = normal_of(one)
    affine[:3, 3] = one.position
    return affine
