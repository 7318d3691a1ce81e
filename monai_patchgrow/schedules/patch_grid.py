"""A huge image as row-major patch cells, in 1-D to 3-D: which voxels a cell holds, and which cell a place is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from monai_patchgrow.schedules.arguments import Sizes, format_size, parse_int, parse_sizes

__all__ = ["PatchGrid"]


@dataclass(frozen=True)
class PatchGrid:
    """The cells that patches of one size cut an image into, borders included.

    Cell ``(i, j)`` starts at voxel ``(i * stride[0], j * stride[1])`` of the image, never the other way round. The last
    cell of an axis may reach beyond the image; what lies there is padding. Cells are numbered row by row, as NumPy's
    ``ravel`` does. An image smaller than the patch is one cell.

    Args:
        image_size: voxels per axis, 1 to 3 axes.
        patch_size: voxels per axis.
        stride: voxels from one cell to the next, per axis; at most the patch (default: the patch).

    Raises:
        ValueError: sizes that are no positive integers or of different numbers of axes, or a stride beyond the patch,
            which would leave voxels out.

    Example:
        >>> grid = PatchGrid((500, 300), (128, 128))
        >>> grid.shape, grid.num_cells, grid.start(5)
        ((4, 3), 12, (128, 256))
        >>> grid.slices(5)
        (slice(128, 256, None), slice(256, 384, None))
        >>> grid.covers(5)
        (slice(128, 256, None), slice(256, 300, None))
    """

    image_size: Sizes
    patch_size: Sizes
    stride: Sizes | None = None

    def __post_init__(self) -> None:
        """Turn sizes of any kind into tuples of ints, and check them."""
        for name in ("image_size", "patch_size", "stride"):
            size = getattr(self, name)
            object.__setattr__(self, name, parse_sizes(self.patch_size if size is None else size, name=name))
        if not len(self.image_size) == len(self.patch_size) == len(self._stride):
            raise ValueError(
                f"image_size, patch_size and stride must have as many axes, got {self.image_size}, {self.patch_size} "
                f"and {self.stride}"
            )
        for axis, (step, voxels) in enumerate(zip(self._stride, self.patch_size, strict=True)):
            if step > voxels:
                raise ValueError(
                    f"stride must be at most the patch, or voxels are left out, got {step} on axis {axis} "
                    f"(patch {voxels})"
                )

    @property
    def _stride(self) -> Sizes:
        return self.stride or self.patch_size

    @cached_property
    def shape(self) -> Sizes:
        """Cells per axis."""
        axes = zip(self.image_size, self.patch_size, self._stride, strict=True)
        return tuple(math.ceil(max(size - patch, 0) / step) + 1 for size, patch, step in axes)

    @property
    def num_cells(self) -> int:
        """Cells in all."""
        return math.prod(self.shape)

    def position(self, cell: int) -> Sizes:
        """Return where a cell lies in the grid, per axis.

        Raises:
            ValueError: no such cell.

        Example:
            >>> PatchGrid((500, 300), (128, 128)).position(5)
            (1, 2)
        """
        rest = parse_int(cell, name="cell", minimum=0, maximum=self.num_cells - 1)
        position = []
        for cells in reversed(self.shape):
            rest, along = divmod(rest, cells)
            position.append(along)
        return tuple(reversed(position))

    def index(self, position: Iterable[int]) -> int:
        """Return the number of the cell at a place in the grid.

        Raises:
            ValueError: no such place.

        Example:
            >>> PatchGrid((500, 300), (128, 128)).index((1, 2))
            5
        """
        places = parse_sizes(position, name="position", minimum=0)
        if len(places) != len(self.shape) or any(at >= cells for at, cells in zip(places, self.shape, strict=True)):
            raise ValueError(f"no cell at {places}: the grid has {format_size(self.shape)} cells")
        number = 0
        for at, cells in zip(places, self.shape, strict=True):
            number = number * cells + at
        return number

    def start(self, cell: int) -> Sizes:
        """Return the first voxel of a cell, per axis."""
        return tuple(part.start for part in self.slices(cell))

    def slices(self, cell: int) -> tuple[slice, ...]:
        """Return the voxels of a cell as slices of the image; they may reach beyond it."""
        return self.slices_at(self.position(cell))

    def slices_at(self, position: Iterable[int]) -> tuple[slice, ...]:
        """Return the voxels of the cell at a place in the grid, as `slices` does."""
        starts = (at * step for at, step in zip(position, self._stride, strict=True))
        return tuple(slice(first, first + size) for first, size in zip(starts, self.patch_size, strict=True))

    def covers(self, cell: int) -> tuple[slice, ...]:
        """Return the voxels of the image that a cell covers: its slices, cut at the image's border."""
        return tuple(
            slice(part.start, min(part.stop, size))
            for part, size in zip(self.slices(cell), self.image_size, strict=True)
        )
