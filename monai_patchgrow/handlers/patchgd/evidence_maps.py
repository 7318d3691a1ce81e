"""The Ignite handler that draws, over a thumbnail of each image, which patches spoke for its prediction."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import torch
from ignite.engine import Engine, Events
from PIL import Image
from torch import Tensor, nn

from monai_patchgrow.data.tiles.source import TileSource, as_tile_source
from monai_patchgrow.data.tiles.thumbnail import PlaneTiles, coarse_thumbnail
from monai_patchgrow.files import whole_file
from monai_patchgrow.networks.heads.evidence import cell_evidence
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["EvidenceMaps", "draw_evidence"]

_FOR, _AGAINST = (220.0, 30.0, 30.0), (40.0, 80.0, 230.0)  # red, blue
_OPACITY = 0.65  # of the cell that spoke most
_NOT_IN_FILE_NAMES = re.compile(r'[%/\\:*?"<>|\x00-\x1f]')
_LONGEST_NAME = 200  # bytes; file systems take 255


class EvidenceMaps:
    """Writes a PNG per image: a grey thumbnail, red where patches spoke for the prediction, blue where against it.

    The evidence of a patch is :func:`monai_patchgrow.networks.cell_evidence`; the strongest of an image has the
    fullest colour, and patches that overlap are averaged. Of a volume the layer of patches with the most evidence is
    drawn, over the plane through its middle, rows along the first axis.

    A picture is called as its image is in :class:`PredictionTable`. What a file name can't hold is percent-encoded,
    "ward 3/a" in ``ward 3%2Fa.png``, and of a long name the end is kept. Should a name come again in a run, its next
    picture is ``<name>-2.png``.

    Args:
        output_dir: folder of the pictures, ``<name>.png``.
        head: ``(B, D, *grid)`` to ``(B, K)``.
        patch_size, stride: voxels per axis, as the engine's.
        evidence_of: which logit to explain, of an image's logits ``(K,)``; such as ``ImageTarget.evidence_of``.
        largest: pixels of the longer side of a picture.
        name_key: of the batch: the names of the images; without it they are numbered.
    """

    def __init__(
        self,
        output_dir: str | Path,
        *,
        head: nn.Module,
        patch_size: Sequence[int],
        stride: Sequence[int] | None = None,
        evidence_of: Callable[[Tensor], SupportsIndex | None] = lambda logits: int(logits.argmax()),
        largest: int = 512,
        name_key: str = "name",
    ) -> None:
        self.output_dir, self.head = Path(output_dir), head
        self.patch_size, self.stride = patch_size, stride
        self.evidence_of, self.largest, self.name_key = evidence_of, largest, name_key
        self._written: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Register on a PatchGD evaluator that decollates, as it does by default."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Write the pictures of the iteration's images."""
        latent = engine.state.latent
        for number, (item, output) in enumerate(zip(engine.state.batch, engine.state.output, strict=True)):
            mask = latent.mask[number : number + 1]
            class_index = self.evidence_of(torch.as_tensor(output["pred"]).detach())
            evidence = cell_evidence(self.head, latent.z[number : number + 1], mask, class_index)[0]
            source = as_tile_source(item["image"])
            stride = None if self.stride is None else tuple(self.stride)
            grid = PatchGrid(source.shape[1:], tuple(self.patch_size), stride)
            own = evidence[tuple(map(slice, grid.shape))].float().cpu()
            picture = draw_evidence(own, source, grid, largest=self.largest)
            name = self._free_name(str(item.get(self.name_key, len(self._written))))
            with whole_file(self.output_dir / f"{name}.png") as temporary:
                Image.fromarray(picture.movedim(0, -1).numpy()).save(temporary, format="PNG")
            self._written.add(name)

    def _start(self) -> None:
        self._written = set()
        self.output_dir.mkdir(parents=True, exist_ok=True)

    def _free_name(self, image: str) -> str:
        """What to call the picture of an image."""
        name = first = _file_name(image)
        number = 1
        while name in self._written:
            number += 1
            name = f"{first}-{number}"
        return name


def draw_evidence(evidence: Tensor, source: TileSource, grid: PatchGrid, *, largest: int = 512) -> Tensor:
    """Lay the evidence of an image's patches over its thumbnail.

    Args:
        evidence: ``(*grid)``; above 0 for the class, below against it.
        source: the image, 2-D or 3-D.
        grid: its cells.
        largest: pixels of the longer side.

    Returns:
        ``(3, rows, columns)`` uint8.

    Raises:
        ValueError: an image of one axis.

    >>> source, grid = as_tile_source(torch.zeros(1, 4, 4)), PatchGrid((4, 4), (2, 2))
    >>> draw_evidence(torch.tensor([[1.0, 0.0], [0.0, -0.5]]), source, grid)[:, ::2, ::2].tolist()
    [[[143, 0], [0, 13]], [[20, 0], [0, 26]], [[20, 0], [0, 75]]]
    """
    if len(grid.shape) == 3:
        evidence, source, grid = _strongest_layer(evidence, source, grid)
    if len(grid.shape) != 2:
        raise ValueError(f"evidence is drawn over images of 2 or 3 axes, got {len(grid.shape)}")
    grey = _grey(coarse_thumbnail(source, largest=largest))
    opacity = _spread(evidence / evidence.abs().max().clamp(min=1e-12), grid, grey.shape) * _OPACITY
    favourable, adverse = (torch.tensor(rgb)[:, None, None] for rgb in (_FOR, _AGAINST))
    colour = torch.where(opacity > 0, favourable, adverse)
    strength = opacity.abs()
    return ((1 - strength) * grey + strength * colour).round().clamp(0, 255).to(torch.uint8)


def _file_name(image: str) -> str:
    """One that ``urllib.parse.unquote`` turns back.

    >>> _file_name("ward 3/50 %.tif")
    'ward 3%2F50 %25.tif'
    """
    name = _NOT_IN_FILE_NAMES.sub(lambda found: f"%{ord(found[0]):02X}", image)
    return os.fsencode(name)[-_LONGEST_NAME:].decode(errors="ignore")


def _strongest_layer(evidence: Tensor, volume: TileSource, grid: PatchGrid) -> tuple[Tensor, TileSource, PatchGrid]:
    """Of a volume the layer across the last axis whose cells speak most, and the plane through its middle."""
    layer = int(evidence.abs().sum((0, 1)).argmax())
    depth = grid.covers(grid.index((0, 0, layer)))[2]
    stride = None if grid.stride is None else grid.stride[:2]
    plane = PlaneTiles(volume, at=(depth.start + depth.stop) // 2)
    return evidence[..., layer], plane, PatchGrid(grid.image_size[:2], grid.patch_size[:2], stride)


def _grey(picture: Tensor) -> Tensor:
    """``(rows, columns)`` of 0 to 255: bytes as they are, values of another range stretched to it."""
    grey = picture.mean(0)
    low, high = float(grey.min()), float(grey.max())
    is_bytes = low >= 0 and 1 < high <= 255
    return grey if is_bytes else (grey - low) / max(high - low, 1e-12) * 255


def _spread(evidence: Tensor, grid: PatchGrid, size: Sequence[int]) -> Tensor:
    """The mean evidence of the cells that cover each pixel of a picture ``(rows, columns)``."""
    total, count = torch.zeros(*size), torch.zeros(*size)
    for cell, value in enumerate(evidence.flatten().tolist()):
        parts = zip(grid.covers(cell), size, grid.image_size, strict=True)
        under = tuple(slice(part.start * n // whole, -(-part.stop * n // whole)) for part, n, whole in parts)
        total[under] += value
        count[under] += 1
    return total / count.clamp(min=1)
