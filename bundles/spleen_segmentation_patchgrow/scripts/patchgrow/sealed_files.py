"""Files of torch that tell whether they are whole: a SHA-256 of all their bytes stands in their own last line.

``torch.save`` writes a zip archive, which may end on a comment; readers skip it. A seal in it can't be lost, or be of
another file, as one in a file beside it can.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_seal", "seal"]

_MARK = b"sha256:"
_COMMENT = len(_MARK) + 64
_END = 22  # bytes of a zip's end record without its comment
_END_SIGNATURE = b"PK\x05\x06"
_LENGTH = 2  # its last bytes: how long the comment is


def seal(path: str | os.PathLike[str]) -> None:
    """Append the SHA-256 of an archive that has no comment yet.

    Raises:
        ValueError: it has one, or is no zip archive.

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
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END))
        end = stream.read()
        if len(end) < _END or not end.startswith(_END_SIGNATURE):
            raise ValueError(f"{path} can't be sealed: it does not end as a zip archive without a comment does")
        digest = _digest(stream, size - _LENGTH)
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
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - _END - _COMMENT))
        tail = stream.read()
        if len(tail) == _END + _COMMENT and tail.startswith(_END_SIGNATURE) and tail[_END:].startswith(_MARK):
            if _digest(stream, size - _COMMENT - _LENGTH).encode() != tail[_END + len(_MARK) :]:
                raise ValueError("its bytes are not those that were written (SHA-256)")
            return
    _check_records(path)


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


def _digest(stream: BinaryIO, length: int) -> str:
    """SHA-256 of the first bytes of an open file, in hexadecimal."""
    digest = hashlib.sha256()
    stream.seek(0)
    while length > 0 and (part := stream.read(min(length, 1 << 20))):
        digest.update(part)
        length -= len(part)
    return digest.hexdigest()
