"""PatchGD's evaluator: Z is filled chunk by chunk, then the head classifies it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from monai.engines import IterationEvents, SupervisedEvaluator
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from monai_patchgrow.engines.patchgd.engine import PatchGDEngine
from monai_patchgrow.engines.patchgd.events import PatchGDEvents
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.model import PatchModel
from monai_patchgrow.engines.patchgd.options import (
    EncodingOptions,
    ImageReading,
    PatchEncoding,
    ReadingOptions,
    keywords_of,
    refuse_unknown,
    take_options,
)
from monai_patchgrow.handlers.finite_output import check_outputs
from monai_patchgrow.networks.patch_classifier import PATCHES_AT_A_TIME
from monai_patchgrow.state.latent_grid import LatentGrid

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["PatchGDEvaluator", "fill_latent"]


class FillOptions(ReadingOptions, EncodingOptions):
    """What a fill takes beside its parts."""


def fill_latent(
    *,
    encoder: Callable[[Tensor], Tensor],
    images: Any,
    patch_size: Sequence[int],
    **options: Unpack[FillOptions],
) -> LatentGrid:
    """Encode every cell of every image without gradient, row by row, in the encoder's mode.

    Args:
        encoder: ``(N, C, *patch)`` to ``(N, D)``.
        images: as of `patchgd_pass`.
        patch_size: voxels per axis.
        **options: how images become patches (`stride`, `padding`, `allow_smaller`, `prefetch`: :class:`ImageReading`)
            and patches latents (`chunk_size`, here 64 by default, `normalise`, `skip_background`, `ignore_background`,
            `device`, `autocast`: :class:`PatchEncoding`).

    Raises:
        ValueError: see `patchgd_pass`; a `chunk_size` below 1.
        TypeError: an option that there isn't.

    Example:
        >>> encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
        >>> fill_latent(encoder=encoder, images=torch.rand(5, 1, 4, 7), patch_size=(2, 2)).z.shape
        torch.Size([5, 3, 2, 4])
    """
    given: dict[str, Any] = {**options}
    reading, encoding = take_options(ImageReading, given), take_options(PatchEncoding, given)
    refuse_unknown(given, {*keywords_of(fill_latent), *FillOptions.__optional_keys__}, name="fill_latent")
    return _fill(
        PatchModel(encoder, nn.Identity(), encoding), ImageBatch(images, patch_size=patch_size, reading=reading)
    )


class PatchGDEvaluator(PatchGDEngine, SupervisedEvaluator):
    """MONAI's evaluator for images larger than the device; every MONAI handler and metric works on it.

    Output of an iteration: ``label``, ``pred`` ``(B, K)`` and ``latent`` ``(B, D, *grid)``, no image. Fires
    :class:`PatchGDEvents`' ``FILL_COMPLETED``; ``engine.state.latent`` is the :class:`LatentGrid`.

    Args:
        patch_size, network, encoder, head, stride, padding, allow_smaller, prefetch, chunk_size, normalise,
            skip_background, ignore_background: see :class:`PatchGDEngine`; `chunk_size` is 64 by default, and halved
            where a GPU runs out of memory.
        **options: those of MONAI's ``SupervisedEvaluator``: ``device``, ``val_data_loader``, ...

    Raises:
        ValueError: see :class:`PatchGDEngine`; in an iteration, images that the patch or head doesn't fit.
        OutputError: in an iteration, outputs that are NaN or infinite.
        MemoryShort: in an iteration, a GPU that is full however few patches are encoded at a time.
        TypeError: an option that there isn't; the nearest is named.
    """

    patches_at_a_time = PATCHES_AT_A_TIME

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        images, target = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)[:2]
        batch, model = self._cut(images), self._model(chunk_size=None)
        model.check(batch)
        self.state.output = {Keys.LABEL: target}

        def fill(chunk_size: int | None) -> LatentGrid:
            return _fill(self._model(chunk_size=chunk_size), batch)

        with self.mode(self.network):
            latent = self.state.latent = self.chunk_fit.fit(self, fill, images=batch, chunks=[tuple(batch.cells)])
            self.fire_event(PatchGDEvents.FILL_COMPLETED)
            with model.encoding.autocast():
                pred = model.classify(latent)
        check_outputs(pred, network=self.network, batch=batchdata)
        self.state.output.update({Keys.PRED: pred.detach(), "latent": latent.z})
        self.fire_event(IterationEvents.FORWARD_COMPLETED)
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output


def _fill(model: PatchModel, images: ImageBatch) -> LatentGrid:
    chunks = images.split(tuple(images.cells), model.encoding.chunk_size or PATCHES_AT_A_TIME)
    with torch.no_grad(), images.read_all(chunks, device=model.device) as patches:
        return model.fill(images, chunks, patches)
