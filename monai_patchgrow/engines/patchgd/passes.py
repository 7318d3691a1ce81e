"""One pass of Patch Gradient Descent over a batch of images, as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex

from ignite.engine.events import EventEnum
from torch import Tensor

from monai_patchgrow.engines.patchgd.events import PatchGDState
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.inner_loop import InnerLoop, Updates
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

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["patchgd_pass"]


class PassOptions(ReadingOptions, EncodingOptions, total=False):
    """What a pass takes beside its parts."""

    true_gradient: bool
    scale: Callable[[Tensor], Tensor]
    on_event: Callable[[EventEnum, PatchGDState], None]


def patchgd_pass(
    *,
    encoder: Callable[[Tensor], Tensor],
    head: Callable[..., Tensor],
    loss_function: Callable[[Tensor, Tensor], Tensor],
    images: Any,
    target: Tensor,
    patch_size: Sequence[int],
    fill_chunks: Iterable[Iterable[SupportsIndex]],
    inner_chunks: Iterable[Iterable[SupportsIndex]],
    accumulation: int,
    step: Callable[[], None],
    exact: bool | None = None,
    **options: Unpack[PassOptions],
) -> tuple[list[Tensor], Tensor]:
    """Fill the latent grid Z of a batch, then take its inner steps.

    Fill: without gradient, each chunk of `fill_chunks` is encoded and written into Z. The encoder stays in its mode, so
    that a cell is encoded as in an inner step, but its buffers (running statistics) are put back. Inner step: Z is
    detached, a chunk of all images encoded with gradient and written into Z, and the loss of ``head(Z)``, divided by
    `accumulation`, goes backward. `step` is called after every `accumulation` inner steps, and after the last one.

    Where Z can't change in between, all inner steps have the same loss, and one pass of the head stands for them (the
    exact variant): its gradient dL/dZ is pulled back through each inner chunk. That is so when `accumulation` covers
    all inner steps, no dropout or other random number of torch is drawn, each inner cell is filled and, with batch norm
    in the encoder, each inner chunk is one of the fill's.

    Source: Gupta et al., Patch Gradient Descent (arXiv 2301.13817), algorithms 1 and 2.

    Args:
        encoder: ``(N, C, *patch)`` to ``(N, D)``.
        head: ``(B, D, *grid)`` to ``(B, K)``; with ``takes_mask = True`` it is called ``head(z, mask)``, which images
            of different sizes need: `mask` is ``(B, *grid)`` bool, or None where each image has all cells.
        loss_function: of ``(B, K)`` and the target, as torch's.
        images: a tensor ``(B, C, *spatial)``, a tile source (a batch of one), or a list of tile sources or tensors.
        target: what the loss takes, on the device.
        patch_size: voxels per axis.
        fill_chunks: row-major cells of the largest grid in the batch; an image gives those that it has.
        inner_chunks: the same, one per inner step.
        accumulation: inner steps per call of `step`; may be more than there are.
        step: called without arguments, after backward; it steps and clears.
        exact: None: the exact variant where it is the same; True: insist on it; False: the steps one by one.
        **options: `true_gradient` (exact variant only: the gradient of the loss itself, as far as it goes through the
            inner chunks' cells; else the encoder's is divided by `accumulation`, as that of the inner steps is);
            `scale` (applied to what goes backward, for AMP: ``GradScaler.scale``); `on_event` (called with an event and
            the state of the pass: those of :class:`PatchGDEvents`, and MONAI's ``FORWARD_COMPLETED`` and
            ``LOSS_COMPLETED`` of each pass of the head); how images become patches (`stride`, `padding`,
            `allow_smaller`, `prefetch`: :class:`ImageReading`) and patches latents (`chunk_size`, `normalise`,
            `skip_background`, `device`, `autocast`: :class:`PatchEncoding`).

    `chunk_size` bounds the memory whatever the image's size: at most so many patches of all images together, at least
    one of each. A chunk that holds more is encoded part by part, for the same update; batch norm in the encoder then
    sees the part. Where the head runs in each inner step, that takes each part's forward pass once more.
    `skip_background` is exact, so an encoder with active dropout, or with batch norm in training mode, is refused.

    Returns:
        The losses, not scaled: one per inner step, or one in all when exact; and the final Z ``(B, D, *grid)``.

    Raises:
        ValueError: chunks that repeat a cell or name one that isn't there, an `accumulation` below 1, ``exact=True`` or
            `true_gradient` where it isn't the same (the reason is named), images that patch or head don't fit, an
            encoder that `skip_background` or `chunk_size` isn't exact for.
        TypeError: an option that there isn't.

    Example:
        >>> import torch
        >>> encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3))
        >>> head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 6, 2))
        >>> optimizer = torch.optim.SGD([*encoder.parameters(), *head.parameters()], lr=0.1)
        >>> losses, latent = patchgd_pass(
        ...     encoder=encoder,
        ...     head=head,
        ...     loss_function=torch.nn.CrossEntropyLoss(),
        ...     images=torch.rand(5, 1, 4, 6),
        ...     target=torch.zeros(5, dtype=torch.int64),
        ...     patch_size=(2, 2),
        ...     fill_chunks=[[0, 1, 2], [3, 4, 5]],
        ...     inner_chunks=[[5, 0], [3, 1], [2, 4]],
        ...     accumulation=3,
        ...     exact=False,
        ...     step=lambda: (optimizer.step(), optimizer.zero_grad()),
        ... )
        >>> len(losses), latent.shape
        (3, torch.Size([5, 3, 2, 3]))
    """
    given: dict[str, Any] = {**options, "accumulation": accumulation, "step": step, "exact": exact}
    reading, encoding = take_options(ImageReading, given), take_options(PatchEncoding, given)
    updates = take_options(Updates, given)
    on_event = given.pop("on_event", _ignore)
    refuse_unknown(given, {*keywords_of(patchgd_pass), *PassOptions.__optional_keys__}, name="patchgd_pass")
    batch = ImageBatch(images, patch_size=patch_size, reading=reading)
    losses, latent = InnerLoop(
        model=PatchModel(encoder, head, encoding),
        images=batch,
        target=target,
        loss_function=loss_function,
        chunks=batch.parse_chunks(fill_chunks, inner_chunks),
        updates=updates,
        on_event=on_event,
    ).run()
    return losses, latent.z


def _ignore(event: EventEnum, state: PatchGDState) -> None:
    """Do nothing on an event."""
