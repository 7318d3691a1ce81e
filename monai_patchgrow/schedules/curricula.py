"""The curricula by name: how each grows its patch and fills its batches."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import NamedTuple

from monai_patchgrow.schedules.batching import fill_voxel_budget, keep_batch_size, plan_backwards
from monai_patchgrow.schedules.growth import axes_in_turn, full_patch_only, smallest_axis_first
from monai_patchgrow.schedules.stage import RANDOM

__all__ = ["CURRICULA", "Curriculum", "find_curriculum"]


class Curriculum(NamedTuple):
    """What sets one curriculum apart from the others.

    Attributes:
        grow: patch sizes of the stages; called like `growth.axes_in_turn`.
        batch: patches per batch at each of them; called like `batching.keep_batch_size`.
    """

    grow: Callable[..., tuple[tuple[int, ...], ...]]
    batch: Callable[..., tuple[int, ...]] = keep_batch_size


_BY_NAME = {
    "constant": Curriculum(full_patch_only),
    "pgps": Curriculum(axes_in_turn),
    "pgps_plus": Curriculum(axes_in_turn, plan_backwards),
    "efficiency": Curriculum(smallest_axis_first),
    "performance": Curriculum(smallest_axis_first, fill_voxel_budget),
    RANDOM: Curriculum(axes_in_turn),
}
CURRICULA = tuple(_BY_NAME)


def find_curriculum(name: str) -> Curriculum:
    """Return the curriculum of this name, one of `CURRICULA`.

    Raises:
        ValueError: there is none; the message names all of them and the nearest.

    Example:
        >>> find_curriculum("efficency")
        Traceback (most recent call last):
        ValueError: curriculum must be one of constant, pgps, pgps_plus, efficiency, performance, random, \
got 'efficency': did you mean 'efficiency'?
    """
    if isinstance(name, str) and name in _BY_NAME:
        return _BY_NAME[name]
    nearest = difflib.get_close_matches(name.lower(), CURRICULA, n=1) if isinstance(name, str) else []
    hint = f": did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"curriculum must be one of {', '.join(CURRICULA)}, got {name!r}{hint}")
