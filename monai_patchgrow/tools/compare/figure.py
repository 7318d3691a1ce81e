"""The figure of a picture, empty where matplotlib is there to draw it, and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_patchgrow.files import whole_file

__all__ = ["new_figure", "save_png"]


def new_figure(width: float, height: float) -> Any:
    """A figure of matplotlib's, in inches, that needs no display.

    Raises:
        ValueError: matplotlib is missing.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError("the picture needs matplotlib: pip install monai-patchgrow[plot]") from None
    return Figure(figsize=(width, height), layout="constrained")


def save_png(figure: Any, path: Path) -> Path:
    """Write a figure of matplotlib's to a PNG; returns its path."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
    return path
