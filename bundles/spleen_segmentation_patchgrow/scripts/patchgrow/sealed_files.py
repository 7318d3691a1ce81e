"""Files of weights that tell whether they are whole: a SHA-256 of all their other bytes stands in themselves.

``torch.save`` writes a zip archive, which may end on a comment; readers skip it. A safetensors file has texts in its
header. A seal in either can't be lost, or be of another file, as one in a file beside it can.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["BLANK_SEAL", "CHANGED", "OURS", "SEAL", "check_seal", "digest_of", "is_sealed", "seal"]

OURS = "patchgrow_"
"""Beginning of the names of the texts that we write into the header of a safetensors file."""

SEAL = f"{OURS}sha256"
"""Name of the text that is the seal."""

BLANK_SEAL = "0" * 64
"""What stands there until the file is sealed."""

CHANGED = "its bytes are not those that were written (SHA-256)"
"""What is said of a file that its seal doesn't fit; it stands behind the file's name."""

_IN_HEADER = re.compile(rb'"%b":"([0-9a-f]{64})"' % SEAL.encode())  # quotes within a text have a backslash
_HEADER_LENGTH, _LONGEST_HEADER = 8, 16 << 20  # bytes; of a safetensors file
_MARK = b"sha256:"
_COMMENT = len(_MARK) + 64
_END = 22  # bytes of a zip's end record without its comment
_END_SIGNATURE = b"PK\x05\x06"
_LENGTH = 2  # its last bytes: how long the comment is


class _Seal(NamedTuple):
    """A SHA-256 that stands in a file, and the bytes from `start` to `end` that it is not of."""

    digest: bytes
    start: int
    end: int


def seal(path: str | os.PathLike[str]) -> None:
    """Write the SHA-256 of a file into it: of an archive that has no comment yet, or of safetensors with a blank seal.

    Raises:
        ValueError: it is neither.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.pt"
    >>> with zipfile.ZipFile(path, "w") as archive:
    ...     archive.writestr("data.pkl", b"weights")
    >>> seal(path)
    >>> check_seal(path)
    >>> _ = path.write_bytes(path.read_bytes().replace(b"weights", b"weighty"))
    >>> check_seal(path)
    Traceback (most recent call last):
    ValueError: its bytes are not those that were written (SHA-256)
    """
    with Path(path).open("r+b") as stream:
        blank = _seal_in_header(stream)
        if blank is not None and blank.digest == BLANK_SEAL.encode():
            digest = _digest_beside(blank, stream)
            stream.seek(blank.start)
            stream.write(digest.encode())
            return
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END))
        end = stream.read()
        if len(end) < _END or not end.startswith(_END_SIGNATURE):
            raise ValueError(f"{path} can't be sealed: it does not end as a zip archive without a comment does")
        digest = digest_of(stream, (0, size - _LENGTH))
        stream.seek(size - _LENGTH)
        stream.write(_COMMENT.to_bytes(_LENGTH, "little") + _MARK + digest.encode())


def check_seal(path: str | os.PathLike[str]) -> None:
    """Check that a file of torch is as it was written: by its seal, or without one by the checksums of its records.

    A file that is neither, as torch wrote them before 1.6, is left to torch.

    Raises:
        ValueError: it isn't, in words that stand behind the file's name.
        OSError: it can't be read.
    """
    with Path(path).open("rb") as stream:
        found = _seal_at_end(stream)
        if found is not None and not _fits(found, stream):
            raise ValueError(CHANGED)
    if found is None:
        _check_records(path)


def is_sealed(stream: BinaryIO) -> bool:
    """Whether a file holds the SHA-256 of itself.

    Args:
        stream: the file's bytes, to be read in any order.
    """
    found = _seal_at_end(stream) or _seal_in_header(stream)
    return found is not None and _fits(found, stream)


def digest_of(stream: BinaryIO, *places: tuple[int, int]) -> str:
    """SHA-256 of a file, or of the bytes between two places or more, in hexadecimal."""
    digest = hashlib.sha256()
    for start, end in places or [(0, stream.seek(0, os.SEEK_END))]:
        stream.seek(start)
        left = end - start
        while part := stream.read(min(left, 1 << 20)):
            digest.update(part)
            left -= len(part)
    return digest.hexdigest()


def _seal_at_end(stream: BinaryIO) -> _Seal | None:
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - _END - _COMMENT))
    tail = stream.read()
    if len(tail) == _END + _COMMENT and tail.startswith(_END_SIGNATURE) and tail[_END:].startswith(_MARK):
        return _Seal(tail[_END + len(_MARK) :], size - _COMMENT - _LENGTH, size)
    return None


def _seal_in_header(stream: BinaryIO) -> _Seal | None:
    stream.seek(0)
    length = int.from_bytes(stream.read(_HEADER_LENGTH), "little")
    found = _IN_HEADER.search(stream.read(min(length, _LONGEST_HEADER)))
    return None if found is None else _Seal(found[1], *(_HEADER_LENGTH + place for place in found.span(1)))


def _fits(found: _Seal, stream: BinaryIO) -> bool:
    return found.digest.decode("latin1") == _digest_beside(found, stream)


def _digest_beside(found: _Seal, stream: BinaryIO) -> str:
    """SHA-256 of the bytes that a seal is of."""
    return digest_of(stream, (0, found.start), (found.end, stream.seek(0, os.SEEK_END)))


def _check_records(path: str | os.PathLike[str]) -> None:
    with Path(path).open("rb") as stream:
        is_archive = stream.read(2) == b"PK"
    if not is_archive:
        return
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError) as error:
        raise ValueError(f"it is cut off or damaged ({error})") from None
    if broken is not None:
        raise ValueError(f"its record {broken} is damaged (CRC)")
