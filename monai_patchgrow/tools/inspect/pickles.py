"""Reads pickles by their opcodes.

A list of harmful names would never be whole. Known are the names and opcodes that a checkpoint of tensors needs; any
other one is named. The stack and the memo are kept as Python's own unpickler keeps them, so that a name that is put
together from texts is read as it would be found.
"""

from __future__ import annotations

import io
import os
import pickletools
from collections.abc import Iterator
from typing import IO, BinaryIO, cast

from monai_patchgrow.tools.inspect.pickle_machine import BrokenPickleError, PickleMachine

__all__ = ["judge_pickle", "looks_like_pickle"]

_MAGIC_OF_TORCH = 0x1950A86A20F9469CFC6C
_STREAMS_OF_TORCH = 5  # of torch.save before 1.6: magic number, version, system, object, keys of storages


def looks_like_pickle(head: bytes) -> bool:
    """Whether a file begins as pickles of protocol 2 and later do."""
    return len(head) > 1 and head[0] == 0x80 and 2 <= head[1] <= 5


def judge_pickle(stream: BinaryIO, *, is_sure: bool) -> Iterator[tuple[str, str]]:
    """What a pickle holds beside tensors and plain data, and why that was found.

    Args:
        stream: the file.
        is_sure: the file is a pickle by its name. Of any other one only those faults count that run something, or
            stand in a whole pickle.
    """
    begins = looks_like_pickle(stream.read(2))
    stream.seek(0)
    first, is_whole = _run(stream)
    if not is_sure and not (first.faults and (first.runs or (begins and is_whole))):
        return
    yield from first.faults.items()
    if not is_whole:
        yield "a broken pickle", "what stands before the break runs all the same"
        return
    streams = _STREAMS_OF_TORCH if first.first == _MAGIC_OF_TORCH else 1
    for _ in range(1, streams):
        machine, is_whole = _run(stream)
        yield from machine.faults.items()
        if not is_whole:
            yield "a broken pickle", "what stands before the break runs all the same"
            return
    if streams == 1 and stream.read(1):
        stream.seek(-1, os.SEEK_CUR)
        yield "bytes behind the end of the pickle", "another reader may take them for a pickle, too"
        yield from _run(stream)[0].faults.items()


def _run(stream: BinaryIO) -> tuple[PickleMachine, bool]:
    """Take the opcodes up to the end of one pickle, or to where it breaks."""
    machine, start, frame = PickleMachine(), stream.tell(), 0
    try:
        for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", _Bounded(stream))):
            end = stream.tell()
            if start < frame < end or (opcode.name == "FRAME" and start < frame):
                raise BrokenPickleError  # C's unpickler loses bytes at such an end of a frame: it reads something else
            start, frame = end, end + int(argument or 0) if opcode.name == "FRAME" else frame
            machine.step(opcode.name, argument)
    except (BrokenPickleError, ValueError, IndexError, OverflowError, MemoryError):
        return machine, False
    return machine, True


class _Bounded(io.RawIOBase):
    """A stream of which an opcode can't ask for more than there is: lengths of a pickle lie easily."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        here = stream.tell()
        self._end = stream.seek(0, os.SEEK_END)
        stream.seek(here)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(min(size, self._end) if size >= 0 else -1)

    def readline(self, size: int | None = -1) -> bytes:
        return self._stream.readline()

    def tell(self) -> int:
        return self._stream.tell()
