"""Whether the numbers of a TIFF are the grey values or colours that they are read as."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

__all__ = ["check_meaning"]

_PLAIN_CODECS = {1, 5, 8, 32773, 32946, 34925, 34926, 50000}  # none, LZW, deflate, packbits, LZMA, zstd: colours stay

_logger = logging.getLogger(__name__)


def check_meaning(page: Any, path: Path) -> None:
    """Refuse numbers that are no grey values and no RGB; of inverted ones, which are read as they are stored, warn."""
    kind, codec = getattr(page.photometric, "name", str(page.photometric)), int(page.compression)
    if kind == "PALETTE":
        raise TypeError("its numbers are places in a palette: save it in RGB or grey")
    if kind == "YCBCR" and codec in _PLAIN_CODECS:
        raise TypeError("YCbCr colours without JPEG: save it in RGB")
    if kind == "MINISWHITE":
        _tell_of_inversion(path)


@functools.cache
def _tell_of_inversion(path: Path) -> None:
    """Warn, once of each file: it is opened in every epoch."""
    _logger.warning("%s: MINISWHITE says how to display values: they are read as stored, not inverted", path)
