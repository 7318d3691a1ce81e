"""Keys whose values decide what code runs, or are evaluated: they must be plain, whatever component they may reach."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

__all__ = ["PLAIN"]

_READERS = re.compile(r"(ITK|Nibabel|Nrrd|Numpy|PIL|Pydicom)(Reader|Writer)", re.IGNORECASE)
_SHAPE = re.compile(r"[0-9np*+\s]*")
_BY_NAME = "names code by text, which MONAI imports and calls"
PLAIN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "reader": (lambda value: value in (None, False) or bool(_READERS.fullmatch(str(value))), _BY_NAME),
    "writer": (lambda value: value in (None, False) or bool(_READERS.fullmatch(str(value))), _BY_NAME),
    "merger_cls": (lambda value: value in (None, "AvgMerger", "ZarrAvgMerger"), _BY_NAME),
    "workflow_name": (lambda value: value in (None, "ConfigWorkflow"), _BY_NAME),
    "pickle_module": (lambda value: value in (None, "pickle"), _BY_NAME),
    "allow_pickle": (lambda value: value is False, "lets NumPy unpickle what it reads"),
    "weights_only": (lambda value: value is True, "lets torch unpickle what it reads"),
    "pretrained_url": (lambda value: value is None, "downloads weights"),
    "spatial_shape": (lambda value: bool(_SHAPE.fullmatch(str(value))), "is evaluated by monai.bundle"),
}
"""For each key, what tells a plain value, and why another one is found."""
