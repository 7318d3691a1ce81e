"""Judges files of weights: their SHA-256 must be sealed in them or stand in the bundle's texts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import BinaryIO

__all__ = ["PICKLE_SUFFIXES", "SUFFIXES", "digest_of", "digests_in", "is_sealed"]

PICKLE_SUFFIXES = (*(".ckpt", ".dill", ".joblib", ".mar", ".p", ".pickle", ".pk", ".pkl", ".pt", ".pth", ".th", ".ts"),)
"""Of files that are pickles or hold some."""

SUFFIXES = (
    *(".bin", ".ckpt", ".engine", ".h5", ".hdf5", ".keras", ".onnx", ".pb", ".plan", ".pt", ".pt2", ".pth"),
    *(".safetensors", ".th", ".trt", ".ts"),
)
"""Of files of weights."""

_DIGEST = re.compile(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])")
_END = 22  # bytes of a zip's end record without its comment
_MARK = b"sha256:"


def digest_of(stream: BinaryIO, length: int | None = None) -> str:
    """SHA-256 of a file, or of its first bytes, in hexadecimal."""
    digest, left = hashlib.sha256(), length
    stream.seek(0)
    while part := stream.read(1 << 20 if left is None else min(1 << 20, left)):
        digest.update(part)
        left = None if left is None else left - len(part)
    return digest.hexdigest()


def digests_in(texts: Collection[bytes]) -> set[str]:
    """Every SHA-256 that stands in texts."""
    return {found.decode().lower() for text in texts for found in _DIGEST.findall(text)}


def is_sealed(stream: BinaryIO) -> bool:
    """Whether an archive ends on the SHA-256 of itself, as :func:`monai_patchgrow.sealed_files.seal` writes it."""
    size = stream.seek(0, 2)
    length = len(_MARK) + 64
    stream.seek(max(0, size - length))
    tail = stream.read()
    return tail.startswith(_MARK) and digest_of(stream, size - length - 2).encode() == tail[len(_MARK) :]
