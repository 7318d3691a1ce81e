"""How many patches a batch holds at each stage of a curriculum."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from monai_patchgrow.schedules.stage import patch_voxels

__all__ = ["fill_voxel_budget", "keep_batch_size", "plan_backwards"]

# The batch of the last stage from which the authors' `pgps_plus` plans the others.
LAST_BATCH_SIZE = 2


def keep_batch_size(patch_sizes: Sequence[tuple[int, ...]], *, batch_size: int) -> tuple[int, ...]:
    """Return the full patch's batch size for every stage: `constant`, `pgps`, `efficiency`, `random`.

    Args:
        patch_sizes: patch sizes of the stages, voxels per axis, the full one last.
        batch_size: patches per batch at the full patch.

    Example:
        >>> keep_batch_size([(8, 8), (16, 8), (16, 16)], batch_size=4)
        (4, 4, 4)
    """
    return (batch_size,) * len(patch_sizes)


def plan_backwards(patch_sizes: Sequence[tuple[int, ...]], *, batch_size: int) -> tuple[int, ...]:
    """Return the batch sizes of `pgps_plus` (MICCAI 2024), planned from the last stage to the first.

    The last stage has 2 patches, each earlier one as many as fit into the voxels of the stage after it.
    Then no stage has fewer than `batch_size`. Arguments as `keep_batch_size`'s. A `batch_size` of 1 thus
    trains the full patch with 2, as the authors' code does.

    Example:
        >>> plan_backwards([(8, 8), (16, 8), (16, 16)], batch_size=4)
        (8, 4, 4)
    """
    planned = [LAST_BATCH_SIZE]
    voxels = [patch_voxels(size) for size in reversed(patch_sizes)]
    for later, earlier in pairwise(voxels):
        planned.append(planned[-1] * later // earlier)
    return tuple(max(batch, batch_size) for batch in reversed(planned))


def fill_voxel_budget(patch_sizes: Sequence[tuple[int, ...]], *, batch_size: int) -> tuple[int, ...]:
    """Return the batch sizes of `performance` (arXiv 2510.23241): as many patches as fill the voxel budget.

    The budget is the voxels of a batch at the full patch. Arguments as `keep_batch_size`'s.

    Example:
        >>> fill_voxel_budget([(8, 8), (16, 8), (24, 8), (24, 16)], batch_size=2)
        (12, 6, 4, 2)
    """
    budget = batch_size * patch_voxels(patch_sizes[-1])
    return tuple(budget // patch_voxels(size) for size in patch_sizes)
