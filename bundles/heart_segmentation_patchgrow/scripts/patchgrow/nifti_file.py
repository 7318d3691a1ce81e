"""Reads a NIfTI file to its last byte, header first, so that whatever is wrong with it has a name."""

from __future__ import annotations

import gzip
import io
import logging
import math
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError, ImageDataError
from nibabel.wrapstruct import WrapStructError

from .errors import DataError
from .nifti_header import mm_per_unit, volume_shape
from .size_limit import check_size

__all__ = ["NiftiFile", "read_header", "read_voxels"]

_GZIP = b"\x1f\x8b"
_NIFTI2_STARTS = (b"\x1c\x02\x00\x00", b"\x00\x00\x02\x1c")  # its header's size, 540, in either byte order
_HEADER_BYTES = 540  # of NIfTI-2; NIfTI-1 has fewer
_CHUNK = 2**20
_MOST_BEHIND = 64 * _CHUNK  # bytes behind the voxels; some programs leave a few
_NOT_HEADER: tuple[type[Exception], ...] = (ValueError, OverflowError, KeyError, WrapStructError)
_NOT_HEADER += (ImageFileError, HeaderDataError, ImageDataError)
_SILENT = logging.Logger("nifti", logging.CRITICAL + 1)  # nibabel's own remarks: the rules have their names


@dataclass(frozen=True)
class NiftiFile:
    """A file whose header has been read.

    path: of the file.
    header: nibabel's, with what nibabel mends.
    raw: the header as the file has it.
    shape: of the voxels, as `volume_shape` gives it.
    dtype: of the voxels in the file.
    affine: (4, 4), from voxels to mm.
    end: bytes of the file, unpacked, up to the last voxel.
    """

    path: Path
    header: Any
    raw: Any
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    affine: np.ndarray
    end: int


def read_header(path: Path) -> NiftiFile:
    """Read a file's header, and compare what it promises with the file's size and with the limit.

    Raises:
        DataError: whatever is wrong with it, with its rule.
    """
    try:
        stored = path.stat().st_size
        with _opened(path) as stream:
            block = _read(stream, _HEADER_BYTES, path)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})", rule="file-unreadable") from None
    kind = nib.Nifti2Header if block[:4] in _NIFTI2_STARTS else nib.Nifti1Header
    try:
        raw = kind(block[: kind.sizeof_hdr], check=False)
        header = raw.copy()
        header.check_fix(logger=_SILENT)
        shape, dtype = tuple(map(int, header.get_data_shape())), header.get_data_dtype()
        affine = header.get_best_affine() * ([[mm_per_unit(header)]] * 3 + [[1]])
        start = header.get_data_offset()
    except _NOT_HEADER as error:
        raise _corrupt(path, error, "file-truncated" if len(block) < kind.sizeof_hdr else "no-nifti") from None
    if not shape or min(shape) < 1:
        raise _corrupt(path, f"0 voxels of type {dtype}", "no-voxels")
    if dtype.kind not in "iuf":
        what = f"voxels of type {dtype} are not supported: save numbers, of complex ones the magnitude"
        raise DataError(f"{path}: {what}", rule="voxel-type")
    size = math.prod(shape) * dtype.itemsize
    check_size(path, start + size, stored=stored)
    if path.suffix.lower() != ".gz" and stored < start + size:
        raise _corrupt(path, f"{start + size - stored} bytes are missing", "file-truncated")
    return NiftiFile(path, header, raw, volume_shape(shape), dtype, affine, start + size)


def read_voxels(file: NiftiFile) -> np.ndarray:
    """All voxels; unlike `nibabel.load`, a compressed file is read to its checksum.

    Raises:
        DataError: whatever is wrong with them, with its rule.
    """
    path = file.path
    try:
        with _opened(path) as stream:
            content = _read(stream, file.end, path)
            _read_to_checksum(stream, path)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})", rule="file-unreadable") from None
    if len(content) < file.end:
        raise _corrupt(path, f"{file.end - len(content)} bytes are missing", "file-truncated")
    try:
        voxels = np.asanyarray(ArrayProxy(io.BytesIO(content), file.header))
    except _NOT_HEADER as error:
        raise _corrupt(path, error, "no-nifti") from None
    return voxels.reshape(file.shape)


def _opened(path: Path) -> Any:
    """The file's content, unpacked; what isn't packed as its name says is refused."""
    with open(path, "rb") as file:
        start = file.read(len(_GZIP))
    if not start:
        raise _corrupt(path, "it is empty", "file-empty")
    is_packed = start == _GZIP
    if is_packed and path.suffix.lower() != ".gz":
        raise DataError(f"{path}: is compressed, but not called .gz: rename it", rule="compression-suffix")
    if not is_packed and path.suffix.lower() == ".gz" and len(start) == len(_GZIP):
        raise DataError(f"{path}: is called .gz, but not compressed: rename it", rule="compression-suffix")
    return gzip.open(path) if is_packed else open(path, "rb")


def _read(stream: Any, count: int, path: Path) -> bytes:
    try:
        return bytes(stream.read(count))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _corrupt(path, error, _rule_of(error)) from None


def _read_to_checksum(stream: Any, path: Path) -> None:
    behind = 0
    while chunk := _read(stream, _CHUNK, path):
        behind += len(chunk)
        if behind > _MOST_BEHIND:
            what = f"unfolds to more than {_MOST_BEHIND // _CHUNK} MiB behind its voxels: replace the file"
            raise DataError(f"{path}: {what}", rule="too-large")


def _rule_of(error: Exception) -> str:
    return "file-truncated" if isinstance(error, EOFError) else "gzip-damaged"


def _corrupt(path: str | os.PathLike[str], error: object, rule: str) -> DataError:
    return DataError(f"{path}: truncated or corrupt NIfTI ({error}): replace the file", rule=rule)
