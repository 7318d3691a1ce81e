"""Patch sizes, from the smallest that the network accepts to the full one, and what makes a size legal."""

from __future__ import annotations

from itertools import cycle

from monai_patchgrow.schedules.arguments import Sizes

__all__ = [
    "axes_in_turn",
    "check_growth",
    "check_patch_size",
    "full_patch_only",
    "nearest_legal_sizes",
    "smallest_axis_first",
]

# Progressive growing starts on a patch of this many strides on the authors' axis 0, of one on the others.
FIRST_PATCH_STRIDES = 2


def full_patch_only(
    patch_size: Sizes,
    total_stride: Sizes,
    *,
    smallest_patch: Sizes | None = None,
    axis_order: Sizes | None = None,
) -> tuple[Sizes, ...]:
    """Return the one size of a run that does not grow; arguments and errors as `axes_in_turn`'s.

    Example:
        >>> full_patch_only((40, 56), (8, 8))
        ((40, 56),)
    """
    check_growth(patch_size, total_stride, smallest_patch=smallest_patch, axis_order=axis_order)
    return (patch_size,)


def axes_in_turn(
    patch_size: Sizes,
    total_stride: Sizes,
    *,
    smallest_patch: Sizes | None = None,
    axis_order: Sizes | None = None,
) -> tuple[Sizes, ...]:
    """Return the sizes of the curricula `pgps`, `pgps_plus` and `random` (PGPS, MICCAI 2024).

    The first patch is the total stride, doubled on axis 0 but never above the full size. Then the axes grow
    by one stride each, in turn: 1, 2, 0 in 3-D, 1, 0 in 2-D. An axis that is full is skipped.

    Args:
        patch_size: full patch, voxels per axis.
        total_stride: product of the network's strides, voxels per axis.
        smallest_patch: first patch, voxels per axis, in place of the curriculum's own.
        axis_order: `axis_order[i]` is the array axis that plays axis i of the rule; default (0, 1, ...).

    Raises:
        ValueError: no plan is possible with these sizes (see `check_growth`).

    Example:
        >>> axes_in_turn((24, 16), (8, 8))
        ((16, 8), (16, 16), (24, 16))
    """
    order = check_growth(patch_size, total_stride, smallest_patch=smallest_patch, axis_order=axis_order)
    first = order[0]
    doubled = min(FIRST_PATCH_STRIDES * total_stride[first], patch_size[first])
    sizes = [smallest_patch or _replace(total_stride, axis=first, size=doubled)]
    for axis in cycle(order[1:] + order[:1]):
        if sizes[-1] == patch_size:
            break
        if sizes[-1][axis] < patch_size[axis]:
            sizes.append(_replace(sizes[-1], axis=axis, size=sizes[-1][axis] + total_stride[axis]))
    return tuple(sizes)


def smallest_axis_first(
    patch_size: Sizes,
    total_stride: Sizes,
    *,
    smallest_patch: Sizes | None = None,
    axis_order: Sizes | None = None,
) -> tuple[Sizes, ...]:
    """Return the sizes of the curricula `efficiency` and `performance` (arXiv 2510.23241).

    The first patch is the total stride. Then, of the axes that are not full, the one whose next size is
    smallest grows by one stride; of equal ones the first in `axis_order`. Arguments and errors as
    `axes_in_turn`'s.

    Example:
        >>> smallest_axis_first((12, 16), (4, 8))
        ((4, 8), (8, 8), (12, 8), (12, 16))
    """
    order = check_growth(patch_size, total_stride, smallest_patch=smallest_patch, axis_order=axis_order)
    sizes = [smallest_patch or total_stride]
    while sizes[-1] != patch_size:
        grown = {axis: sizes[-1][axis] + total_stride[axis] for axis in order}
        axis = min((a for a in order if grown[a] <= patch_size[a]), key=grown.__getitem__)
        sizes.append(_replace(sizes[-1], axis=axis, size=grown[axis]))
    return tuple(sizes)


def check_growth(
    patch_size: Sizes,
    total_stride: Sizes,
    *,
    smallest_patch: Sizes | None = None,
    axis_order: Sizes | None = None,
) -> Sizes:
    """Check that a curriculum can be planned, and return its axis order; arguments as `axes_in_turn`'s.

    Raises:
        ValueError: a size is no multiple of its axis' stride, `smallest_patch` is larger than `patch_size`
            on an axis, the lengths differ, or `axis_order` is no permutation of the axes.

    Example:
        >>> check_growth((40, 56, 40), (8, 8, 8))
        (0, 1, 2)
    """
    check_patch_size(patch_size, total_stride)
    if smallest_patch is not None:
        _check_rank(smallest_patch, patch_size, name="smallest_patch", of="patch_size")
        for axis, (smallest, full) in enumerate(zip(smallest_patch, patch_size, strict=True)):
            if smallest > full:
                raise ValueError(
                    "smallest_patch must not be larger than patch_size on any axis, "
                    f"got {smallest} on axis {axis} (patch_size {full})"
                )
        check_patch_size(smallest_patch, total_stride, name="smallest_patch")
    identity = tuple(range(len(patch_size)))
    if axis_order is not None and tuple(sorted(axis_order)) != identity:
        raise ValueError(f"axis_order must be a permutation of the array axes {identity}, got {axis_order}")
    return identity if axis_order is None else axis_order


def check_patch_size(patch_size: Sizes, total_stride: Sizes, *, name: str = "patch_size") -> None:
    """Check that a network of this total stride takes the patch; sizes in voxels per axis.

    Raises:
        ValueError: a size is no multiple of its axis' stride; all such axes are named, with the nearest
            legal sizes. Or the lengths differ.

    Example:
        >>> check_patch_size((40, 50, 40), (8, 8, 8))
        Traceback (most recent call last):
        ValueError: patch_size must be a multiple of total_stride on every axis, got 50 on axis 1 (stride 8): \
nearest are 48 and 56
    """
    _check_rank(total_stride, patch_size, name="total_stride", of=name)
    faults = []
    for axis, (size, stride) in enumerate(zip(patch_size, total_stride, strict=True)):
        nearest = nearest_legal_sizes(size, stride)
        if nearest != (size,):
            hint = "nearest are {} and {}" if len(nearest) > 1 else "nearest is {}"
            faults.append(f"{size} on axis {axis} (stride {stride}): {hint.format(*nearest)}")
    if faults:
        raise ValueError(f"{name} must be a multiple of total_stride on every axis, got {'; '.join(faults)}")


def nearest_legal_sizes(size: int, stride: int) -> Sizes:
    """Return the legal sizes next to `size` on one axis, in voxels: itself, or those below and above.

    Example:
        >>> nearest_legal_sizes(50, 8), nearest_legal_sizes(48, 8), nearest_legal_sizes(5, 8)
        ((48, 56), (48,), (8,))
    """
    below = size // stride * stride
    if below == 0:
        return (stride,)
    return (below,) if below == size else (below, below + stride)


def _check_rank(sizes: Sizes, reference: Sizes, *, name: str, of: str) -> None:
    if len(sizes) != len(reference):
        raise ValueError(
            f"{name} must have as many axes as {of}, got {len(sizes)} {sizes} for {len(reference)} {reference}"
        )


def _replace(sizes: Sizes, *, axis: int, size: int) -> Sizes:
    return (*sizes[:axis], size, *sizes[axis + 1 :])
