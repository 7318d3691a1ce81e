"""How files and folders are written: they appear whole or not at all."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "append_whole",
    "clear_stale",
    "named_in_errors",
    "put_in_place",
    "remove_whole",
    "temporaries_of",
    "whole_file",
    "whole_folder",
    "whole_pair",
    "write_whole",
]

_DIGITS, _TEMPORARY = 12, ".tmp"  # of a temporary file's name, behind that of the file


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the path of a temporary file beside `path`; what the block wrote there takes the place of `path`.

    A reader sees the old file or the new one. A block that fails leaves the old one and no temporary file.

    Raises:
        OSError: of the block, or of putting the file in place; it names the file.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_file(folder / "table.csv") as temporary:
    ...     _ = temporary.write_text("image,grade")
    >>> [path.name for path in folder.iterdir()]
    ['table.csv']
    """
    temporary = _temporary_beside(path)
    try:
        with named_in_errors(path):
            yield temporary
            put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_pair(path: Path, twin: Path) -> Iterator[tuple[Path, Path]]:
    """Give temporary files for two that say the same, in one folder; what the block wrote there takes their places.

    A process that is killed, wherever in this, leaves both old files, both new ones, or `path` alone: the old twin is
    deleted before `path` is replaced, and the new one put in its place after. A block that fails leaves both old ones;
    one that writes no twin leaves none.

    Raises:
        OSError: of the block, or of putting a file in place; it names `path`.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_pair(folder / "table.csv", folder / "table.json") as (csv, json):
    ...     _ = csv.write_text("image,grade"), json.write_text("{}")
    >>> sorted(path.name for path in folder.iterdir())
    ['table.csv', 'table.json']
    """
    temporary, temporary_twin = _temporary_beside(path), _temporary_beside(twin)
    try:
        with named_in_errors(path):
            yield temporary, temporary_twin
            has_twin = temporary_twin.exists()
            for file in (temporary, temporary_twin)[: 1 + has_twin]:
                _sync(file)  # what takes long, before the moment in which there is no twin
            remove_whole(twin)
            put_in_place(temporary, path)
            if has_twin:
                put_in_place(temporary_twin, twin)
    finally:
        temporary.unlink(missing_ok=True)
        temporary_twin.unlink(missing_ok=True)


def _temporary_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.{uuid.uuid4().hex[:_DIGITS]}{_TEMPORARY}")


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Let what the disk refuses be told with the name of the file: a write that fails knows none.

    >>> with named_in_errors(Path("last.pt")):
    ...     raise OSError(28, "No space left on device")
    Traceback (most recent call last):
    OSError: can't write last.pt (No space left on device): make room there, or give another folder
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"can't write {path} ({reason}): make room there, or give another folder") from error


def append_whole(text: str, path: Path) -> None:
    """Append to a text file in UTF-8; where that fails the file stays as it was.

    Raises:
        OSError: it can't be written.
    """
    with named_in_errors(path), path.open("ab", buffering=0) as stream:
        size = stream.seek(0, os.SEEK_END)
        try:
            content = text.encode()
            while content:  # a disk that becomes full takes a part first
                content = content[stream.write(content) :]
        except OSError:
            with suppress(OSError):
                stream.truncate(size)
            raise


def temporaries_of(path: Path) -> list[Path]:
    """The files that processes which were killed within a `whole_file` of this path left beside it."""
    return list(path.parent.glob(f"{glob.escape(path.name)}.{'[0-9a-f]' * _DIGITS}{_TEMPORARY}"))


def clear_stale(paths: Iterable[Path], *, older_than: float) -> None:
    """Delete temporary files, but those that another process may still be writing.

    Args:
        paths: of the files.
        older_than: seconds since a file was changed.
    """
    for path in paths:
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()


def put_in_place(temporary: Path, path: Path) -> None:
    """Rename a finished file to `path`, once its bytes are on the disk: not even a power cut leaves half of it."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync_names(path.parent)


def remove_whole(path: Path) -> None:
    """Delete a file, if it is there, before anything that is done after: a power cut doesn't bring it back."""
    path.unlink(missing_ok=True)
    _sync_names(path.parent)


def _sync_names(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the file system can tell."""
    with suppress(OSError):  # network file systems may not, and folders may be closed to readers
        _sync(folder)


def _sync(path: Path) -> None:
    """Wait until the bytes of a file are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(text: str, path: Path) -> None:
    """Write a text file in UTF-8, whole."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path`; with what the block wrote into it, it takes the place of `path`.

    A block that fails leaves nothing. Parents of `path` are made where they are missing.

    Raises:
        OSError: after the block, `path` is a file, or a folder that holds something.

    >>> folder = Path(tempfile.mkdtemp())
    >>> with whole_folder(folder / "bundle") as partial:
    ...     _ = (partial / "LICENSE").write_text("Apache License")
    >>> [path.name for path in (folder / "bundle").iterdir()]
    ['LICENSE']
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield partial
        partial.chmod(0o755)  # mkdtemp's 0o700 would lock out whoever shares the folder
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
