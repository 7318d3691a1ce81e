"""The patch size and the patch count that transforms read at call time, in shared memory."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import total_ordering
from typing import Any, overload

import torch

from monai_patchgrow.state.drawn_sample import drawn_sample

__all__ = ["PatchCount", "PatchSize"]


class _Shared:
    """Integers in shared memory, one object for all who hold it.

    Loader workers inherit the memory (fork) or map it (spawn), and a deep copy is the object itself: MONAI's
    loaders and config parser deep-copy transforms, and a copied value would never hear of a change.
    """

    def __init__(self, values: Sequence[int]) -> None:
        self._values = torch.tensor(values, dtype=torch.int64).share_memory_()

    def __deepcopy__(self, memo: dict[int, Any]) -> _Shared:
        return self

    def __copy__(self) -> _Shared:
        return self


class PatchSize(_Shared, Sequence[int]):
    """The current patch size in voxels: a sequence of ints wherever a MONAI crop takes ``roi_size`` or
    ``spatial_size``.

    Only a handler should change it, and only while no worker is drawing patches (see
    :class:`monai_patchgrow.handlers.PatchGrowth`). While a loader draws that tells the size of each sample
    (:class:`monai_patchgrow.data.SeededDataLoader`), transforms read that one.

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

    def _read(self) -> tuple[int, ...]:
        return drawn_sample.patches.size if drawn_sample.patches else tuple(self._values.tolist())


@total_ordering
class PatchCount(_Shared):
    """How many patches to draw from one volume: an int-like for a MONAI crop's ``num_samples``.

    As with :class:`PatchSize`, a loader that tells the count of each sample comes first.

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
        return drawn_sample.patches.count if drawn_sample.patches else int(self._values.item())

    def __int__(self) -> int:
        return self.__index__()

    def __eq__(self, other: object) -> bool:
        return int(self) == int(other) if isinstance(other, (int, PatchCount)) else NotImplemented

    def __lt__(self, other: int | PatchCount) -> bool:
        return int(self) < int(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"PatchCount({int(self)})"


def _parse_positive(name: str, value: Any) -> int:
    """`value` as a positive int; numpy and torch integers pass, floats, bools and strings do not."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if isinstance(value, bool) or number < 1:
        raise ValueError(f"{name} must be made of positive integers, got {value!r}")
    return number
