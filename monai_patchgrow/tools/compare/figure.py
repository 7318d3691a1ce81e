"""The empty figure of a picture, where matplotlib is there to draw it."""

from __future__ import annotations

from typing import Any

__all__ = ["new_figure"]


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
