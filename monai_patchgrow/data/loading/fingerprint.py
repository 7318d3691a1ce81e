"""A hash of what an object is made of: transforms and settings that are equal share it, in any process."""

from __future__ import annotations

import copyreg
import hashlib
import json
import types
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from monai.data import ImageReader

__all__ = ["fingerprint"]

_READER_MEMORY = ("filenames", "has_series")  # what MONAI's image readers keep of the last file, not parameters


def fingerprint(value: Any) -> str:
    """Return a SHA-256 in hex. Pickled bytes would not do: they also tell which strings are one object.

    Args:
        value: numbers, text, containers, tensors, functions, transforms; anything that can be pickled.

    Raises:
        ValueError: something that can't be told from others of its kind, such as an open file.

    >>> from monai.transforms import Spacingd
    >>> one, equal, other = (Spacingd("image", pixdim=spacing) for spacing in ([1, 1], [1, 1], [1, 2]))
    >>> fingerprint(one) == fingerprint(equal), fingerprint(one) == fingerprint(other)
    (True, False)
    """
    try:
        described = json.dumps(value, default=_parts, sort_keys=True)
    except TypeError as error:
        raise ValueError(f"{value!r} holds something that can't be told from others of its kind: {error}") from None
    return hashlib.sha256(described.encode()).hexdigest()


def _parts(value: Any) -> list[Any]:
    """What json has no form for: its type, and what tells it from others of that type."""
    parts: Sequence[Any] = ()
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        parts = value.__module__, value.__qualname__, value.__code__, value.__defaults__, value.__kwdefaults__, cells
    elif isinstance(value, types.CodeType):
        parts = value.co_code, value.co_names, value.co_consts
    elif isinstance(value, (type, types.ModuleType)):
        parts = getattr(value, "__module__", ""), value.__name__
    elif isinstance(value, torch.Tensor):
        parts = value.dtype, value.shape, value.tolist(), vars(value)
    elif isinstance(value, ImageReader):
        parts = [(name, vars(value)[name]) for name in sorted(vars(value)) if name not in _READER_MEMORY]
    elif isinstance(value, (bytes, set, frozenset)):
        parts = [value.hex()] if isinstance(value, bytes) else sorted(map(fingerprint, value))
    elif not isinstance(value, np.random.RandomState):  # which each Compose has, seeded anew
        # As pickle does it: the name of something global, or a constructor's arguments, attributes and contents.
        reduced = copyreg.dispatch_table.get(type(value), lambda one: one.__reduce_ex__(4))(value)
        reduced = [reduced] if isinstance(reduced, str) else reduced[1:]
        parts = [list(part) if isinstance(part, Iterator) else part for part in reduced]
    return [type(value).__module__, type(value).__qualname__, *parts]
