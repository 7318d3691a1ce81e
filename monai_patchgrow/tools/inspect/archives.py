"""Reads zip and tar archives without unpacking them, and names what their readers disagree about.

A member that one reader skips and another one loads hides what is in it. So an archive must be plain: names once each,
headers that agree, no bytes between the members, checksums that fit, nothing encrypted.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO

from monai_patchgrow.tools.inspect.report import Finding

__all__ = ["ZIP_ERRORS", "is_bomb", "path_fault", "tar_members", "zip_faults", "zip_members"]

ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError, ValueError, struct.error)
"""What reading an archive may raise."""

_HEADER = struct.Struct("<4sHHHHHIIIHH")
_MOST_RATIO = 200  # a member's size over its size in the archive, beyond which it is a bomb where it is large, too
_LARGE = 16 << 20
_MOST_BYTES = 1 << 38
_DESCRIPTOR = 24  # bytes that may stand behind a member: its sizes and checksum
_END = 22  # bytes of the archive's end record without its comment
_ENCRYPTED, _DESCRIBED = 0x1, 0x8


def zip_faults(file: str, archive: zipfile.ZipFile, stream: BinaryIO) -> list[Finding]:
    """What makes an archive another one for another reader, or harms when it is unpacked.

    Args:
        file: how findings name the archive.
        archive: opened from `stream`.
        stream: its bytes.
    """
    members = archive.infolist()
    times = Counter(member.filename for member in members)
    found = [Finding(file, name, "", "stands twice in the archive") for name, number in times.items() if number > 1]
    if b"PK" in archive.comment:
        found.append(Finding(file, "", "comment", "holds an archive's signature"))
    if sum(member.file_size for member in members) > _MOST_BYTES:
        found.append(Finding(file, "", "its members' sizes", "are those of a bomb"))
    for member in members:
        found += [Finding(file, member.orig_filename, what, why) for what, why in _member_faults(member, stream)]
    return found + [Finding(file, "", "bytes", why) for why in _gaps(archive, stream)]


def zip_members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive that are safe to read: no folders, no bombs, nothing encrypted."""
    return [
        member
        for member in archive.infolist()
        if not member.is_dir() and not is_bomb(member) and not member.flag_bits & _ENCRYPTED
    ]


def is_bomb(member: zipfile.ZipInfo) -> bool:
    """Whether a member unfolds to more than its bytes can hold in earnest."""
    return member.file_size > _LARGE and member.file_size > _MOST_RATIO * max(1, member.compress_size)


def path_fault(name: str) -> str | None:
    """Why a name may lead out of the folder that it is unpacked into.

    >>> path_fault("../x"), path_fault("configs/train.json")
    ('leads out of the folder', None)
    """
    if name.startswith(("/", "\\", "~")) or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    if ".." in re.split(r"[/\\]", name):
        return "leads out of the folder"
    if "\\" in name or "\0" in name:
        return "is another name on another system"
    return None


def tar_members(file: str, archive: tarfile.TarFile) -> tuple[list[tarfile.TarInfo], list[Finding]]:
    """The files of a tar archive, and what harms when it is unpacked."""
    members, found, names = [], [], set()
    for member in archive:
        if fault := path_fault(member.name):
            found.append(Finding(file, member.name, "", fault))
        if member.name in names:
            found.append(Finding(file, member.name, "", "stands twice in the archive"))
        names.add(member.name)
        if member.isreg():
            members.append(member)
        elif not member.isdir():
            found.append(Finding(file, member.name, member.linkname, "is a link or a device"))
    return members, found


def _member_faults(member: zipfile.ZipInfo, stream: BinaryIO) -> Iterator[tuple[str, str]]:
    if fault := path_fault(member.orig_filename):
        yield "", fault
    if stat.S_ISLNK(member.external_attr >> 16):
        yield "", "is a link"
    if member.flag_bits & _ENCRYPTED:
        yield "", "is encrypted, and can't be looked into"
    if is_bomb(member):
        yield f"{member.compress_size} bytes unfold to {member.file_size}", "is a bomb"
    stream.seek(member.header_offset)
    raw = stream.read(_HEADER.size)
    if len(raw) < _HEADER.size or not raw.startswith(b"PK\x03\x04"):
        yield "", "has no header of its own"
        return
    _, _, flags, method, _, _, crc, compressed, size, length, _ = _HEADER.unpack(raw)
    is_utf8 = bool(flags & 0x800)
    name = stream.read(length).decode("utf-8" if is_utf8 else "cp437", errors="replace")
    if (name, flags, method) != (member.orig_filename, member.flag_bits, member.compress_type):
        yield name, "has two headers that differ"
    is_told_here = not flags & _DESCRIBED and size != 0xFFFFFFFF != compressed
    if is_told_here and (crc, compressed, size) != (member.CRC, member.compress_size, member.file_size):
        yield "", "has two headers that differ"


def _gaps(archive: zipfile.ZipFile, stream: BinaryIO) -> Iterator[str]:
    """Where bytes belong to no member, or to two."""
    place = 0
    for member in sorted(archive.infolist(), key=lambda member: member.header_offset):
        gap = member.header_offset - place
        if not 0 <= gap <= (_DESCRIPTOR if place else 0):
            yield f"{gap} before {member.filename} belong to no member" if gap > 0 else f"{member.filename} overlaps"
        stream.seek(member.header_offset)
        raw = stream.read(_HEADER.size)
        lengths = sum(_HEADER.unpack(raw)[-2:]) if len(raw) == _HEADER.size else 0
        place = member.header_offset + _HEADER.size + lengths + member.compress_size
    stream.seek(-_END - len(archive.comment), os.SEEK_END)
    if stream.read(4) != b"PK\x05\x06":
        yield "behind the archive belong to no member"
    if not 0 <= archive.start_dir - place <= _DESCRIPTOR:
        yield f"{archive.start_dir - place} before the archive's directory belong to no member"
