"""Judges files of weights: their SHA-256 must be sealed in them or stand in the bundle's texts."""

from __future__ import annotations

import re
from collections.abc import Collection

__all__ = ["PICKLE_SUFFIXES", "SUFFIXES", "digests_in"]

PICKLE_SUFFIXES = (*(".ckpt", ".dill", ".joblib", ".mar", ".p", ".pickle", ".pk", ".pkl", ".pt", ".pth", ".th", ".ts"),)
"""Of files that are pickles or hold some."""

SUFFIXES = (
    *(".bin", ".ckpt", ".engine", ".h5", ".hdf5", ".keras", ".onnx", ".pb", ".plan", ".pt", ".pt2", ".pth"),
    *(".safetensors", ".th", ".trt", ".ts"),
)
"""Of files of weights."""

_DIGEST = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")


def digests_in(texts: Collection[bytes]) -> set[str]:
    """Every SHA-256 that stands in texts."""
    return {found.decode().lower() for text in texts for found in _DIGEST.findall(text)}
