"""PatchGD's evaluator: Z is filled chunk by chunk, then the head classifies it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from monai.engines import IterationEvents, SupervisedEvaluator
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from monai_patchgrow.engines.patchgd.batches import autocast_of, join_network, parse_options, register_decollate
from monai_patchgrow.engines.patchgd.chunks import parse_chunk_size
from monai_patchgrow.engines.patchgd.events import PatchGDEvents
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.model import PatchModel
from monai_patchgrow.state.latent_grid import LatentGrid

__all__ = ["PatchGDEvaluator", "fill_latent"]

_PATCHES_AT_A_TIME = 64


def fill_latent(
    *,
    encoder: Callable[[Tensor], Tensor],
    images: Any,
    patch_size: Sequence[int],
    stride: Sequence[int] | None = None,
    chunk_size: int | None = None,
    normalise: Callable[[Tensor], Tensor] | None = None,
    skip_background: bool = False,
    padding: float = 0,
    allow_smaller: bool = False,
    prefetch: bool = True,
    device: torch.device | str | None = None,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> LatentGrid:
    """Encode every cell of every image without gradient, row by row, in the encoder's mode.

    Args:
        encoder: ``(N, C, *patch)`` to ``(N, D)``.
        images: as of `patchgd_pass`.
        patch_size: voxels per axis.
        stride: voxels from one cell to the next, per axis (default: the patch).
        chunk_size: patches that are encoded at a time, of all images together (default: 64).
        normalise: as of `patchgd_pass`.
        skip_background: as of `patchgd_pass`.
        padding: value beyond the border of tensors and arrays.
        allow_smaller: pad images that are smaller than the patch instead of refusing them.
        prefetch: read the next chunk in a thread where images are not in memory.
        device: where the encoder computes (default: where its first parameter lies).
        autocast: makes the context of each forward pass, for AMP.

    Raises:
        ValueError: see `patchgd_pass`; a `chunk_size` below 1.

    Example:
        >>> encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
        >>> fill_latent(encoder=encoder, images=torch.rand(5, 1, 4, 7), patch_size=(2, 2)).z.shape
        torch.Size([5, 3, 2, 4])
    """
    encoding: dict[str, Any] = {"normalise": normalise, "skip_background": skip_background, "autocast": autocast}
    reading: dict[str, Any] = {"stride": stride, "padding": padding, "allow_smaller": allow_smaller}
    model = PatchModel(encoder, nn.Identity(), device=device, **encoding)
    batch = ImageBatch(images, patch_size=patch_size, **reading, prefetch=prefetch)
    return _fill(model, batch, chunk_size=parse_chunk_size(chunk_size) or _PATCHES_AT_A_TIME)


class PatchGDEvaluator(SupervisedEvaluator):
    """MONAI's evaluator for images larger than the device; every MONAI handler and metric works on it.

    Output of an iteration: ``label``, ``pred`` ``(B, K)`` and ``latent`` ``(B, D, *grid)``, no image. Fires
    :class:`PatchGDEvents`' ``FILL_COMPLETED``; ``engine.state.latent`` is the :class:`LatentGrid`.

    Args:
        network: a module with the attributes ``encoder`` and ``head``; or give both as `encoder` and `head`.
        patch_size: voxels per axis, or a shared :class:`PatchSize`, which is read in each iteration.
        chunk_size: patches that are encoded at a time, of all images of a batch together (default: 64).
        normalise, skip_background: see `patchgd_pass`.
        stride, padding, allow_smaller, prefetch: see :class:`ImageBatch`.
        **options: further options of MONAI's ``SupervisedEvaluator``: ``device``, ``val_data_loader``, ...

    Raises:
        ValueError: no network; a `chunk_size` below 1; in an iteration, images that the patch or head doesn't fit.
    """

    def __init__(
        self,
        *,
        patch_size: Sequence[int],
        network: nn.Module | None = None,
        encoder: nn.Module | None = None,
        head: nn.Module | None = None,
        stride: Sequence[int] | None = None,
        padding: float = 0,
        chunk_size: int | None = None,
        normalise: Callable[[Tensor], Tensor] | None = None,
        skip_background: bool = False,
        allow_smaller: bool = False,
        prefetch: bool = True,
        **options: Any,
    ) -> None:
        self.patch_size, self.normalise, self.skip_background = patch_size, normalise, skip_background
        self.chunk_size = parse_chunk_size(chunk_size) or _PATCHES_AT_A_TIME
        self._reading: dict[str, Any] = {"stride": stride, "padding": padding, "allow_smaller": allow_smaller}
        self._reading["prefetch"] = prefetch
        network = join_network(network, encoder, head)
        super().__init__(network=network, **parse_options(options, name="PatchGDEvaluator"))

    def _register_decollate(self) -> None:
        register_decollate(self)

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        images, target = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)[:2]
        batch = ImageBatch(images, patch_size=self.patch_size, **self._reading)
        model = PatchModel(
            *(self.network.encoder, self.network.head),
            device=self.state.device,
            normalise=self.normalise,
            skip_background=self.skip_background,
            autocast=autocast_of(self),
        )
        model.check(batch)
        self.state.output = {Keys.LABEL: target}
        with self.mode(self.network):
            latent = self.state.latent = _fill(model, batch, chunk_size=self.chunk_size)
            self.fire_event(PatchGDEvents.FILL_COMPLETED)
            with model.autocast():
                pred = model.classify(latent)
        self.state.output.update({Keys.PRED: pred.detach(), "latent": latent.z})
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output


def _fill(model: PatchModel, images: ImageBatch, *, chunk_size: int) -> LatentGrid:
    chunks = images.split(tuple(images.cells), chunk_size)
    with torch.no_grad(), images.read_all(chunks) as patches:
        return model.fill(images, chunks, patches)
