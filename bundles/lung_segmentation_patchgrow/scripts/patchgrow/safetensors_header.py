"""Headers of safetensors files, read strictly: a length of 8 bytes, JSON of that length, and the bytes of tensors.

Nothing of a tensor is read, and neither torch nor the library is imported.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

__all__ = ["METADATA", "SUFFIX", "metadata_of", "read_header", "sort_metadata"]

SUFFIX = ".safetensors"
METADATA = "__metadata__"
"""Key of a header's texts; all its other keys are names of tensors."""

_LENGTH = 8
_LONGEST = 16 << 20  # bytes of a header: hundred thousand tensors have shorter ones
_LARGEST = 1 << 63
_MOST_AXES = 64
_KEYS = {"dtype", "shape", "data_offsets"}
_BITS: Mapping[str, int] = {
    **dict.fromkeys(["F4"], 4),
    **dict.fromkeys(["F6_E2M3", "F6_E3M2"], 6),
    **dict.fromkeys(["BOOL", "I8", "U8", "F8_E4M3", "F8_E4M3FNUZ", "F8_E5M2", "F8_E5M2FNUZ", "F8_E8M0"], 8),
    **dict.fromkeys(["BF16", "F16", "I16", "U16"], 16),
    **dict.fromkeys(["F32", "I32", "U32"], 32),
    **dict.fromkeys(["C64", "F64", "I64", "U64"], 64),
}


def read_header(stream: BinaryIO) -> dict[str, Any]:
    """The header of a whole safetensors file.

    Args:
        stream: the file's bytes, to be read in any order.

    Raises:
        ValueError: it is none; in words that stand behind the file's name.

    >>> import io
    >>> text = b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}'
    >>> content = len(text).to_bytes(8, "little") + text + bytes(8)
    >>> read_header(io.BytesIO(content))
    {'a': {'dtype': 'F32', 'shape': [2], 'data_offsets': [0, 8]}}
    >>> read_header(io.BytesIO(content[:-1]))
    Traceback (most recent call last):
    ValueError: it is no .safetensors file, or not the whole one: its tensors take 8 bytes, and it has 7 for them
    """
    size = stream.seek(0, os.SEEK_END)
    try:
        text = _text_of(stream)
        header = _parse(text)
        taken, left = _bytes_of_tensors(header), size - _LENGTH - len(text)
        if taken != left:
            raise ValueError(f"its tensors take {taken} bytes, and it has {left} for them")
    except ValueError as error:
        raise ValueError(f"it is no .safetensors file, or not the whole one: {error}") from None
    return header


def _text_of(stream: BinaryIO) -> bytes:
    """The JSON of a header, as it stands in the file.

    Raises:
        ValueError: the file has none.
    """
    stream.seek(0)
    length = int.from_bytes(stream.read(_LENGTH), "little")
    if length > _LONGEST:
        raise ValueError(f"a header of {length} bytes, where {_LONGEST} are the most")
    text = stream.read(length)
    if len(text) < length or not text.startswith(b"{"):
        raise ValueError("it doesn't begin with a header")
    return text


def metadata_of(header: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a header, by name."""
    return header.get(METADATA, {})


def sort_metadata(path: str | os.PathLike[str]) -> None:
    """Write a file's metadata in the order of their names; the library's order changes from process to process."""
    with Path(path).open("r+b") as stream:
        text = _text_of(stream)
        header = _parse(text)
        header[METADATA] = dict(sorted(metadata_of(header).items()))
        sorted_text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        stream.seek(_LENGTH)
        stream.write(sorted_text.ljust(len(text)))


def _parse(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(
            text.decode(), object_pairs_hook=_without_repeats, parse_constant=_refuse, parse_float=_refuse
        )
    except RecursionError:
        raise ValueError("its header is nested") from None
    except ValueError as error:
        raise ValueError(f"its header can't be read ({error})") from None
    texts = metadata_of(header)
    if not isinstance(texts, dict) or not all(isinstance(value, str) for value in texts.values()):
        raise ValueError(f"{METADATA} holds more than texts by name")
    return header


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} stands in it")


def _bytes_of_tensors(header: Mapping[str, Any]) -> int:
    """How many bytes the tensors take: one behind the other, without gap or overlap."""
    end = 0
    tensors = {name: entry for name, entry in header.items() if name != METADATA}
    for (start, stop), name in sorted((_place(name, entry), name) for name, entry in tensors.items()):
        if start != end:
            raise ValueError(f"{name} begins at {start}, and what stands before it ends at {end}")
        end = stop
    return end


def _place(name: str, entry: Any) -> tuple[int, int]:
    """Where a tensor's bytes begin and end, behind the header."""
    if not isinstance(entry, dict) or set(entry) != _KEYS:
        raise ValueError(f"{name} isn't described by {', '.join(sorted(_KEYS))}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"{name} has the unknown type {dtype}")
    if not _are_counts(shape) or not _are_counts(offsets) or len(offsets) != 2 or len(shape) > _MOST_AXES:
        raise ValueError(f"{name} has a shape or place that is none")
    start, stop = offsets
    if 8 * (stop - start) != _BITS[dtype] * math.prod(shape):
        raise ValueError(f"{name} has {stop - start} bytes, which are none of its type and shape")
    return start, stop


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < _LARGEST for value in values)
