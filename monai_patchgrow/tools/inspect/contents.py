"""Looks at a file by what it holds, whatever its name says, and into the archives that it is."""

from __future__ import annotations

import ast
import bz2
import gzip
import io
import lzma
import re
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from monai_patchgrow.safetensors_header import SUFFIX, read_header
from monai_patchgrow.sealed_files import digest_of, is_sealed
from monai_patchgrow.tools.inspect import config_text, weights
from monai_patchgrow.tools.inspect.archives import ZIP_ERRORS, tar_members, zip_faults, zip_members
from monai_patchgrow.tools.inspect.code_files import code_fault, is_code
from monai_patchgrow.tools.inspect.config_text import LONGEST_CONFIG, Config, read_config
from monai_patchgrow.tools.inspect.entries import read_member
from monai_patchgrow.tools.inspect.logging_conf import is_logging_conf, judge_logging_conf
from monai_patchgrow.tools.inspect.pickles import judge_pickle, looks_like_pickle
from monai_patchgrow.tools.inspect.report import Finding

__all__ = ["Contents"]

_DEEPEST = 4  # archives in archives
_HEAD = 4096
_UNFOLDED = 16 << 20  # bytes of a compressed file that are looked at
_TEXTS = (*config_text.SUFFIXES, ".md", ".sha256", ".txt")
_CLOSED = (b"7z\xbc\xaf\x27\x1c", b"Rar!", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18", b"MSCF", b"xar!", b"!<arch>")
_COMPRESSED: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_NUMPY = b"\x93NUMPY"
_NUMPY_TYPE = re.compile(r"[|<>=]?[?biufcSUVMm]\d*(\[\w+\])?")


@dataclass
class Contents:
    """What was seen in the files of a bundle.

    findings: faults of single files.
    configs: that were read.
    weights: files of weights, with their SHA-256; None: sealed in the file itself, or the file is a finding already.
    digests: SHA-256 that stand in texts.
    counts: of files, by kind.
    """

    findings: list[Finding] = field(default_factory=list)
    configs: list[Config] = field(default_factory=list)
    weights: dict[str, str | None] = field(default_factory=dict)
    digests: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)

    def look(self, name: str, stream: BinaryIO, depth: int = 0) -> None:
        """Look at a file.

        Args:
            name: path in the bundle.
            stream: its bytes, at the beginning.
            depth: number of archives around it.
        """
        head, suffix = stream.read(_HEAD), PurePosixPath(name).suffix.lower()
        stream.seek(0)
        if not depth:
            self._note(name, suffix, head, stream)
            stream.seek(0)
        if name.lower().endswith(config_text.SUFFIXES):
            self._config(name, stream)
        elif is_code(name, head):
            if fault := code_fault(name, stream.read(LONGEST_CONFIG)):
                self._found(name, "", fault)
        elif is_logging_conf(name, head):
            self.findings += judge_logging_conf(name, stream.read(LONGEST_CONFIG))
        else:
            self._binary(name, suffix, head, stream, depth)

    def _binary(self, name: str, suffix: str, head: bytes, stream: BinaryIO, depth: int) -> None:
        if suffix == SUFFIX and (fault := _header_fault(stream)):
            self._found(name, fault, "another reader may take it for something else")
        is_archive = zipfile.is_zipfile(stream)
        stream.seek(0)
        unfold = next((unfold for begin, unfold in _COMPRESSED.items() if head.startswith(begin)), None)
        if depth > _DEEPEST:
            self._found(name, "", f"lies in more than {_DEEPEST} archives")
        elif is_archive or head.startswith(b"PK\x03\x04"):
            self._zip(name, stream, depth)
        elif _is_tar(head) or suffix == ".tar":
            self._tar(name, stream, depth)
        elif head.startswith(_CLOSED):
            self._found(name, "", "is an archive that can't be looked into")
        elif unfold is not None:
            self._compressed(name, unfold, stream, depth)
        elif head.startswith(_NUMPY):
            self.findings += [Finding(name, "", what, why) for what, why in _numpy_faults(head)]
        else:
            self._pickle(name, suffix, head, stream)

    def _note(self, name: str, suffix: str, head: bytes, stream: BinaryIO) -> None:
        """Count a file, and remember a text's digests and a weight's own."""
        is_checkpoint = head.startswith(b"PK\x03\x04") and b"/data.pkl" in head[:256]
        if name.lower().endswith(_TEXTS):
            self.digests |= weights.digests_in([stream.read(LONGEST_CONFIG)])
        if suffix in weights.SUFFIXES or is_checkpoint:
            self.counts["weights"] += 1
            is_told = is_sealed(stream) or (suffix == SUFFIX and _header_fault(stream) is not None)
            self.weights[name] = None if is_told else digest_of(stream)
        elif name.lower().endswith(config_text.SUFFIXES):
            self.counts["configs"] += 1
        else:
            self.counts["scripts" if is_code(name, head) else "others"] += 1

    def _config(self, name: str, stream: BinaryIO) -> None:
        content = stream.read(LONGEST_CONFIG + 1)
        if len(content) > LONGEST_CONFIG:
            self._found(name, "", "is too large for a config")
            return
        config, found = read_config(name, content)
        self.configs.append(config)
        self.findings += found

    def _pickle(self, name: str, suffix: str, head: bytes, stream: BinaryIO) -> None:
        begins, is_named = looks_like_pickle(head), suffix in weights.PICKLE_SUFFIXES
        found = list(judge_pickle(stream, is_sure=is_named))
        self.findings += [Finding(name, "", what, why) for what, why in found]
        if is_named and not begins and not found:
            self._found(name, "", "is a pickle of a protocol that torch doesn't write")

    def _zip(self, name: str, stream: BinaryIO, depth: int) -> None:
        try:
            archive = zipfile.ZipFile(stream)
            self.findings += zip_faults(name, archive, stream)
        except ZIP_ERRORS as error:
            self._found(name, str(error), "is an archive that can't be read: another reader may")
            return
        for member in zip_members(archive):
            inside = f"{name}!{member.filename}"
            try:
                content = read_member(archive, member)
            except ZIP_ERRORS as error:
                self._found(inside, str(error), "can't be read: another reader may")
                continue
            self.look(inside, content, depth + 1)

    def _tar(self, name: str, stream: BinaryIO, depth: int) -> None:
        try:
            with tarfile.open(fileobj=stream, mode="r:") as archive:
                members, found = tar_members(name, archive)
                self.findings += found
                for member in members:
                    content = archive.extractfile(member)
                    assert content is not None  # a regular file's
                    self.look(f"{name}!{member.name}", content, depth + 1)  # type: ignore[arg-type]  # an IO[bytes]
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            self._found(name, str(error), "is an archive that can't be read: another reader may")

    def _compressed(self, name: str, unfold: Callable[[Any], Any], stream: BinaryIO, depth: int) -> None:
        try:
            with unfold(stream) as unfolded:
                content = unfolded.read(_UNFOLDED)
                is_whole = not unfolded.read(1)
        except (EOFError, OSError, ValueError, lzma.LZMAError) as error:
            self._found(name, str(error), "is compressed, and can't be read")
            return
        inner = f"{name}!{PurePosixPath(name).stem}"
        is_kind = looks_like_pickle(content) or zipfile.is_zipfile(io.BytesIO(content)) or _is_tar(content)
        if not is_whole and (is_kind or PurePosixPath(inner).suffix.lower() in weights.PICKLE_SUFFIXES):
            self._found(inner, "", f"unfolds to more than {_UNFOLDED} bytes, and isn't looked into")
        self.look(inner, io.BytesIO(content), depth + 1)

    def _found(self, name: str, what: str, why: str) -> None:
        self.findings.append(Finding(name, "", what, why))


def _header_fault(stream: BinaryIO) -> str | None:
    """Why a file isn't one of tensors in safetensors' form alone."""
    try:
        read_header(stream)
    except ValueError as error:
        return str(error)
    return None


def _is_tar(head: bytes) -> bool:
    """Whether a file begins with a header of tar, of any age: its checksum fits."""
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _numpy_faults(head: bytes) -> Iterator[tuple[str, str]]:
    """Types of a NumPy file that are stored as pickles, or can't be told."""
    start = 10 if head[6] == 1 else 12
    length = int.from_bytes(head[8:start], "little")
    try:
        header = ast.literal_eval(head[start : start + length].decode("latin1").strip())
        types = list(_types(header["descr"]))
    except (SyntaxError, ValueError, TypeError, KeyError, RecursionError, MemoryError):
        yield "the header", "can't be read"
        return
    for name in types:
        if not _NUMPY_TYPE.fullmatch(name):
            yield name, "is a type whose values are pickles"


def _types(description: Any) -> Iterator[str]:
    if isinstance(description, str):
        yield description
    elif isinstance(description, list):
        for _, kind, *_ in description:
            yield from _types(kind)
    elif isinstance(description, tuple):
        yield from _types(description[0])
    else:
        raise ValueError
