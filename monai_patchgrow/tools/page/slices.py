"""Sample slices of a case with its labels outlined, as PNGs within a page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from monai_patchgrow.data.tasks.task import Case
from monai_patchgrow.label_classes import LabelClasses
from monai_patchgrow.tools.page.case_survey import CaseSurvey, turned
from monai_patchgrow.tools.page.text import number

__all__ = ["COLOURS", "SampleSlice", "choose_samples", "sample_slice"]

COLOURS = ("#d55e00", "#009e73", "#0072b2", "#cc79a7", "#e69f00", "#56b4e9", "#b3b300", "#7f5fc7")
"""Of the structures, in turn: apart for the colour-blind too, and on grey (Okabe and Ito's, and two more)."""

_PLANES = ("sagittal", "coronal", "axial")  # across the axes of RAS
_SIDE = 260  # pixels of the longer side
_IGNORED = np.array([150, 120, 190], float)
_MOST_CHANNELS = 4
_MARGIN = 2  # voxels


@dataclass(frozen=True)
class SampleSlice:
    """One slice of a case.

    name: of the case.
    caption: which slice it is, and how large one of its pixels.
    pictures: by channel, a PNG as a ``data:`` address and its width and height in pixels.
    """

    name: str
    caption: str
    pictures: tuple[tuple[str, str, int, int], ...]


def choose_samples(
    cases: Sequence[CaseSurvey], suspects: Sequence[str], *, num_labels: int, count: int = 6
) -> list[str]:
    """Names of cases to show: from the least to the most foreground, and the first suspicious ones.

    Args:
        cases: as they were surveyed.
        suspects: names of suspicious cases.
        num_labels: label values that aren't ignored, the background too.
        count: how many of each kind, at most.
    """
    by_size = sorted(cases, key=lambda case: sum(case.counts[1:num_labels]) * case.voxel_ml)
    places = np.unique(np.linspace(0, len(by_size) - 1, count).round().astype(int))
    usual = [by_size[place].name for place in places]
    return list(dict.fromkeys([*usual, *list(dict.fromkeys(suspects))[: count // 2]]))


def sample_slice(case: Case, survey: CaseSurvey, classes: LabelClasses, channels: Sequence[str]) -> SampleSlice:
    """The slice with the most foreground, across the axis of the thickest voxels, its structures outlined.

    It lies as radiologists have it: the patient's right and front are left and up.

    Args:
        case: whose files are read.
        survey: of the case.
        classes: what the label values stand for.
        channels: names; the first four are shown.
    """
    label, spacing = turned(case.label, "RAS")
    label = (np.rint(label).astype(np.int32) if label.dtype.kind == "f" else label).reshape(label.shape[:3])
    across = _across(spacing)
    foreground = (label > 0) & (label < classes.num_labels)
    area = foreground.sum(tuple(axis for axis in range(3) if axis != across))
    place = int(area.argmax()) if area.any() else label.shape[across] // 2
    volumes = _channels(case, survey)
    greys = [_as_seen(np.take(voxels, place, across), across) for voxels, _ in volumes]
    shown = _as_seen(np.take(label, place, across), across)
    box = _box(np.any([shown != 0, *(grey != 0 for grey in greys)], axis=0))
    shown = shown[box]
    pixel = tuple(mm for axis, mm in enumerate(spacing) if axis != across)
    size = _pixels(shown.shape, (pixel[1], pixel[0]))
    outlines = _outlines(shown, classes, size)
    pictures = []
    for name, grey, (_, limits) in zip(channels, greys, volumes, strict=False):
        pictures.append((name, _png(grey[box], limits, outlines, size), *size))
    parts = (
        f"{_PLANES[across]} slice {place + 1} of {label.shape[across]}, pixels of {' x '.join(map(number, pixel))} mm"
    )
    return SampleSlice(case.name, parts, tuple(pictures))


def _across(spacing: Sequence[float]) -> int:
    """The axis across the slices: that of the thickest voxels, the last of equal ones."""
    return max(range(3), key=lambda axis: (round(spacing[axis], 3), axis))


def _channels(case: Case, survey: CaseSurvey) -> list[tuple[np.ndarray, tuple[float, float]]]:
    volumes = []
    for path in case.images[:_MOST_CHANNELS]:
        voxels, _ = turned(path, "RAS")
        volumes += list(np.moveaxis(voxels, 3, 0)) if voxels.ndim > 3 else [voxels]
    limits = [(own.low, own.high) for own in survey.channels[:_MOST_CHANNELS]]
    return list(zip(volumes, limits, strict=False))


def _as_seen(plane: np.ndarray, across: int) -> np.ndarray:
    """A plane of a RAS volume as an image (rows, columns)."""
    return plane.T[::-1] if across == 0 else plane.T[::-1, ::-1]


def _box(mask: np.ndarray) -> tuple[slice, ...]:
    """The part of a plane that holds all that is not 0, with a margin; all of an empty one."""
    if not mask.any():
        return tuple(slice(None) for _ in mask.shape)
    places = np.argwhere(mask)
    return tuple(
        slice(max(0, low - _MARGIN), high + _MARGIN + 1) for low, high in zip(places.min(0), places.max(0), strict=True)
    )


def _pixels(shape: tuple[int, ...], spacing: tuple[float, float]) -> tuple[int, int]:
    """Width and height of an image (rows, columns) of such spacing."""
    height, width = (voxels * mm for voxels, mm in zip(shape, spacing, strict=True))
    factor = _SIDE / max(height, width)
    return max(1, round(width * factor)), max(1, round(height * factor))


def _outlines(label: np.ndarray, classes: LabelClasses, size: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Masks of pixels, and their colours."""
    layers = []
    for number_, values in enumerate(classes.values):
        mask = _scaled(np.isin(label, values), size)
        layers.append((mask & ~_eroded(mask), _rgb(COLOURS[number_ % len(COLOURS)])))
    return layers if classes.ignored is None else [(_scaled(label == classes.ignored, size), _IGNORED), *layers]


def _scaled(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).resize(size, Image.Resampling.NEAREST), bool)


def _eroded(mask: np.ndarray) -> np.ndarray:
    """A mask without its outermost pixels."""
    padded = np.pad(mask, 1, mode="edge")
    return mask & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)], float)


def _png(
    grey: np.ndarray,
    limits: tuple[float, float],
    outlines: Sequence[tuple[np.ndarray, np.ndarray]],
    size: tuple[int, int],
) -> str:
    low, high = limits
    scaled = np.clip((grey.astype(float) - low) / (high - low or 1.0), 0, 1)
    image = Image.fromarray((255 * scaled).astype(np.uint8)).resize(size, Image.Resampling.BILINEAR)
    pixels = np.repeat(np.asarray(image, float)[:, :, None], 3, axis=2)
    for number_, (mask, colour) in enumerate(outlines):
        is_area = number_ == 0 and colour is _IGNORED
        pixels[mask] = 0.65 * pixels[mask] + 0.35 * colour if is_area else colour
    stream = io.BytesIO()
    Image.fromarray(pixels.round().astype(np.uint8)).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
