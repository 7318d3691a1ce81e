"""How large a file of images may be once it is unpacked: a few bytes may stand for more than any memory holds."""

from __future__ import annotations

import math
import os
from collections.abc import Callable

from .errors import DataError

__all__ = ["LIMIT_VARIABLE", "check_size", "largest_bytes"]

LIMIT_VARIABLE = "PATCHGROW_MAX_FILE_GIB"
"""The variable of the environment that sets the limit, in GiB."""

_GIB = 2**30
_DEFAULT_GIB = 16.0
_BOMB_BYTES, _BOMB_RATIO = _GIB, 1000  # scans shrink two- to fourfold, label maps a few hundredfold


def check_size(
    path: str | os.PathLike[str], num_bytes: int, *, stored: int | Callable[[], int], what: str = "voxels"
) -> None:
    """Refuse what would not fit, before it is read.

    Args:
        path: of the file.
        num_bytes: that it takes in memory, as its header says.
        stored: bytes that it takes in the file, or what counts them where that is needed.
        what: takes them.

    Raises:
        DataError: more than the limit; or, where none is set, 1 GiB or more from a thousandth of it.
        ValueError: a limit that is no number above 0.

    >>> check_size("a.nii", 27 * 10**12, stored=352)
    Traceback (most recent call last):
    monai_patchgrow.data.errors.DataError: a.nii: 25146 GiB of voxels, more than the 16 that PATCHGROW_MAX_FILE_GIB \
allows: replace the file, or set the variable higher
    """
    limit = largest_bytes()
    if num_bytes > limit:
        raise DataError(
            f"{path}: {num_bytes / _GIB:.5g} GiB of {what}, more than the {limit / _GIB:g} that {LIMIT_VARIABLE} "
            "allows: replace the file, or set the variable higher",
            rule="too-large",
        )
    if LIMIT_VARIABLE in os.environ or num_bytes < _BOMB_BYTES:
        return
    packed = stored() if callable(stored) else stored
    if packed * _BOMB_RATIO < num_bytes:
        raise DataError(
            f"{path}: {num_bytes / _GIB:.5g} GiB of {what} in {packed} bytes of the file, as in a decompression bomb: "
            f"replace the file, or set {LIMIT_VARIABLE} where it is right",
            rule="too-large",
        )


def largest_bytes() -> float:
    """The limit in bytes.

    Raises:
        ValueError: it is no number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE, str(_DEFAULT_GIB))
    try:
        gib = float(text)
    except ValueError:
        gib = math.nan
    if not gib > 0:
        raise ValueError(f"{LIMIT_VARIABLE} must be a number of GiB above 0, got {text!r}")
    return gib * _GIB
