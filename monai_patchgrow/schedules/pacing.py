"""Which epochs belong to which stage of a curriculum: the papers' equal stages, or another share for the full patch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any

__all__ = ["Pacing", "kept_stages"]


@dataclass(frozen=True, kw_only=True)
class Pacing:
    """How many epochs each stage gets, as exact integers.

    Args:
        full_patch_share: share of the epochs on the full patch, above 0 and up to 1; None for the papers' rule, by
            which every stage has `max_epochs // stages` epochs and the full patch also takes the remainder
            (PGPS, MICCAI 2024, section 2). The stages before the full patch are equally long, as the papers' are.

    Raises:
        ValueError: no such share.

    Example:
        >>> Pacing(full_patch_share=0.4).spans(3, max_epochs=10)
        ((1, 3), (4, 3), (7, 4))
    """

    full_patch_share: float | None = None

    def __post_init__(self) -> None:
        _parse_share(self.full_patch_share)

    def full_epochs(self, *, num_stages: int, max_epochs: int) -> int:
        """Return the epochs on the full patch.

        Args:
            num_stages: stages of the curriculum, at least 1.
            max_epochs: epochs of the run, at least 1.

        Example:
            >>> Pacing().full_epochs(num_stages=15, max_epochs=1000)
            76
            >>> Pacing(full_patch_share=0.2).full_epochs(num_stages=15, max_epochs=1000)
            200
        """
        if num_stages == 1:
            return max_epochs
        if self.full_patch_share is None:
            length, remainder = divmod(max_epochs, min(num_stages, max_epochs))
            return length + remainder
        # Decimal as it is written: 0.29 * 100 is 28.999999999999996 in binary.
        rounded = int(Fraction(repr(float(self.full_patch_share))) * max_epochs + Fraction(1, 2))
        return max(1, rounded)

    def kept(self, *, num_stages: int, max_epochs: int) -> tuple[int, ...]:
        """Return the indices of the stages that get epochs: see `kept_stages`.

        Example:
            >>> Pacing(full_patch_share=0.5).kept(num_stages=5, max_epochs=6)
            (0, 1, 3, 4)
        """
        left = max_epochs - self.full_epochs(num_stages=num_stages, max_epochs=max_epochs)
        return kept_stages(num_stages=num_stages, max_epochs=left + 1)

    def spans(self, num_stages: int, *, max_epochs: int) -> tuple[tuple[int, int], ...]:
        """Return (first epoch, number of epochs) of every stage; epochs count from 1, as Ignite's do.

        Args:
            num_stages: stages that get epochs, the full patch last.
            max_epochs: epochs of the run.

        Raises:
            ValueError: more stages than epochs; `kept` says which to keep.

        Example:
            >>> Pacing().spans(3, max_epochs=10), Pacing(full_patch_share=0.5).spans(4, max_epochs=10)
            (((1, 3), (4, 3), (7, 4)), ((1, 2), (3, 1), (4, 2), (6, 5)))
        """
        if num_stages > max_epochs:
            raise ValueError(f"every stage needs an epoch, got {num_stages} stages for {max_epochs} epochs")
        full = self.full_epochs(num_stages=num_stages, max_epochs=max_epochs)
        lengths = (*_share_out(max_epochs - full, num_stages - 1), full)
        starts = accumulate(lengths, initial=1)
        return tuple(zip(starts, lengths, strict=False))


def kept_stages(*, num_stages: int, max_epochs: int) -> tuple[int, ...]:
    """Return the indices of the stages that get epochs: all, unless there are more stages than epochs.

    With too few epochs the stages are merged evenly: one stage per epoch, the last (the full patch) always
    among them, the first from two epochs on, the others evenly in between.

    Args:
        num_stages: stages of the curriculum, at least 1.
        max_epochs: epochs of the run, at least 1.

    Example:
        >>> kept_stages(num_stages=3, max_epochs=1000)
        (0, 1, 2)
        >>> kept_stages(num_stages=15, max_epochs=5), kept_stages(num_stages=15, max_epochs=1)
        ((0, 4, 7, 11, 14), (14,))
    """
    if num_stages <= max_epochs:
        return tuple(range(num_stages))
    last, gaps = num_stages - 1, max_epochs - 1
    if gaps == 0:
        return (last,)
    return _evenly_spaced(last, gaps=gaps)


def _share_out(epochs: int, parts: int) -> tuple[int, ...]:
    """Share epochs out evenly among no more parts than epochs, at least one each; what is rounded off is never lost."""
    if parts == 0:
        return ()
    return tuple(later - earlier for earlier, later in pairwise(_evenly_spaced(epochs, gaps=parts)))


def _evenly_spaced(last: int, *, gaps: int) -> tuple[int, ...]:
    """The integers from 0 to `last` that lie nearest to equal gaps, at least one of these."""
    # Rounds half up in integers: round() takes halves to even, which would space them unevenly.
    return tuple((2 * number * last + gaps) // (2 * gaps) for number in range(gaps + 1))


def _parse_share(value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 < value <= 1):
        raise ValueError(f"full_patch_share must be above 0 and up to 1, or None for the papers' share, got {value!r}")
