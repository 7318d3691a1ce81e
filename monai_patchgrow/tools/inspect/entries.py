"""The files of a bundle that is a folder or a zip archive, to be read where they lie."""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from monai_patchgrow.tools.inspect.archives import ZIP_ERRORS, zip_faults, zip_members
from monai_patchgrow.tools.inspect.report import Finding

__all__ = ["Entry", "bundle_entries", "open_file", "read_member"]

_HELD = 32 << 20  # bytes of a member of an archive that is held in memory, where seeking costs nothing


@dataclass(frozen=True)
class Entry:
    """A file of a bundle: its path with ``/``, and how it is opened, for reading in any order."""

    name: str
    open: Callable[[], BinaryIO]


@contextmanager
def bundle_entries(bundle: str | os.PathLike[str]) -> Iterator[tuple[list[Entry], list[Finding]]]:
    """The regular files of a bundle, and what it holds beside: links, devices, members that can't be read.

    Raises:
        ValueError: it is neither a folder nor a zip archive, or has no folder configs.
    """
    path = Path(bundle)
    if path.is_dir():
        found = _files_of_folder(path)
        _check_configs(found[0], path)
        yield found
        return
    if not path.is_file():
        raise ValueError(f"{path}: no such folder or zip archive")
    with path.open("rb") as stream:
        try:
            archive = zipfile.ZipFile(stream)
        except ZIP_ERRORS as error:
            raise ValueError(f"{path} is no zip archive that can be read ({error}): name a bundle's folder") from None
        found = _files_of_archive(archive, stream, path.name)
        _check_configs(found[0], path)
        yield found


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """A file of a folder, for reading."""
    return Path(path).open("rb")


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    """A member's bytes, whose checksum has proved to fit.

    Raises:
        one of ``ZIP_ERRORS``: it can't be read.
    """
    if member.file_size <= _HELD:
        return io.BytesIO(archive.read(member))
    with archive.open(member) as whole:
        while whole.read(1 << 20):
            pass
    return archive.open(member)  # type: ignore[return-value]  # an IO[bytes]


def _files_of_folder(folder: Path) -> tuple[list[Entry], list[Finding]]:
    entries, found = [], []
    for above, folders, files in os.walk(folder, onerror=_raise):
        for name in sorted([*folders, *files]):
            path = Path(above, name)
            inside, mode = path.relative_to(folder).as_posix(), path.lstat().st_mode
            if stat.S_ISLNK(mode):
                found.append(Finding(inside, "", str(path.readlink()), "is a link"))
            elif stat.S_ISREG(mode):
                entries.append(Entry(inside, partial(open_file, path)))
            elif not stat.S_ISDIR(mode):
                found.append(Finding(inside, "", "", "is no regular file"))
    return sorted(entries, key=lambda entry: entry.name), found


def _files_of_archive(archive: zipfile.ZipFile, stream: BinaryIO, name: str) -> tuple[list[Entry], list[Finding]]:
    members = zip_members(archive)
    tops = {member.filename.partition("/")[0] for member in members}
    is_nested = len(tops) == 1 and not any(member.filename.startswith("configs/") for member in members)
    strip = f"{min(tops)}/" if is_nested else ""
    entries = [Entry(member.filename.removeprefix(strip), partial(read_member, archive, member)) for member in members]
    return entries, zip_faults(name, archive, stream)


def _raise(error: OSError) -> None:
    raise error


def _check_configs(entries: list[Entry], path: Path) -> None:
    if not any(entry.name.startswith("configs/") for entry in entries):
        raise ValueError(f"{path} has no folder configs: name a bundle's folder or zip archive")
