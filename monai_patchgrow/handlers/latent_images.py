"""The Ignite handler that shows PatchGD's latent grid Z as an image in TensorBoard."""

from __future__ import annotations

from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

__all__ = ["LatentImages", "latent_image"]

_SMALLEST_SIDE = 128  # pixels of the longer side, below which a picture is enlarged by a whole factor


def latent_image(latent: Tensor, mask: Tensor | None = None) -> Tensor:
    """Draw one image's Z by its first three principal components, as red, green and blue.

    Each component is stretched from its smallest to its largest value over the image's cells. Cells that the image
    doesn't have are black. In 3-D the planes across the last axis lie side by side, in 1-D the cells in one row.

    Args:
        latent: ``(D, *grid)``.
        mask: the cells that the image has, ``(*grid)`` bool; None: all.

    Returns:
        ``(3, rows, columns)`` uint8, one pixel per cell.

    >>> latent_image(torch.tensor([[[0.0, 1.0], [2.0, 3.0]]]))[0].tolist()
    [[0, 85], [170, 255]]
    """
    own = torch.ones(latent.shape[1:], dtype=torch.bool) if mask is None else mask.cpu()
    features = latent.detach().cpu().double()
    cells = features[:, own].T
    picture = torch.zeros(3, *own.shape, dtype=torch.uint8)
    picture[:, own] = _stretch(_principal_components(cells)).T
    if picture.ndim == 4:
        picture = torch.cat(picture.unbind(-1), dim=-1)
    return picture if picture.ndim == 3 else picture[:, None]


class LatentImages:
    """Writes Z of the first images of an epoch to ``output_dir/tensorboard``.

    On an evaluator, whose images come in the same order each time, one sees Z of the same images take shape. It works
    on PatchGD's trainer and evaluator; in a distributed run rank 0 writes its own.

    Args:
        output_dir: folder of the run.
        num_images: how many of the first batch.
        interval: epochs from one picture to the next.
        tag: in TensorBoard.
    """

    def __init__(self, output_dir: str | Path, *, num_images: int = 1, interval: int = 1, tag: str = "latent") -> None:
        if num_images < 1 or interval < 1:
            raise ValueError(f"num_images and interval must be at least 1, got {num_images} and {interval}")
        self.output_dir = Path(output_dir)
        self.num_images, self.interval, self.tag = num_images, interval, tag

    def attach(self, engine: Engine) -> None:
        """Register on a PatchGD engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the pictures, if this is the first iteration of an epoch whose turn it is."""
        state = engine.state
        is_first = (state.iteration - 1) % (state.epoch_length or 1) == 0
        if not is_first or state.epoch % self.interval or idist.get_rank() > 0:
            return
        with SummaryWriter(str(self.output_dir / "tensorboard")) as writer:
            for number, (latent, mask) in enumerate(zip(state.latent.z, state.latent.mask, strict=True)):
                if number < self.num_images:
                    picture = _enlarge(latent_image(latent, mask))
                    writer.add_image(f"{self.tag}/{number}", picture, global_step=state.epoch)


def _principal_components(cells: Tensor) -> Tensor:
    """Of ``(N, D)`` the first three, ``(N, 3)``; the sign is that by which most of the features grow."""
    centred = cells - cells.mean(0)
    # of D x D, not N x N: a slide has many thousand cells
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    axes = vectors.flip(1)[:, :3]
    axes = axes * torch.where(axes.sum(0) < 0, -1.0, 1.0)
    components = centred @ axes
    missing = 3 - components.shape[1]
    return torch.cat([components, components[:, -1:].expand(-1, missing)], 1) if missing else components


def _stretch(components: Tensor) -> Tensor:
    low, high = components.amin(0), components.amax(0)
    return ((components - low) / (high - low).clamp(min=1e-12) * 255).round().to(torch.uint8)


def _enlarge(picture: Tensor) -> Tensor:
    factor = max(1, -(-_SMALLEST_SIDE // max(picture.shape[1:])))
    return picture.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
