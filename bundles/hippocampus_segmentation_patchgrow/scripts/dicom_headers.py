"""Reads of DICOM files what says where each slice lies and what its numbers mean; no pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from monai.utils import optional_import

__all__ = ["Slice", "read_headers", "read_slices"]

pydicom, _has_pydicom = optional_import("pydicom")

Vector = tuple[float, ...]

_NO_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66": "raw or segmented",
    "1.2.840.10008.5.1.4.1.1.30": "parametric map",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "whole slide",
    "1.2.840.10008.5.1.4.1.1.481.2": "RT dose",
}
"""SOP classes, with those below them, that have pixels but are no images of a patient's inside."""

_VOLUMES = {
    "FrameOfReferenceUID": ("", "FrameOfReferenceUID"),
    "TemporalPositionIdentifier": ("", "TemporalPositionIdentifier"),
    "TemporalPositionIndex": ("FrameContentSequence", "TemporalPositionIndex"),
    "StackID": ("FrameContentSequence", "StackID"),
    "EchoNumbers": ("", "EchoNumbers"),
    "EffectiveEchoTime": ("MREchoSequence", "EffectiveEchoTime"),
    "DiffusionBValue": ("MRDiffusionSequence", "DiffusionBValue"),
}
"""Attributes by which two slices belong to two volumes: name, and where it stands (sequence, keyword)."""

_HINTS = ("AcquisitionNumber", "AcquisitionTime", "ContentTime", "TriggerTime", "EchoTime", "SeriesDate", "SeriesTime")
"""Attributes that may differ within a volume, and that may also tell volumes at the same places apart."""


@dataclass(frozen=True, kw_only=True)
class Slice:
    """One plane of voxels: a file's, or one frame of a file's.

    path: of the file.
    frame, num_frames: number of the frame, from 1, and how many the file has.
    series: SeriesInstanceUID; "" where there is none.
    instance: SOPInstanceUID.
    size: rows and columns.
    spacing: mm between rows and between columns.
    position: of the first voxel's centre, mm (LPS).
    orientation: direction of a row and of a column.
    thickness: mm; SliceThickness or else SpacingBetweenSlices.
    rescale: slope and intercept of the stored values.
    stored: BitsAllocated, BitsStored, HighBit, PixelRepresentation, SamplesPerPixel.
    photometric: PhotometricInterpretation.
    image_type: ImageType, or the frame's FrameType.
    volume: what makes slices parts of different volumes, by name.
    hints: what may tell volumes apart that lie at the same places, by name.
    """

    path: str
    frame: int = 1
    num_frames: int = 1
    series: str = ""
    instance: str = ""
    size: tuple[int, int] = (0, 0)
    spacing: Vector | None = None
    position: Vector | None = None
    orientation: Vector | None = None
    thickness: float | None = None
    rescale: tuple[float, float] = (1.0, 0.0)
    stored: tuple[int, ...] = ()
    photometric: str = "MONOCHROME2"
    image_type: tuple[str, ...] = ()
    volume: tuple[tuple[str, str], ...] = ()
    hints: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The file's name, with the frame's number where it has several."""
        name = os.path.basename(self.path)
        return f"{name} frame {self.frame}" if self.num_frames > 1 else name


def read_headers(paths: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Each file's path and its dataset without pixels.

    Raises:
        ValueError: there is no pydicom, or a file can't be read.
    """
    if not _has_pydicom:
        raise ValueError("DICOM needs pydicom: pip install pydicom")
    for path in paths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of values that break a rule of DICOM's, which none of ours may
            try:
                yield path, pydicom.dcmread(path, stop_before_pixels=True, force=True)
            except Exception as error:  # of many kinds, as the file is broken
                line = " ".join(str(error).split())
                raise ValueError(f"can't read the DICOM header of {os.path.basename(path)}: {line}") from error


def read_slices(paths: Iterable[str]) -> tuple[list[Slice], dict[str, list[str]]]:
    """The slices of all files, and the files that are no images, by their kind.

    Raises:
        ValueError: as `read_headers`, or a file's header contradicts itself.
    """
    slices: list[Slice] = []
    others: dict[str, list[str]] = {}
    for path, dataset in read_headers(paths):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if kind := _other_kind(dataset):
                others.setdefault(kind, []).append(path)
            else:
                slices += _slices_of(path, dataset)
    return slices, others


def _other_kind(dataset: Any) -> str:
    """What a file is that is no image; "" for an image."""
    uid = str(dataset.get("SOPClassUID", ""))
    is_other = any(uid == prefix or uid.startswith(f"{prefix}.") for prefix in _NO_IMAGES)
    if not is_other and dataset.get("Rows") and dataset.get("Columns"):
        return ""
    return str(dataset.get("Modality") or pydicom.uid.UID(uid).name or "no image")


def _slices_of(path: str, dataset: Any) -> list[Slice]:
    """One slice per frame."""
    name = os.path.basename(path)
    try:
        if dataset.get("ModalityLUTSequence"):
            raise ValueError("ModalityLUTSequence gives its numbers their meaning, which is not read: use dcm2niix")
        count = int(dataset.get("NumberOfFrames") or 1)
        shared = _first(dataset, "SharedFunctionalGroupsSequence")
        per_frame = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
        if per_frame and len(per_frame) != count:
            raise ValueError(f"NumberOfFrames is {count}, but {len(per_frame)} frames are described")
        common = _common(path, dataset, count)
        groups = [[item, shared, dataset] for item in per_frame] or [[shared, dataset]] * count
        slices = [_slice_of(places, frame, common) for frame, places in enumerate(groups, 1)]
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"the DICOM header of {name} can't be used: {' '.join(str(error).split())}") from error
    return _along_detector(dataset, slices) if count > 1 and not per_frame else slices


def _common(path: str, dataset: Any, count: int) -> dict[str, Any]:
    """What all frames of a file share."""
    keys = ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
    return {
        "path": path,
        "num_frames": count,
        "series": str(dataset.get("SeriesInstanceUID", "")),
        "instance": str(dataset.get("SOPInstanceUID", "")),
        "size": (int(dataset.Rows), int(dataset.Columns)),
        "stored": tuple(int(dataset.get(key) or 0) for key in keys),
        "photometric": str(dataset.get("PhotometricInterpretation", "MONOCHROME2")),
        "hints": tuple((key, str(dataset[key].value)) for key in _HINTS if key in dataset),
    }


def _slice_of(places: Sequence[Any], frame: int, common: dict[str, Any]) -> Slice:
    """A frame's slice; `places` are looked through in turn: its own groups, the shared ones, the dataset."""
    spacing = _find(places, "PixelMeasuresSequence", "PixelSpacing")
    if spacing is None:
        spacing = _find(places, "", "ImagerPixelSpacing")
    thickness = _find(places, "PixelMeasuresSequence", "SliceThickness")
    thickness = thickness or _find(places, "PixelMeasuresSequence", "SpacingBetweenSlices")
    rescale = [_find(places, "PixelValueTransformationSequence", f"Rescale{key}") for key in ("Slope", "Intercept")]
    kinds = [_find(places, f"{kind}FrameTypeSequence", "FrameType") for kind in ("CTImage", "MRImage", "PETFrame")]
    kind = next(filter(None, [*kinds, _find(places, "", "ImageType")]), ())
    values = {name: _find(places, *place) for name, place in _VOLUMES.items()}
    return Slice(
        frame=frame,
        spacing=_vector(spacing, 2),
        position=_vector(_find(places, "PlanePositionSequence", "ImagePositionPatient"), 3),
        orientation=_vector(_find(places, "PlaneOrientationSequence", "ImageOrientationPatient"), 6),
        thickness=abs(float(thickness)) if thickness else None,
        rescale=(float(rescale[0] or 1), float(rescale[1] or 0)),  # ITK also takes a slope of 0 for 1
        image_type=(str(kind),) if isinstance(kind, str) else tuple(map(str, kind)),
        volume=tuple((name, str(value)) for name, value in values.items() if value not in (None, "")),
        **common,
    )


def _along_detector(dataset: Any, slices: list[Slice]) -> list[Slice]:
    """The frames of a nuclear medicine's volume, which has one position and a step; any others as they are."""
    detector = _first(dataset, "DetectorInformationSequence")
    first = _vector(detector.get("ImagePositionPatient"), 3) if detector is not None else None
    orientation = _vector(detector.get("ImageOrientationPatient"), 6) if detector is not None else None
    step = dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness")
    if first is None or orientation is None or not step or "TOMO" not in " ".join(slices[0].image_type):
        return slices
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    normal = (b * f - c * e, c * d - a * f, a * e - b * d)
    places = [
        tuple(start + number * float(step) * part for start, part in zip(first, normal, strict=True))
        for number in range(len(slices))
    ]
    return [replace(one, position=place, orientation=orientation) for one, place in zip(slices, places, strict=True)]


def _find(places: Sequence[Any], sequence: str, keyword: str) -> Any:
    """The first value: of a functional group's sequence, or of an attribute of the dataset itself."""
    for place in places:
        if place is None:
            continue
        item = _first(place, sequence) if sequence else place
        for holder in (item, place):
            if holder is not None and holder.get(keyword) not in (None, ""):
                return holder.get(keyword)
    return None


def _first(dataset: Any, sequence: str) -> Any:
    """The first item of a sequence; None where there is none."""
    return next(iter(dataset.get(sequence) or []), None)


def _vector(values: Any, length: int) -> Vector | None:
    """Floats, or None where there are none or not as many."""
    if values is None or isinstance(values, str) or len(values) != length:
        return None
    return tuple(map(float, values))
