"""The loop of one PatchGD pass: fill Z, then its inner steps, one by one or with one pass of the head for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from ignite.engine.events import EventEnum
from monai.engines import IterationEvents
from torch import Tensor

from monai_patchgrow.engines.patchgd.chunks import Chunks
from monai_patchgrow.engines.patchgd.events import PatchGDEvents, PatchGDState
from monai_patchgrow.engines.patchgd.exactness import buffers_kept, norms_counting, random_numbers_drawn, why_stepwise
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.model import PatchModel
from monai_patchgrow.schedules.growth import parse_int
from monai_patchgrow.state.latent_grid import LatentGrid

__all__ = ["InnerLoop"]


@dataclass
class InnerLoop:
    """One pass over a batch; see :func:`patchgd_pass` for its parts.

    Z lies in memory once: inner steps write into it. Of the patches no more than one chunk is on the device.
    """

    model: PatchModel
    loss_function: Callable[[Tensor, Tensor], Tensor]
    images: ImageBatch
    target: Tensor
    chunks: Chunks
    step: Callable[[], None]
    on_event: Callable[[EventEnum, PatchGDState], None]
    state: PatchGDState = field(default_factory=PatchGDState)
    accumulation: int = field(init=False)
    exact: bool | None = field(init=False)
    true_gradient: bool = field(init=False)

    def run(self, accumulation: int, *, exact: bool | None, true_gradient: bool) -> tuple[list[Tensor], LatentGrid]:
        """Do it, and return the losses, one per inner step or one in all, and the final Z."""
        self.accumulation = parse_int(accumulation, name="accumulation")
        self.exact, self.true_gradient = exact, true_gradient
        self.model.check(self.images)
        self._settle(why_stepwise(self.model.encoder, self.model.head, self.chunks, accumulation=self.accumulation))
        with self.images.read_all([*self.chunks.fill, *self.chunks.inner]) as patches:
            latent = self._fill(patches)
            losses = self._take_one_head_pass(latent, patches) if self.state.is_exact else None
            losses = self._take_steps(latent, patches) if losses is None else losses
        return losses, latent

    def _settle(self, why_not: str | None) -> None:
        """Choose the variant, or refuse to where the caller insists on one that isn't the same."""
        why = "exact=False" if self.exact is False else why_not
        self.state.why_stepwise, self.state.is_exact = why, why is None
        if why and (self.exact or self.true_gradient):
            option = "exact" if self.exact else "true_gradient"
            raise ValueError(f"{option}=True needs one head pass to be the same as the inner steps, but {why}")

    def _fill(self, patches: Iterator[Tensor]) -> LatentGrid:
        """Encode every chunk of the fill as an inner step would, but without gradient, and leave no trace of it."""
        encoder, device = self.model.encoder, self.model.device
        with buffers_kept(encoder) as put_back, random_numbers_drawn(device) as drawn, torch.no_grad():
            try:
                latent = self.model.fill(self.images, self.chunks.fill, patches)
            finally:  # also where a tile can't be read
                put_back()
        if self.state.is_exact and drawn():
            self._settle("the encoder, or normalise, draws random numbers")
        self.state.latent = latent
        self.on_event(PatchGDEvents.FILL_COMPLETED, self.state)
        return latent

    def _take_steps(self, latent: LatentGrid, patches: Iterator[Tensor]) -> list[Tensor]:
        """The algorithm as it stands: each chunk changes Z, and the head sees all of it."""
        losses, last = [], len(self.chunks.inner)
        for number, chunk in enumerate(self.chunks.inner, start=1):
            self._start(number)
            latent.write(self.model.places(self.images, chunk), self.model.encode(next(patches)))
            loss = self._loss(latent)
            self.model.scale(loss / self.accumulation).backward()
            latent.detach()
            losses.append(loss.detach())
            if number % self.accumulation == 0 or number == last:
                self.step()
            self.on_event(PatchGDEvents.INNER_STEP_COMPLETED, self.state)
        return losses

    def _take_one_head_pass(self, latent: LatentGrid, patches: Iterator[Tensor]) -> list[Tensor] | None:
        """All inner steps by one pass of the head, since Z would be the same in each; None where it turns out not."""
        steps = len(self.chunks.inner)
        values = latent.require_gradient()
        head, device = self.model.head, self.model.device
        with buffers_kept(head) as put_back, random_numbers_drawn(device) as drawn, norms_counting(head, steps):
            loss = self._loss(latent)
        if drawn():
            put_back()
            latent.detach()
            self._settle("the head draws random numbers")
            return None
        self.model.scale(loss if self.true_gradient else loss * (steps / self.accumulation)).backward()
        latent.detach()
        self._pull_back(torch.zeros_like(values) if values.grad is None else values.grad, patches)
        return [loss.detach()]

    def _pull_back(self, gradient: Tensor, patches: Iterator[Tensor]) -> None:
        """Encode each inner chunk with gradient, and pull its slice of dL/dZ ``(B, D, cells)`` back through it."""
        steps = len(self.chunks.inner)
        share = 1.0 if self.true_gradient else 1.0 / steps
        for number, chunk in enumerate(self.chunks.inner, start=1):
            self._start(number)
            images, cells = self.model.places(self.images, chunk)
            latents = self.model.encode(next(patches))
            if latents.requires_grad:
                latents.backward((gradient[images, :, cells] * share).to(latents.dtype))
            if self.true_gradient:  # a cell that comes again must not count twice
                gradient[images, :, cells] = 0
            if number == steps:
                self.step()
            self.on_event(PatchGDEvents.INNER_STEP_COMPLETED, self.state)

    def _loss(self, latent: LatentGrid) -> Tensor:
        with self.model.autocast():
            pred = self.model.classify(latent)
            self.state.pred = pred.detach()
            self.on_event(IterationEvents.FORWARD_COMPLETED, self.state)
            loss = self.loss_function(pred, self.target).mean()
        self.state.loss = loss.detach()
        self.on_event(IterationEvents.LOSS_COMPLETED, self.state)
        return loss

    def _start(self, number: int) -> None:
        self.state.inner_step = number
        self.on_event(PatchGDEvents.INNER_STEP_STARTED, self.state)
