"""Where the patches of a volume start: integers only, before any voxel is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["FOREGROUND_FRACTION", "draw_starts", "foreground_turns"]

FOREGROUND_FRACTION = 0.5
"""Share of the patches that are centred on foreground, as the PGPS authors' code has it (nnU-Net: 0.33)."""


def foreground_turns(count: int, *, fraction: float, phase: float) -> np.ndarray:
    """Tell which of `count` patches are centred on foreground, spread evenly.

    Args:
        count: patches of one volume.
        fraction: share of the patches on foreground, 0 to 1.
        phase: patches on foreground that came before, fractions included: ``patches before * fraction`` continues
            where another volume of the batch stopped; uniform in 0 to 1 where that is not known.

    Returns:
        `count` booleans.

    >>> foreground_turns(4, fraction=0.5, phase=0.0).tolist()
    [False, True, False, True]
    """
    turns = np.floor(phase + fraction * np.arange(count + 1))
    return np.diff(turns) > 0


def draw_starts(
    random_state: np.random.RandomState,
    *,
    shape: Sequence[int],
    patch_size: Sequence[int],
    class_locations: Sequence[np.ndarray],
    on_foreground: np.ndarray,
    annotated: np.ndarray | None = None,
) -> np.ndarray:
    """Draw the first voxel of each patch: around a foreground voxel, or anywhere where the patch lies in the volume.

    A foreground patch picks a class uniformly among those present, then one of its voxels, and is centred there
    as far as the volume's border allows. The others start uniformly. Where the volume is the smaller one it is
    centred in the patch, and the start is negative.

    Of a volume that is annotated in part, the others are centred on an annotated voxel, as nnU-Net has it, and so are
    all where there is no foreground.

    Args:
        random_state: source of all draws.
        shape: voxels of the volume per axis.
        patch_size: voxels of a patch per axis.
        class_locations: flat voxel indices (C order) of each foreground class; classes without any are skipped.
        on_foreground: for each patch, whether it is centred on foreground; uniform all the same where
            there is none.
        annotated: flat voxel indices that are annotated; None, or none of them: patches lie anywhere.

    Returns:
        Integers, (patches, axes).
    """
    room = np.subtract(shape, patch_size)
    starts = random_state.randint(0, np.maximum(room, 0) + 1, size=(len(on_foreground), len(room)))
    present = [locations for locations in class_locations if len(locations)]
    chosen = np.flatnonzero(on_foreground)
    if present and len(chosen):
        starts[chosen] = _starts_around(_draw_voxels(random_state, present, len(chosen)), shape, patch_size)
    others = np.flatnonzero(~np.asarray(on_foreground, bool)) if present else np.arange(len(on_foreground))
    if annotated is not None and len(annotated) and len(others):
        starts[others] = _starts_around(_draw_voxels(random_state, [annotated], len(others)), shape, patch_size)
    return np.where(room < 0, room // 2, starts)


def _starts_around(voxels: np.ndarray, shape: Sequence[int], patch_size: Sequence[int]) -> np.ndarray:
    """First voxels of patches that are centred on flat voxel indices, as far as the volume's border allows."""
    centres = np.stack(np.unravel_index(voxels, tuple(shape)), axis=1)
    return np.clip(centres - np.floor_divide(patch_size, 2), 0, np.maximum(np.subtract(shape, patch_size), 0))


def _draw_voxels(random_state: np.random.RandomState, locations: Sequence[np.ndarray], count: int) -> np.ndarray:
    """`count` flat voxel indices, each of a class drawn uniformly."""
    classes = random_state.randint(len(locations), size=count)
    fractions = random_state.random_sample(count)
    voxels = np.empty(count, dtype=np.int64)
    for number, indices in enumerate(locations):
        drawn = classes == number
        voxels[drawn] = indices[(fractions[drawn] * len(indices)).astype(np.int64)]
    return voxels
