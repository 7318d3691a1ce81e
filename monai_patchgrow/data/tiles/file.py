"""What all tile sources that read files share: a handle of their own in every process, and errors that say where."""

from __future__ import annotations

import errno
import importlib
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import Self

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tiles.cells import Cell, parse_cells, parse_padding
from monai_patchgrow.data.tiles.finite import check_finite

__all__ = ["FileTiles", "check_readable", "import_reader", "reason_of"]

_KINDS = "biuf"  # what a float32 can stand for: no complex numbers, text or records


class FileTiles(ABC):
    """A tile source on disk. It is opened when it is made, so that a bad file is found at once.

    It can be pickled: what arrives opens the file again when it is first read, and so does a forked process. A
    source that was closed does so too. Threads may read at the same time. As a context it closes at its end.

    Args:
        path: of the file or folder.
        padding: the value of voxels beyond the border.

    Raises:
        DataError: no such file, or one that can't be read.
        ValueError: a padding that the image's type can't hold, or a library that isn't there.
    """

    def __init__(self, path: str | os.PathLike[str], *, padding: float = 0) -> None:
        self.path, self.padding = Path(path), padding
        self._handle: Any = None
        self._process = 0
        shape, dtype = self._describe(self._opened())
        if len(shape) < 2 or 0 in shape:
            raise DataError(f"{self.path}: an image has channels and at least one spatial axis, got shape {shape}")
        if dtype.kind not in _KINDS:
            raise DataError(f"{self.path}: voxels of type {dtype} are not supported", rule="voxel-type")
        self._shape, self._dtype = shape, dtype.newbyteorder("=")
        try:
            parse_padding(padding, self.dtype)
        except TypeError:
            raise DataError(f"{self.path}: voxels of type {dtype} are not supported") from None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(C, *spatial)`."""
        return self._shape

    @property
    def dtype(self) -> torch.dtype:
        """Type of the voxels."""
        return torch.from_numpy(np.empty(0, self._dtype)).dtype

    def read(self, cells: Sequence[Cell]) -> Tensor:
        """The patches of cells of one size, `(len(cells), C, *patch)`, in the file's type.

        Raises:
            ValueError: no cells, cells of several sizes or of the wrong number of axes.
            DataError: a part of the file that can't be read, or voxels that are NaN, infinite or too large for float32;
                names the file and the place.
        """
        starts, size = parse_cells(cells, self.shape)
        patches = np.full((len(starts), self.shape[0], *size), self.padding, self._dtype)
        self._fill(self._opened(), patches, starts)
        voxels = torch.from_numpy(patches)
        check_finite(voxels, starts, image=str(self.path))
        return voxels

    def close(self) -> None:
        """Close the file; reading opens it again."""
        handle, self._handle = self._handle, None
        if handle is not None and self._process == os.getpid() and hasattr(handle, "close"):
            handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_handle": None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.path)!r}, shape={self.shape})"

    def _opened(self) -> Any:
        if self._handle is None or self._process != os.getpid():
            check_readable(self.path)
            self._handle, self._process = self._open(), os.getpid()
        return self._handle

    def _error(self, message: str) -> DataError:
        return DataError(f"{self.path}: {message}")

    @abstractmethod
    def _open(self) -> Any:
        """A handle on the file, for this process."""

    @abstractmethod
    def _describe(self, handle: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape `(C, *spatial)` and type of the image."""

    @abstractmethod
    def _fill(self, handle: Any, patches: NDArray[Any], starts: Sequence[tuple[int, ...]]) -> None:
        """Write what lies inside the image into the patches `(N, C, *patch)` with these first voxels."""


def check_readable(path: str | os.PathLike[str]) -> None:
    """Check that a file or folder is there, and that this user may read it.

    Raises:
        DataError: it isn't, or the user may not.
    """
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file", rule="image-missing") from None
    except OSError as error:
        raise DataError(f"{path}: can't be opened ({error.strerror})", rule="file-unreadable") from None
    if not os.access(path, os.R_OK | (os.X_OK if is_folder else 0)):
        what = f"can't be opened ({os.strerror(errno.EACCES)}): this user may not read it"
        raise DataError(f"{path}: {what}", rule="file-unreadable")


def reason_of(error: Exception, *, otherwise: str) -> str:
    """Why a part of a file isn't there, for a message: that it can't be read, or else what `otherwise` says of it.

    >>> reason_of(PermissionError(13, "Permission denied"), otherwise="can't be decoded")
    "can't be read (Permission denied)"
    >>> reason_of(EOFError(), otherwise="can't be decoded")
    "can't be decoded (EOFError)"
    """
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read ({error.strerror})"
    return f"{otherwise} ({str(error) or type(error).__name__})"


def import_reader(name: str, *, extra: str, path: Path) -> ModuleType:
    """The library that reads a file.

    Raises:
        ValueError: it isn't installed; says what installs it.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ValueError(f"{path}: reading it needs {name}: pip install monai-patchgrow[{extra}]") from None
