"""Decodes the voxels of DICOM slices, by ITK, and gives the numbers their meaning."""

from __future__ import annotations

import functools
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from monai.utils import optional_import

__all__ = ["decode", "have_same_values", "imread", "itk_gives_meaning", "stored_frames"]

itk, _ = optional_import("itk")
pydicom, _ = optional_import("pydicom")

Slice = Any  # of dicom_headers.py; scripts know each other by path alone
_KEYS = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")


def itk_gives_meaning(slices: Sequence[Slice]) -> bool:
    """Whether ITK alone gives the right numbers: it takes the first slice's meaning for all, inverts MONOCHROME1."""
    first = slices[0]
    return all(
        one.num_frames == 1
        and one.photometric != "MONOCHROME1"
        and (one.rescale, one.stored) == (first.rescale, first.stored)
        for one in slices
    )


def imread(paths: Sequence[str], *, names: Sequence[str] | None = None, **options: Any) -> Any:
    """ITK's image of files of one slice, in their order.

    Args:
        paths: of the files.
        names: that errors give them; the files' own by default.
        options: of ``itk.imread``.

    Raises:
        ValueError: ITK can't decode one of them, which is named.
    """
    names = names or [os.path.basename(path) for path in paths]
    try:
        return itk.imread(list(paths) if len(paths) > 1 else paths[0], **options)
    except RuntimeError as error:
        if len(paths) > 1:
            for path, name in zip(paths, names, strict=True):
                imread([path], names=[name])
        raise ValueError(f"ITK can't decode {names[0]}: it is cut short, or compressed in an unknown way") from error


def decode(slices: Sequence[Slice]) -> np.ndarray:
    """Values (slices, rows, columns), float32: stored values, decoded by ITK, times slope plus intercept.

    Raises:
        ValueError: there are no such values in a file, which is named.
    """
    if others := [one.name for one in slices if not one.photometric.startswith("MONOCHROME")]:
        raise ValueError(f"frames of colour are not read, as of {others[0]} ({slices[0].photometric})")
    volume = np.empty((len(slices), *slices[0].size), np.float32)
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, one in enumerate(slices):
        groups.setdefault(one.stored, []).append(number)  # of one kind of number, which ITK takes from the first
    for members in groups.values():
        stored = _decode_stored([slices[number] for number in members])
        for number, values in zip(members, stored, strict=True):
            slope, intercept = slices[number].rescale
            volume[number] = values * np.float64(slope) + intercept
    return volume


def have_same_values(one: Slice, other: Slice, frames_of: Callable[[str], list[Any]]) -> bool:
    """Whether two slices have the same stored values, of the same meaning; `frames_of` is `stored_frames`, cached."""
    if (one.rescale, one.stored, one.size) != (other.rescale, other.stored, other.size):
        return False
    datasets = [frames_of(each.path)[each.frame - 1] for each in (one, other)]
    return bool(datasets[0].PixelData == datasets[1].PixelData)


def stored_frames(path: str) -> list[Any]:
    """Each frame of a file as a dataset of its own, whose stored values have no meaning: no slope, not MONOCHROME1.

    Raises:
        ValueError: there are no pixels, or too few.
    """
    name = os.path.basename(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, force=True)
        syntax = dataset.file_meta.get("TransferSyntaxUID")
        if "PixelData" not in dataset or dataset.BitsAllocated % 8:
            raise ValueError(f"{name} has no pixels of 8, 16 or 32 bits")
        count = int(dataset.get("NumberOfFrames") or 1)
        if syntax is not None and syntax.is_encapsulated:
            frames = pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=count)
            pieces = [pydicom.encaps.encapsulate([frame]) for frame in frames]
        else:
            syntax = pydicom.uid.ExplicitVRLittleEndian
            pieces = _native_frames(dataset, count)
    if len(pieces) != count:
        raise ValueError(f"{name} has the pixels of {len(pieces)} frames, and not of {count}")
    values = {key: dataset[key].value for key in _KEYS if key in dataset}
    return [_bare(piece, values, syntax) for piece in pieces]


def _decode_stored(slices: Sequence[Slice]) -> np.ndarray:
    """Stored values (slices, rows, columns)."""
    frames_of = functools.lru_cache(maxsize=1)(stored_frames)
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, f"{number}.dcm") for number in range(len(slices))]
        for number in sorted(range(len(slices)), key=lambda number: slices[number].path):  # each file is opened once
            dataset = frames_of(slices[number].path)[slices[number].frame - 1]
            dataset.ImagePositionPatient = [0, 0, number]
            pydicom.dcmwrite(paths[number], dataset, enforce_file_format=True)
        image = imread(paths, names=[one.name for one in slices])
        return itk.array_from_image(image).reshape(len(slices), *slices[0].size)


def _native_frames(dataset: Any, count: int) -> list[bytes]:
    """The bytes of each frame, little endian; as many as there are."""
    pixels = dataset.PixelData
    width = dataset.BitsAllocated // 8
    size = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * width
    if width > 1 and not dataset.original_encoding[1]:
        pixels = np.frombuffer(pixels, f">u{width}").astype(f"<u{width}").tobytes()
    return [pixels[number * size : (number + 1) * size] for number in range(min(count, len(pixels) // size))]


def _bare(pixels: bytes, values: dict[str, Any], syntax: Any) -> Any:
    """A dataset of one frame."""
    dataset = pydicom.Dataset()
    for key, value in values.items():
        setattr(dataset, key, value)
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.CTImageStorage, pydicom.uid.generate_uid()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [1, 1]
    dataset.add_new("PixelData", "OB" if syntax.is_encapsulated or dataset.BitsAllocated == 8 else "OW", pixels)
    dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset
