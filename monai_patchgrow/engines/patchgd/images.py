"""The images of a batch as cells of one grid, of which a chunk's patches are read at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, SupportsIndex

import ignite.distributed as idist
import numpy as np
import torch
from torch import Tensor

from monai_patchgrow.data.loading.usable_cpus import usable_cpus
from monai_patchgrow.data.tiles.prefetch import prefetch
from monai_patchgrow.data.tiles.source import TensorTiles, TileSource, as_tile_source
from monai_patchgrow.engines.patchgd.chunks import Chunk, Chunks, parse_chunks
from monai_patchgrow.engines.patchgd.options import ImageReading
from monai_patchgrow.schedules.arguments import format_size, parse_sizes
from monai_patchgrow.schedules.patch_grid import PatchGrid
from monai_patchgrow.state.latent_grid import Places, join_masks

__all__ = ["ImageBatch"]

_AS_THEY_ARE = ImageReading()
_MOST_READERS = 8


class ImageBatch:
    """The images of a batch, cut into cells of one patch size.

    Args:
        images: a tensor ``(B, C, *spatial)``, a tile source (a batch of one), or a list of tile sources, tensors or
            arrays ``(C, *spatial)``, which may be of different sizes.
        patch_size: voxels per axis.
        reading: how they are cut and read.

    Attributes:
        shape: cells per axis of the largest grid.
        mask: the cells that each image has, ``(B, *shape)`` bool, on the CPU.
        cells: the row-major cells of `shape` that at least one image has.

    Raises:
        ValueError: no images, images of other axes than the patch, of different channels, or smaller than the patch.

    >>> batch = ImageBatch([torch.zeros(1, 4, 6), torch.zeros(1, 2, 2)], patch_size=(2, 2))
    >>> len(batch), batch.shape, batch.read((0, 5)).shape
    (2, (2, 3), torch.Size([3, 1, 2, 2]))
    """

    def __init__(
        self,
        images: Any,
        *,
        patch_size: Sequence[int],
        reading: ImageReading = _AS_THEY_ARE,
    ) -> None:
        self._sources, self._stacked = _parse_images(images, reading.padding)
        shapes = [shape for source in self._sources for shape in [source.shape] * max(self._stacked, 1)]
        if len({(len(shape), shape[0]) for shape in shapes}) > 1:
            raise ValueError(f"the images of a batch must have as many channels and axes, got {sorted(set(shapes))}")
        size = parse_sizes(patch_size, name="patch_size")
        step = None if reading.stride is None else parse_sizes(reading.stride, name="stride")
        for number, shape in enumerate(shapes):
            path = None if self._stacked else getattr(self._sources[number], "path", None)
            name = f"image {number} of the batch" if path is None else str(path)
            _check_size(shape[1:], size, name=name, allow_smaller=reading.allow_smaller)
        grids = {shape: PatchGrid(shape[1:], size, step) for shape in dict.fromkeys(shapes)}
        self.grids = tuple(grids[shape] for shape in shapes)
        self.mask = join_masks([grid.shape for grid in self.grids])
        self.shape = tuple(self.mask.shape[1:])
        self.cells = self.mask.any(0).flatten().nonzero()[:, 0].tolist()
        self._prefetch = reading.prefetch
        self._in_threads = self._prefetch and not all(isinstance(source, TensorTiles) for source in self._sources)

    def __len__(self) -> int:
        return len(self.grids)

    @property
    def has_one_size(self) -> bool:
        """Whether all images have all cells."""
        return len({grid.shape for grid in self.grids}) == 1

    def parse_chunks(self, fill: Iterable[Iterable[SupportsIndex]], inner: Iterable[Iterable[SupportsIndex]]) -> Chunks:
        """Chunks that a caller gives.

        Raises:
            ValueError: a chunk that is empty, repeats a cell, or has one that isn't there or that no image has.
        """
        count = len(self.mask[0].flatten())
        chunks = Chunks(
            parse_chunks(fill, num_cells=count, name="fill_chunks"),
            parse_chunks(inner, num_cells=count, name="inner_chunks"),
        )
        nowhere = {cell for chunk in (*chunks.fill, *chunks.inner) for cell in chunk} - set(self.cells)
        if nowhere:
            raise ValueError(f"no image of the batch has cell {min(nowhere)} of the grid of {format_size(self.shape)}")
        return chunks

    def split(self, chunk: Chunk, chunk_size: int | None) -> tuple[Chunk, ...]:
        """The parts of a chunk that hold up to `chunk_size` patches of all images together, but at least a cell each.

        All are about as large: batch norm can't train on a single patch that is left over.

        >>> ImageBatch(torch.zeros(2, 1, 5), patch_size=(1,)).split((4, 0, 2, 1), 7)
        ((4, 0), (2, 1))
        """
        cells = len(chunk) if chunk_size is None else max(1, chunk_size // len(self))
        return tuple(tuple(part.tolist()) for part in np.array_split(chunk, math.ceil(len(chunk) / cells)))

    @contextmanager
    def read_all(self, chunks: Sequence[Chunk], *, device: torch.device) -> Iterator[Iterator[Tensor]]:
        """The patches of chunk after chunk, as `read` gives them, until the block ends.

        Args:
            chunks: in their order.
            device: where they are encoded; for a GPU they are read into pinned memory.
        """
        if not self._in_threads:
            yield map(self.read, chunks)
            return
        count = self._num_readers(device)

        def read(chunk: Chunk) -> Tensor:
            patches = self.read(chunk, num_parts=count, each=pool.map)
            return patches.pin_memory() if device.type == "cuda" else patches

        with ThreadPoolExecutor(count, thread_name_prefix="reader") as pool:
            reading: Any = prefetch(read, chunks)
            with closing(reading):
                yield reading

    def _num_readers(self, device: torch.device) -> int:
        """As many as were asked for; by itself one beside an encoder on the CPU, which needs the cores itself."""
        if self._prefetch is not True:
            return self._prefetch
        return 1 if device.type == "cpu" else min(_MOST_READERS, usable_cpus(processes=idist.get_nproc_per_node()))

    def places(self, *chunks: Chunk, device: torch.device) -> Places:
        """Which image and which cell each patch belongs to, in the order of `read`, of chunk after chunk.

        Args:
            *chunks: at least one.
            device: where latents are written by them.
        """
        mask = self.mask.flatten(1)
        images, cells = [], []
        for chunk in chunks:
            wanted = torch.tensor(chunk, dtype=torch.int64)
            those, order = mask[:, wanted].nonzero(as_tuple=True)
            images.append(those)
            cells.append(wanted[order])
        image, cell = torch.cat(images), torch.cat(cells)
        return image.to(device, non_blocking=True), cell.to(device, non_blocking=True)

    def read(self, chunk: Chunk, *, num_parts: int = 1, each: Callable[..., Iterable[Tensor]] = map) -> Tensor:
        """The patches of a chunk, ``(N, C, *patch)``: all cells of the first image that it has, then the next one's.

        Args:
            chunk: cells.
            num_parts: in how many an image's cells are read.
            each: calls a function for each of several arguments, in order, such as a pool's ``map``.
        """
        positions = np.stack(np.unravel_index(np.asarray(chunk), self.shape), axis=1).tolist()
        if self._stacked:
            cells = [self.grids[0].slices_at(position) for position in positions]
            patches = self._sources[0].read(cells).unflatten(1, (self._stacked, -1))
            return patches.transpose(0, 1).flatten(0, 1)
        sources, parts = [], []
        for source, grid in zip(self._sources, self.grids, strict=True):
            own = [at for at in positions if all(place < cells for place, cells in zip(at, grid.shape, strict=True))]
            length = max(1, -(-len(own) // num_parts))
            for first in range(0, len(own), length):
                sources.append(source)
                parts.append([grid.slices_at(position) for position in own[first : first + length]])
        return torch.cat(list(each(lambda source, cells: source.read(cells), sources, parts)))


def _parse_images(images: Any, padding: float) -> tuple[list[TileSource], int]:
    """A source for each image, or one whose channels are those of all images of a tensor, and then their number."""
    if isinstance(images, Tensor):
        if images.ndim < 3 or not images.numel():
            raise ValueError(f"images must be a tensor (B, C, *spatial) that isn't empty, got {tuple(images.shape)}")
        if images.is_contiguous():  # else it would be copied as a whole
            return [TensorTiles(images.as_subclass(Tensor).flatten(0, 1), padding=padding)], len(images)
    single = [images] if isinstance(images, TileSource) else images
    sources = [as_tile_source(image, padding=padding) for image in single]
    if not sources:
        raise ValueError("a batch must hold at least one image, got none")
    return sources, 0


def _check_size(image: tuple[int, ...], patch: tuple[int, ...], *, name: str, allow_smaller: bool) -> None:
    if len(image) != len(patch):
        raise ValueError(f"patch_size must have an entry per axis of the images, {len(image)}, got {patch}")
    small = [axis for axis, (voxels, wanted) in enumerate(zip(image, patch, strict=True)) if voxels < wanted]
    if small and not allow_smaller:
        raise ValueError(
            f"{name} has {format_size(image)} voxels, fewer on axis {small[0]} than the patch of "
            f"{format_size(patch)}: take a smaller patch, or pad the image by allow_smaller=True"
        )
