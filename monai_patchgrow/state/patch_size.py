"""The patch size and the patch count that MONAI's crops read at call time, in shared memory."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import total_ordering
from typing import Any, overload

import torch

from monai_patchgrow.schedules.sample import SamplePatches

__all__ = ["PatchCount", "PatchSize", "held_at"]


class _Shared:
    """Integers in shared memory, one object for all who hold it.

    Loader workers inherit the memory (fork) or map it (spawn), and a deep copy is the object itself: MONAI's
    loaders and config parser deep-copy transforms, and a copied value would never hear of a change.
    """

    _held: tuple[int, ...] | None = None
    """What this process alone reads, while it draws a sample that has values of its own."""

    def __init__(self, values: Sequence[int]) -> None:
        self._values = torch.tensor(values, dtype=torch.int64).share_memory_()

    def _read(self) -> tuple[int, ...]:
        return tuple(self._values.tolist()) if self._held is None else self._held

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self

    def __copy__(self) -> _Shared:
        return self


class PatchSize(_Shared, Sequence[int]):
    """The current patch size in voxels: a sequence of ints wherever a MONAI crop takes ``roi_size`` or
    ``spatial_size``.

    :class:`monai_patchgrow.handlers.PatchGrowth` owns it and changes it while no worker is drawing patches; MONAI's
    crops read it. In front of a :class:`monai_patchgrow.data.SeededDataLoader`, which draws ahead, it has the size of
    the sample that the process is drawing (see :func:`held_at`).

    Args:
        size: voxels per axis, at least 1 each.

    Raises:
        ValueError: a size that is no positive integer, or (on `set`) another number of axes.

    >>> size = PatchSize((40, 56, 40))
    >>> size.set((8, 8, 16))
    >>> tuple(size), len(size), size[2], size
    ((8, 8, 16), 3, 16, PatchSize(8, 8, 16))
    """

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__([_parse_positive("patch_size", voxels) for voxels in size])

    def set(self, size: Sequence[int]) -> None:
        """Change the size for everybody who holds this object; `size` in voxels per axis."""
        if len(size) != len(self):
            raise ValueError(f"patch_size must have {len(self)} axes as at first, got {tuple(size)}")
        self._values.copy_(torch.tensor([_parse_positive("patch_size", voxels) for voxels in size]))

    def __len__(self) -> int:
        return self._values.numel()

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...
    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        return self._read()[index]

    def __iter__(self) -> Any:
        return iter(self._read())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # mutable: equal today, different tomorrow

    def __repr__(self) -> str:
        return f"PatchSize({', '.join(map(str, self))})"


@total_ordering
class PatchCount(_Shared):
    """How many patches to draw from one volume: an int-like for a MONAI crop's ``num_samples``.

    It has the same owner, readers and ways as :class:`PatchSize`.

    Args:
        count: patches per volume, at least 1.

    Raises:
        ValueError: a count that is no positive integer.

    >>> count = PatchCount(1)
    >>> count.set(3)
    >>> list(range(count)), int(count), count > 2, count
    ([0, 1, 2], 3, True, PatchCount(3))
    """

    def __init__(self, count: int = 1) -> None:
        super().__init__([_parse_positive("patch_count", count)])

    def set(self, count: int) -> None:
        """Change the count for everybody who holds this object; `count` in patches per volume."""
        self._values.fill_(_parse_positive("patch_count", count))

    def __index__(self) -> int:
        return self._read()[0]

    def __int__(self) -> int:
        return self.__index__()

    def __eq__(self, other: object) -> bool:
        return int(self) == int(other) if isinstance(other, (int, PatchCount)) else NotImplemented

    def __lt__(self, other: int | PatchCount) -> bool:
        return int(self) < int(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PatchCount({int(self)})"


@contextmanager
def held_at(
    patches: SamplePatches | None, size: PatchSize | None = None, count: PatchCount | None = None
) -> Iterator[None]:
    """Let this process read a sample's own size and count until the block ends; other processes read what is shared.

    Args:
        patches: the sample's; None changes nothing.
        size: what the crops of its data set read.
        count: likewise.

    >>> size = PatchSize((16, 16))
    >>> with held_at(SamplePatches(size=(8, 16), count=1, before=0), size):
    ...     size
    PatchSize(8, 16)
    >>> size
    PatchSize(16, 16)
    """
    if patches is not None and size is not None:
        size._held = patches.size
    if patches is not None and count is not None:
        count._held = (patches.count,)
    try:
        yield
    finally:
        for shared in (size, count):
            if shared is not None:
                shared._held = None


def _parse_positive(name: str, value: Any) -> int:
    """`value` as a positive int; numpy and torch integers pass, floats, bools and strings do not."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be made of positive integers, got {value!r}")
    return number
