"""A batch of patches held against the stage that it came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_patchgrow.transforms.device_warp import Warps

__all__ = ["check_patches", "keep_patches"]


def check_patches(size: Sequence[int], wanted: Sequence[int]) -> None:
    """Refuse patches of another size than the stage's.

    Raises:
        RuntimeError: says what may have set the size.
    """
    if tuple(size) == tuple(wanted):
        return
    stacked = "the loader's collate_fn must be concatenate_patches for RandPatchesd"
    own = "a transform sets a size of its own, or froze the size when it was made"
    raise RuntimeError(
        f"a batch of {tuple(size)} voxels came in a stage of {tuple(wanted)}: "
        f"{stacked if tuple(size[1:]) == tuple(wanted) else own}"
    )


def keep_patches(batch: Mapping[Any, Any], count: int, *, total: int) -> dict[Any, Any]:
    """`count` of a batch's patches, spread over all of it: some of every volume.

    Args:
        batch: tensors and lists with an entry per patch; what has none is kept as it is.
        count: patches to keep.
        total: patches that there are.

    >>> keep_patches({"image": [0, 1, 2, 3, 4, 5], "name": "x"}, 3, total=6)
    {'image': [0, 2, 4], 'name': 'x'}
    """
    kept = [number * total // count for number in range(count)]
    return {key: _pick(value, kept, total=total) for key, value in batch.items()}


def _pick(value: Any, kept: Sequence[int], *, total: int) -> Any:
    if isinstance(value, Warps):
        return value.keep(kept)
    if not hasattr(value, "__len__") or isinstance(value, (str, bytes, Mapping)) or len(value) != total:
        return value
    return [value[number] for number in kept] if isinstance(value, list) else value[kept]
