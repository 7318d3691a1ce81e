"""The loop of one PatchGD pass: fill Z, then its inner steps, one by one or with one pass of the head for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import torch
from ignite.engine.events import EventEnum
from monai.engines import IterationEvents
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from monai_patchgrow.engines.patchgd.chunks import Chunk, Chunks
from monai_patchgrow.engines.patchgd.events import PatchGDEvents, PatchGDState
from monai_patchgrow.engines.patchgd.exactness import active_dropout, is_frozen, why_stepwise
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.latent_drift import LatentDrift
from monai_patchgrow.engines.patchgd.model import PatchModel
from monai_patchgrow.engines.patchgd.side_effects import KeptBuffers, norms_counting, random_numbers_drawn
from monai_patchgrow.schedules.arguments import parse_int
from monai_patchgrow.state.latent_grid import LatentGrid

__all__ = ["InnerLoop"]


@dataclass
class InnerLoop:
    """One pass over a batch; see :func:`patchgd_pass` for its parts.

    Z lies in memory once: inner steps write into it. Of the patches no more than one chunk is on the device, and no
    more than `chunk_size` of them.
    """

    model: PatchModel
    loss_function: Callable[[Tensor, Tensor], Tensor]
    images: ImageBatch
    target: Tensor
    chunks: Chunks
    step: Callable[[], None]
    on_event: Callable[[EventEnum, PatchGDState], None]
    chunk_size: int | None = None
    state: PatchGDState = field(default_factory=PatchGDState)
    parts: list[tuple[Chunk, ...]] = field(init=False)
    accumulation: int = field(init=False)
    exact: bool | None = field(init=False)
    true_gradient: bool = field(init=False)

    def run(self, accumulation: int, *, exact: bool | None, true_gradient: bool) -> tuple[list[Tensor], LatentGrid]:
        """Do it, and return the losses, one per inner step or one in all, and the final Z."""
        self.accumulation = parse_int(accumulation, name="accumulation")
        self.exact, self.true_gradient = exact, true_gradient
        self.model.check(self.images)
        encoder, head = self.model.encoder, self.model.head
        self.state.num_steps = steps = len(self.chunks.inner)
        self.parts = self._split(self.chunks.inner)
        at_a_time = Chunks(tuple(chain(*self._split(self.chunks.fill))), tuple(chain(*self.parts)))
        self._settle(why_stepwise(encoder, head, at_a_time, steps=steps, accumulation=self.accumulation))
        self._check_parts(active_dropout(encoder))
        with self.images.read_all([*at_a_time.fill, *at_a_time.inner]) as patches:
            latent = self._fill(at_a_time.fill, patches)
            losses = self._take_one_head_pass(latent, patches) if self.state.is_exact else None
            losses = self._take_steps(latent, patches) if losses is None else losses
        return losses, latent

    def _split(self, chunks: Sequence[Chunk]) -> list[tuple[Chunk, ...]]:
        """The parts of each chunk that are encoded at a time."""
        return [self.images.split(chunk, self.chunk_size) for chunk in chunks]

    def _settle(self, why_not: str | None) -> None:
        """Choose the variant, or refuse to where the caller insists on one that isn't the same."""
        why = "exact=False" if self.exact is False else why_not
        self.state.why_stepwise, self.state.is_exact = why, why is None
        if why and (self.exact or self.true_gradient):
            option = "exact" if self.exact else "true_gradient"
            raise ValueError(f"{option}=True needs one head pass to be the same as the inner steps, but {why}")

    def _check_parts(self, chance: str | None) -> None:
        """Refuse to encode a chunk part by part, twice each, where chance would make the second time another."""
        if chance and not self.state.is_exact and any(len(parts) > 1 for parts in self.parts):
            raise ValueError(
                f"a chunk_size below a chunk's patches needs an encoder without chance, but it has active {chance}: "
                "take a smaller sampling instead, or dropout 0"
            )

    def _fill(self, parts: tuple[Chunk, ...], patches: Iterator[Tensor]) -> LatentGrid:
        """Encode every chunk of the fill as an inner step would, but without gradient, and leave no trace of it."""
        kept = KeptBuffers(self.model.encoder)
        with random_numbers_drawn(self.model.device) as drawn, torch.no_grad():
            try:
                latent = self.model.fill(self.images, parts, patches)
            finally:  # also where a tile can't be read
                kept.put_back()
        if self.state.is_exact and drawn():
            self._settle("the encoder, or normalise, draws random numbers")
        self._check_parts("random numbers" if drawn() else None)
        self.state.latent = latent
        self.on_event(PatchGDEvents.FILL_COMPLETED, self.state)
        return latent

    def _take_steps(self, latent: LatentGrid, patches: Iterator[Tensor]) -> list[Tensor]:
        """The algorithm as it stands: each chunk changes Z, and the head sees all of it."""
        losses: list[Tensor] = []
        for number, parts in enumerate(self.parts, start=1):
            self._start(number)
            latents = [self._encode_for_step(next(patches), is_part=len(parts) > 1) for _ in parts]
            images, cells = zip(*(self.model.places(self.images, part) for part in parts), strict=True)
            latent.write((torch.cat(images), torch.cat(cells)), torch.cat(latents))
            pred, loss = self._classify(latent)
            self._announce(pred, loss)
            self.model.scale(loss / self.accumulation).backward()
            latent.detach()
            losses.append(loss.detach())
            if number % self.accumulation == 0 or number == self.state.num_steps:
                self.step()
            self.on_event(PatchGDEvents.INNER_STEP_COMPLETED, self.state)
        return losses

    def _encode_for_step(self, patches: Tensor, *, is_part: bool) -> Tensor:
        """Latents with gradient; of a part of a chunk, what their gradient needs is made anew on the way back."""
        if not is_part:
            return self.model.encode(patches)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[object]]:
            return nullcontext(), norms_counting(self.model.encoder, 0)

        options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False, "context_fn": contexts}
        return checkpoint(self.model.encode, patches, **options)

    def _take_one_head_pass(self, latent: LatentGrid, patches: Iterator[Tensor]) -> list[Tensor] | None:
        """All inner steps by one pass of the head, since Z would be the same in each; None where it turns out not."""
        steps, head = self.state.num_steps, self.model.head
        values, kept = latent.require_gradient(), KeptBuffers(head)
        with random_numbers_drawn(self.model.device) as drawn, norms_counting(head, steps) as passed_once:
            pred, loss = self._classify(latent)
        why = "the head draws random numbers" if drawn() else None
        why = why or (None if passed_once() else "the head passes a norm more than once")
        if why := why or ("the head moves buffers" if kept.moved_beside_norms() else None):
            kept.put_back()
            latent.detach()
            self._settle(why)
            return None
        self._announce(pred, loss)
        self.model.scale(loss if self.true_gradient else loss * (steps / self.accumulation)).backward()
        latent.detach()
        self._pull_back(latent, torch.zeros_like(values) if values.grad is None else values.grad, patches)
        return [loss.detach()]

    def _pull_back(self, latent: LatentGrid, gradient: Tensor, patches: Iterator[Tensor]) -> None:
        """Encode each inner chunk with gradient, and pull its slice of dL/dZ ``(B, D, cells)`` back through it.

        Of a frozen encoder the chunks aren't even read.
        """
        steps, drift = self.state.num_steps, LatentDrift()
        share, frozen = 1.0 if self.true_gradient else 1.0 / steps, is_frozen(self.model.encoder)
        for number, parts in enumerate(self.parts, start=1):
            self._start(number)
            for part in () if frozen else parts:
                images, cells = self.model.places(self.images, part)
                latents = self.model.encode(next(patches))
                drift.add(latents.detach(), latent.values[images, :, cells])
                if latents.requires_grad:
                    latents.backward((gradient[images, :, cells] * share).to(latents.dtype))
                if self.true_gradient:  # a cell that comes again must not count twice
                    gradient[images, :, cells] = 0
            if number == steps:
                drift.check(insist=bool(self.exact))
                self.step()
            self.on_event(PatchGDEvents.INNER_STEP_COMPLETED, self.state)

    def _classify(self, latent: LatentGrid) -> tuple[Tensor, Tensor]:
        """The head's output, and its loss."""
        with self.model.autocast():
            pred = self.model.classify(latent)
            return pred, self.loss_function(pred, self.target).mean()

    def _announce(self, pred: Tensor, loss: Tensor) -> None:
        self.state.pred = pred.detach()
        self.on_event(IterationEvents.FORWARD_COMPLETED, self.state)
        self.state.loss = loss.detach()
        self.on_event(IterationEvents.LOSS_COMPLETED, self.state)

    def _start(self, number: int) -> None:
        self.state.inner_step = number
        self.on_event(PatchGDEvents.INNER_STEP_STARTED, self.state)
