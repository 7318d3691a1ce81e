"""Decides from headers which slices make one volume, and refuses mixtures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NoReturn

import numpy as np

__all__ = [
    "along",
    "check_mixtures",
    "is_placed",
    "normal_of",
    "overlaps",
    "place_text",
    "refuse",
    "refuse_overlaps",
    "some",
    "without_copies",
    "without_localisers",
]

COSINE_TOLERANCE = 1e-3
"""What direction cosines may differ by."""
SPACING_TOLERANCE = 1e-3
"""mm that pixel spacings may differ by."""
PLACE_TOLERANCE = 1e-3
"""mm within which two slices lie at one place."""

Slice = Any  # of dicom_headers.py; scripts know each other by path alone


def refuse(line: str) -> NoReturn:
    """End with a line."""
    raise ValueError(line)


def without_localisers(slices: Sequence[Slice], warnings: list[str]) -> Sequence[Slice]:
    """All slices but those that their header calls a localiser, where there are others."""
    left = [one.name for one in slices if "LOCALIZER" in one.image_type]
    if not left or len(left) == len(slices):
        return slices
    warnings.append(f"{_count(left, 'localiser')} left out, as ImageType says: {some(left)}")
    return [one for one in slices if "LOCALIZER" not in one.image_type]


def check_mixtures(slices: Sequence[Slice]) -> None:
    """One series, all of whose slices say where they lie, look alike and belong to one time point.

    Raises:
        ValueError: it is not so; the line names files.
    """
    series = _grouped(slices, lambda one: one.series)
    if len(series) > 1:
        counts = {uid: f"{_count(group, 'slice')}, such as {group[0].name}" for uid, group in series.items()}
        texts = [f"{uid or 'without a UID'} ({count})" for uid, count in counts.items()]
        refuse(f"{len(series)} DICOM series in one place: {some(texts)}; give the files of each a folder of its own")
    if mosaics := [one.name for one in slices if "MOSAIC" in one.image_type]:
        refuse(f"mosaics hold many slices in one picture, and these are some: {some(mosaics)}; convert with dcm2niix")
    if len(slices) > 1:
        _check_placed(slices)
        _check_alike(slices)
        _check_volumes(slices)


def is_placed(one: Slice) -> bool:
    """Whether a slice says where it lies, as a volume needs."""
    return all(test(one) for test in _PLACES.values())


def _is_position(one: Slice) -> bool:
    return one.position is not None and all(map(math.isfinite, one.position))


def _is_direction(one: Slice) -> bool:
    """Whether there are two unit vectors at right angles."""
    if one.orientation is None:
        return False
    rows = np.reshape(one.orientation, (2, 3))
    return bool(np.abs(rows @ rows.T - np.eye(2)).max() <= 2 * COSINE_TOLERANCE)


def _is_spacing(one: Slice) -> bool:
    return one.spacing is not None and all(math.isfinite(mm) and mm > 0 for mm in one.spacing)


_PLACES: dict[str, Callable[[Slice], bool]] = {
    "ImagePositionPatient": _is_position,
    "ImageOrientationPatient of two directions at right angles": _is_direction,
    "PixelSpacing": _is_spacing,
}


def _check_placed(slices: Sequence[Slice]) -> None:
    for name, test in _PLACES.items():
        if bad := [one.name for one in slices if not test(one)]:
            refuse(f"{len(bad)} of {len(slices)} slices have no {name}, so where they lie is unknown: {some(bad)}")


def _check_alike(slices: Sequence[Slice]) -> None:
    kinds: dict[str, tuple[Callable[[Slice], Sequence[float]], float]] = {
        "orientations": (lambda one: one.orientation, COSINE_TOLERANCE),
        "sizes": (lambda one: one.size, 0),
        "pixel spacings": (lambda one: one.spacing, SPACING_TOLERANCE),
        "numbers of colours": (lambda one: one.stored[4:], 0),
    }
    for name, (value, tolerance) in kinds.items():
        groups: list[list[Slice]] = []
        for one in slices:
            near = (group for group in groups if _are_near(value(group[0]), value(one), tolerance))
            if (group := next(near, None)) is not None:
                group.append(one)
            else:
                groups.append([one])
        _check_one(name, {_text(value(group[0])): group for group in groups})


def _check_volumes(slices: Sequence[Slice]) -> None:
    """No slices of two time points, echoes, stacks or image types."""
    names = sorted({name for one in slices for name, _ in one.volume})
    for name in names:
        _check_one(name, _grouped(slices, partial(_volume_value, name=name)))
    _check_one("ImageType", _grouped(slices, lambda one: "\\".join(one.image_type)))


def _check_one(name: str, groups: dict[str, list[Slice]]) -> None:
    """At most one group; a value for each slice is a number, and names no groups."""
    groups = {value: group for value, group in groups.items() if value}
    total = sum(map(len, groups.values()))
    if len(groups) < 2 or (len(groups) == total > 2 and name not in ("orientations", "sizes", "pixel spacings")):
        return
    files = {value: some([one.name for one in group], 2) for value, group in groups.items()}
    texts = [f"{value} in {_count(group, 'slice')} ({files[value]})" for value, group in groups.items()]
    is_file = next(iter(groups.values()))[0].num_frames > 1
    remedy = "split the file, as dcm2niix does" if is_file else "leave those of one in the folder"
    refuse(f"slices of several {name} are no one volume: {some(texts)}; {remedy}")


def without_copies(
    slices: Sequence[Slice], same_values: Callable[[Slice, Slice], bool], warnings: list[str]
) -> list[Slice]:
    """The slices without those that are another one's copy: at the same place, with the same voxels."""
    kept: list[Slice] = []
    copies: list[str] = []
    for one in slices:
        twins = [twin for twin in kept if _are_near(twin.position, one.position, PLACE_TOLERANCE)]
        if any(same_values(twin, one) for twin in twins):
            copies.append(one.name)
        else:
            kept.append(one)
    if copies:
        warnings.append(f"{_count(copies, 'slice')} left out, having the place and voxels of another: {some(copies)}")
    return kept


def overlaps(slices: Sequence[Slice], nearest: float) -> list[int]:
    """The numbers of the slices behind which another lies at the same place along the normal.

    Args:
        slices: sorted along the normal.
        nearest: share of the usual step below which two lie at one place.
    """
    steps = np.diff([along(slices[0], one) for one in slices])
    apart = steps[steps > PLACE_TOLERANCE]
    least = max(PLACE_TOLERANCE, nearest * float(np.median(apart)) if len(apart) else 0.0)
    return np.flatnonzero(steps <= least).tolist()


def refuse_overlaps(slices: Sequence[Slice], shared: Sequence[int]) -> NoReturn:
    """Say which slices lie at one place.

    Args:
        slices: sorted along the normal.
        shared: as `overlaps` gives it.
    """
    one, other = slices[shared[0]], slices[shared[0] + 1]
    places = len(slices) - len(shared)
    which = f"such as {one.name} and {other.name} at {place_text(one)}{_hint(slices, places)}"
    if places > 1 and len(slices) % places == 0:
        volumes = f"{len(slices) // places} volumes of {places} slices each (time points, echoes or the like)"
        refuse(f"{volumes} in one series, {which}; give the files of each a folder of its own")
    refuse(f"{len(slices)} slices lie at {_count(range(places), 'place')}, {which}; leave one for each place")


def _hint(slices: Sequence[Slice], places: int) -> str:
    """The attribute that tells the volumes at the same places apart, if there is one."""
    for name in dict.fromkeys(name for one in slices for name, _ in one.hints):
        groups = _grouped(slices, partial(_hint_value, name=name))
        if 1 < len(groups) < max(places, 3) and all(len(group) <= places for group in groups.values()):
            return f", which differ in {name} ({some(list(groups))})"
    return ""


def normal_of(one: Slice) -> np.ndarray:
    """The unit normal of a slice's plane."""
    normal = np.cross(one.orientation[:3], one.orientation[3:])
    return normal / np.linalg.norm(normal)


def along(first: Slice, one: Slice) -> float:
    """The place of a slice along the normal of the first, mm."""
    return float(normal_of(first) @ one.position)


def place_text(one: Slice) -> str:
    """A slice's position, mm (LPS)."""
    return _text(one.position)


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many there are more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _volume_value(one: Slice, name: str) -> str:
    return dict(one.volume).get(name, "")


def _hint_value(one: Slice, name: str) -> str:
    return dict(one.hints).get(name, "")


def _grouped(slices: Iterable[Slice], key: Callable[[Slice], str]) -> dict[str, list[Slice]]:
    groups: dict[str, list[Slice]] = {}
    for one in slices:
        groups.setdefault(key(one), []).append(one)
    return groups


def _are_near(one: Sequence[float], other: Sequence[float], tolerance: float) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(one, other, strict=True))


def _text(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:.6g}" for value in values) + ")"


def _count(items: Sequence[Any], noun: str) -> str:
    return f"1 {noun}" if len(items) == 1 else f"{len(items)} {noun}s"
