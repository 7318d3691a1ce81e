"""Reads a DICOM series as one volume: MONAI's ITK reader, which is told the files, their order and their geometry."""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import runpy
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.data import ITKReader
from monai.utils import optional_import

__all__ = ["SeriesReader", "channels_of", "is_dicom", "plan_series"]

itk, _ = optional_import("itk")

_CASES, _GRID, _HEADERS, _PIXELS = (
    runpy.run_path(str(Path(__file__).with_name(f"{name}.py")))
    for name in ("cases", "dicom_grid", "dicom_headers", "dicom_pixels")
)
warn = runpy.run_path(str(Path(__file__).with_name("command.py")))["warn"]
_CLOSE = 1e-3  # mm

# MONAI says so of each LoadImage, where pydicom is installed and nvImageCodec is not.
warnings.filterwarnings("ignore", "NvImgCodecPydicomReader: nvImageCodec decoder plugin did not register", UserWarning)
logging.getLogger("monai.data.nvimgcodec_pydicom_plugin").setLevel(logging.ERROR)


def is_dicom(source: str | os.PathLike[str]) -> bool:
    """Whether it is a folder, which MONAI takes for a DICOM series, or a DICOM file."""
    path = Path(source)
    return path.is_dir() or (path.is_file() and bool(_CASES["_is_dicom"](path)))


def channels_of(image: str | os.PathLike[str] | Sequence[Any]) -> list[str | list[str]]:
    """The sources of a case's channels: folders or files; files of one slice each, of one series, are one source."""
    sources = [str(image)] if isinstance(image, str | os.PathLike) else list(map(str, image))
    if len(sources) == 1 or any(map(os.path.isdir, sources)):
        return [*sources]
    headers = [dataset for _, dataset in _HEADERS["read_headers"](sources)]
    series = {dataset.get("SeriesInstanceUID") for dataset in headers}
    is_one = len(series) == 1 and not any(dataset.get("NumberOfFrames") for dataset in headers)
    return [sources] if is_one else [*sources]


def plan_series(source: str | os.PathLike[str] | Sequence[str]) -> Any:
    """The regular grid that the slices of a folder, of a file or of several files form.

    Raises:
        ValueError: they form none, or there are none; the line says why.
    """
    paths = [str(source)] if isinstance(source, str | os.PathLike) else list(map(str, source))
    if len(paths) == 1 and os.path.isdir(paths[0]):
        paths = [str(path) for path in _CASES["_files"](Path(paths[0])) if _CASES["_is_dicom"](path)]
    else:
        _check_whole(paths)
    slices, others = _HEADERS["read_slices"](paths)
    kinds = [f"{kind} ({len(files)}, such as {os.path.basename(files[0])})" for kind, files in others.items()]
    if not slices:
        raise ValueError(f"no image among its {len(paths)} DICOM files, but {', '.join(kinds) or 'nothing'}")
    same_values = functools.partial(
        _PIXELS["have_same_values"], frames_of=functools.lru_cache(maxsize=2)(_PIXELS["stored_frames"])
    )
    grid = _GRID["plan_grid"](slices, same_values=same_values)
    said = [f"DICOM files that are no images are left out: {', '.join(kinds)}"] if kinds else []
    if inverted := [one.name for one in grid.slices if one.photometric == "MONOCHROME1"]:
        what = "says how to display values, not what they mean: they are read as they are stored, not inverted"
        said.append(f"MONOCHROME1 of {inverted[0]} {what}")
    return dataclasses.replace(grid, warnings=(*said, *grid.warnings))


class SeriesReader(ITKReader):
    """MONAI's ITK reader, for DICOM alone, whose slices are compared before one is read.

    A series of a file per slice is read by ITK, as ever. Frames of multi-frame files, slices whose numbers differ in
    meaning, and MONOCHROME1, which ITK inverts, are decoded by ITK as bare stored values, and get their meaning here.
    """

    def __init__(self, *, is_quiet: bool = False, **options: Any) -> None:
        """Keep back warnings where `is_quiet`; `options` are those of MONAI's reader."""
        super().__init__(**options)
        self.is_quiet = is_quiet

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all of the paths are DICOM files, or folders."""
        paths = [filename] if isinstance(filename, str | os.PathLike) else list(filename)
        return bool(paths) and all(map(is_dicom, paths)) and super().verify_suffix(filename)

    def read(self, data: Any, **options: Any) -> Any:
        """ITK's image of the series; a list of them, of several channels."""
        images = []
        for source in channels_of(data):
            grid = plan_series(source)
            for line in grid.warnings if not self.is_quiet else ():
                warn(f"{source if isinstance(source, str) else os.path.dirname(source[0])}: {line}")
            images.append(_read_grid(grid, **self.kwargs, **options))
        return images if len(images) > 1 else images[0]


def _check_whole(paths: Sequence[str]) -> None:
    """Refuse some slices of a series whose others lie beside them."""
    headers = [dataset for _, dataset in _HEADERS["read_headers"](paths)]
    if any(dataset.get("NumberOfFrames") for dataset in headers):
        return
    folders, given = {Path(path).parent for path in paths}, {os.path.realpath(path) for path in paths}
    beside = [path for folder in folders for path in _CASES["_files"](folder) if os.path.realpath(path) not in given]
    found = _HEADERS["read_headers"](str(path) for path in beside if _CASES["_is_dicom"](path))
    series = {dataset.get("SeriesInstanceUID") for dataset in headers} - {None}
    if missing := sum(dataset.get("SeriesInstanceUID") in series for _, dataset in found):
        total = len(paths) + missing
        raise ValueError(f"{len(paths)} of the {total} DICOM files of one series in {folders.pop()}: give the folder")


def _read_grid(grid: Any, **options: Any) -> Any:
    """ITK's image on the grid."""
    if _PIXELS["itk_gives_meaning"](grid.slices):
        image = _PIXELS["imread"]([one.path for one in grid.slices], **options)
    else:
        image = itk.image_from_array(_PIXELS["decode"](grid.slices))
    if not _is_placed(image, grid.affine):
        _place(image, grid.affine)
    return image


def _is_placed(image: Any, affine: np.ndarray) -> bool:
    """Whether the first and the last voxel of ITK's image lie where they must, which keeps the bits of its geometry."""
    voxels = [[0, 0, 0], [int(size) - 1 for size in itk.size(image)]]
    steps = image.GetSpacing()[2], np.linalg.norm(affine[:3, 2])  # of a single slice, too
    places = [image.TransformIndexToPhysicalPoint(voxel) for voxel in voxels]
    off = np.subtract(places, [affine[:3, :3] @ voxel + affine[:3, 3] for voxel in voxels])
    return bool(max(np.abs(off).max(), abs(np.subtract(*steps))) <= _CLOSE)


def _place(image: Any, affine: np.ndarray) -> None:
    """Give an image its geometry, with a shear where there is one."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(affine[:3, 3].tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(affine[:3, :3] / spacing)))
