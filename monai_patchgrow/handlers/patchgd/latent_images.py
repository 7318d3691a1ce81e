"""The Ignite handler that shows PatchGD's latent grid Z as an image in TensorBoard."""

from __future__ import annotations

import logging
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events
from ignite.handlers import TensorboardLogger
from torch import Tensor

from monai_patchgrow.handlers.event_files import event_files_of

__all__ = ["LatentImages", "latent_image"]

logger = logging.getLogger(__name__)

_NOT_FINITE = (255, 0, 255)  # magenta
_SMALLEST_SIDE = 128  # pixels of the longer side, below which a picture is enlarged by a whole factor


def latent_image(latent: Tensor, mask: Tensor | None = None) -> Tensor:
    """Draw one image's Z by its first three principal components, as red, green and blue.

    Each component is stretched from its smallest to its largest value over the image's cells. Cells that the image
    doesn't have are black; cells that hold NaN or infinity are magenta and count in nothing. In 3-D the planes across
    the last axis lie side by side, in 1-D the cells in one row.

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
    finite = own & features.isfinite().all(0)
    picture = torch.zeros(3, *own.shape, dtype=torch.uint8)
    picture[:, own] = torch.tensor(_NOT_FINITE, dtype=torch.uint8)[:, None]
    if finite.any():
        picture[:, finite] = _stretch(_principal_components(features[:, finite].T)).T
    if picture.ndim == 4:
        picture = torch.cat(picture.unbind(-1), dim=-1)
    return picture if picture.ndim == 3 else picture[:, None]


class LatentImages:
    """Writes Z of the first images of an epoch to ``output_dir/tensorboard/<tag>``.

    The folder is a run of its own to TensorBoard: of one folder it stops following a file, that of the curves, once
    there is a newer one.

    On an evaluator, whose images come in the same order each time, one sees Z of the same images take shape. It works
    on PatchGD's trainer and evaluator; in a distributed run rank 0 writes its own. A Z that isn't finite stops nothing:
    its picture shows where, and the log says so once.

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
        self._has_warned = False

    def attach(self, engine: Engine) -> None:
        """Register on a PatchGD engine."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the pictures, if this is the first iteration of an epoch whose turn it is."""
        state = engine.state
        is_first = (state.iteration - 1) % (state.epoch_length or 1) == 0
        if not is_first or state.epoch % self.interval or idist.get_rank() > 0:
            return
        folder = self.output_dir / "tensorboard" / self.tag
        with event_files_of(folder), TensorboardLogger(log_dir=str(folder)) as writer:
            for number, (latent, mask) in enumerate(zip(state.latent.z, state.latent.mask, strict=True)):
                if number < self.num_images:
                    self._warn_once(latent, mask, number=number, epoch=state.epoch)
                    picture = _enlarge(latent_image(latent, mask))
                    writer.add_image(f"{self.tag}/{number}", picture, global_step=state.epoch)

    def _warn_once(self, latent: Tensor, mask: Tensor, *, number: int, epoch: int) -> None:
        wrong = int((~latent.detach().isfinite().all(0) & mask).sum())
        if wrong and not self._has_warned:
            self._has_warned = True
            logger.warning(
                "Z of image %d in epoch %d holds NaN or infinity in %d of %d cells: they are drawn in magenta",
                number,
                epoch,
                wrong,
                int(mask.sum()),
            )


def _principal_components(cells: Tensor) -> Tensor:
    """Of ``(N, D)`` the first three, ``(N, 3)``; the sign is that by which most of the features grow."""
    cells = cells / cells.abs().amax().clamp(min=1e-300)  # the squares of large values would be infinite
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
