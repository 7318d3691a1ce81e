"""One pass of Patch Gradient Descent over a batch of images, as a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, SupportsIndex

import torch
from ignite.engine.events import EventEnum
from torch import Tensor

from monai_patchgrow.engines.patchgd.chunks import parse_chunk_size
from monai_patchgrow.engines.patchgd.events import PatchGDState
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.inner_loop import InnerLoop
from monai_patchgrow.engines.patchgd.model import PatchModel

__all__ = ["patchgd_pass"]


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
    true_gradient: bool = False,
    chunk_size: int | None = None,
    normalise: Callable[[Tensor], Tensor] | None = None,
    skip_background: bool = False,
    device: torch.device | str | None = None,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    scale: Callable[[Tensor], Tensor] = lambda loss: loss,
    on_event: Callable[[EventEnum, PatchGDState], None] = lambda event, state: None,
    **reading: Any,
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
        images: a tensor ``(B, C, *spatial)``, a tile source (a batch of one), or a list of tile sources or tensors;
            or an :class:`ImageBatch`, which has its own patch size.
        target: what the loss takes, on the device.
        patch_size: voxels per axis.
        fill_chunks: row-major cells of the largest grid in the batch; an image gives those that it has.
        inner_chunks: the same, one per inner step.
        accumulation: inner steps per call of `step`; may be more than there are.
        step: called without arguments, after backward; it steps and clears.
        exact: None: the exact variant where it is the same; True: insist on it; False: the steps one by one.
        true_gradient: exact variant only: the gradient of the loss itself, as far as it goes through the inner chunks'
            cells. Else the encoder's is divided by `accumulation`, as that of the inner steps is.
        chunk_size: the most patches that are encoded at a time, of all images together (default: a chunk's); at least
            one of each image. It bounds the memory whatever the image's size. A chunk that holds more is encoded part
            by part, for the same update; batch norm in the encoder then sees the part. Where the head runs in each
            inner step, that takes each part's forward pass once more.
        normalise: called with a chunk's patches on the device, in the type that they were read in, before the encoder
            (default: unsigned integers to 0..1, others as they are).
        skip_background: encode one of a chunk's patches that hold one and the same constant, such as empty glass or
            padding, for all of them. It is exact, so an encoder with active dropout, or with batch norm in training
            mode, is refused.
        device: where encoder and head compute (default: where the encoder's first parameter lies).
        autocast: makes the context of the forward passes, for AMP.
        scale: applied to what goes backward, for AMP: ``GradScaler.scale``.
        on_event: called with an event and the state of the pass: those of :class:`PatchGDEvents`, and MONAI's
            ``FORWARD_COMPLETED`` and ``LOSS_COMPLETED`` of each pass of the head.
        **reading: how the images become cells, as of :class:`ImageBatch`: `stride`, `padding` (the value beyond the
            border, before `normalise`; default 0), `allow_smaller`, `prefetch`.

    Returns:
        The losses, not scaled: one per inner step, or one in all when exact; and the final Z ``(B, D, *grid)``.

    Raises:
        ValueError: chunks that repeat a cell or name one that isn't there, an `accumulation` below 1, ``exact=True`` or
            `true_gradient` where it isn't the same (the reason is named), images that patch or head don't fit, an
            encoder that `skip_background` or `chunk_size` isn't exact for.

    Example:
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
    batch = ImageBatch.of(images, patch_size, **reading)
    chunks = batch.parse_chunks(fill_chunks, inner_chunks)
    encoding: dict[str, Any] = {"normalise": normalise, "skip_background": skip_background}
    model = PatchModel(encoder, head, device=device, autocast=autocast, scale=scale, **encoding)
    loop = InnerLoop(model, loss_function, batch, target, chunks, step, on_event, parse_chunk_size(chunk_size))
    losses, latent = loop.run(accumulation, exact=exact, true_gradient=true_gradient)
    return losses, latent.z
