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
from monai_patchgrow.engines.patchgd.side_effects import KeptBuffers, random_numbers_drawn, statistics_moved_as_by
from monai_patchgrow.schedules.arguments import parse_int
from monai_patchgrow.state.latent_grid import LatentGrid

__all__ = ["InnerLoop", "Updates"]


@dataclass(frozen=True, kw_only=True)
class Updates:
    """How the gradients of inner steps become steps of the optimiser.

    accumulation: inner steps per call of `step`; may be more than there are.
    step: called without arguments, after backward; it steps and clears.
    exact: None: one head pass for all inner steps where that is the same; True: insist on it; False: one by one.
    true_gradient: exact variant only: the gradient of the loss itself, not divided by `accumulation`.
    scale: applied to what goes backward, for AMP: ``GradScaler.scale``.

    Raises:
        ValueError: an `accumulation` that is no integer of at least 1.
    """

    accumulation: int
    step: Callable[[], None]
    exact: bool | None = None
    true_gradient: bool = False
    scale: Callable[[Tensor], Tensor] = lambda loss: loss

    def __post_init__(self) -> None:
        """Parse the number."""
        object.__setattr__(self, "accumulation", parse_int(self.accumulation, name="accumulation"))


@dataclass(kw_only=True)
class InnerLoop:
    """One pass over a batch; see :func:`patchgd_pass` for its parts.

    Z lies in memory once: inner steps write into it. Of the patches no more than one chunk is on the device, and no
    more than the encoding's `chunk_size` of them.
    """

    model: PatchModel
    images: ImageBatch
    target: Tensor
    loss_function: Callable[[Tensor, Tensor], Tensor]
    chunks: Chunks
    updates: Updates
    on_event: Callable[[EventEnum, PatchGDState], None]
    state: PatchGDState = field(init=False, default_factory=PatchGDState)
    parts: list[tuple[Chunk, ...]] = field(init=False)  # of each inner chunk: what is encoded at a time

    def run(self) -> tuple[list[Tensor], LatentGrid]:
        """Do it, and return the losses, one per inner step or one in all, and the final Z."""
        self.model.check(self.images)
        encoder, head = self.model.encoder, self.model.head
        self.state.num_steps = steps = len(self.chunks.inner)
        self.parts = self._split(self.chunks.inner)
        # Batch norm mixes what is encoded at a time, so it is the parts that must be alike for the exact variant.
        at_a_time = Chunks(tuple(chain(*self._split(self.chunks.fill))), tuple(chain(*self.parts)))
        why_not = why_stepwise(encoder, head, at_a_time, steps=steps, accumulation=self.updates.accumulation)
        self._choose_variant(why_not)
        self._check_parts(active_dropout(encoder))
        # The same readers for both phases: while the last chunk of the fill is encoded the first inner one is read.
        with self.images.read_all([*at_a_time.fill, *at_a_time.inner], device=self.model.device) as patches:
            latent = self._fill(at_a_time.fill, patches)
            losses = self._take_one_head_pass(latent, patches) if self.state.is_exact else None
            losses = self._take_steps(latent, patches) if losses is None else losses
        return losses, latent

    def _split(self, chunks: Sequence[Chunk]) -> list[tuple[Chunk, ...]]:
        """The parts of each chunk that are encoded at a time."""
        return [self.images.split(chunk, self.model.encoding.chunk_size) for chunk in chunks]

    def _choose_variant(self, why_not: str | None) -> None:
        """Choose the exact variant, or the steps one by one where something speaks against it; refuse what isn't there.

        It is asked again whenever a pass shows what no list of modules did.
        """
        why = "exact=False" if self.updates.exact is False else why_not
        self.state.why_stepwise, self.state.is_exact = why, why is None
        if why and (self.updates.exact or self.updates.true_gradient):
            option = "exact" if self.updates.exact else "true_gradient"
            raise ValueError(f"{option}=True needs one head pass to be the same as the inner steps, but {why}")

    def _check_parts(self, random: str | None) -> None:
        """Refuse to encode a chunk part by part, twice each, where the second time would draw other random numbers."""
        if random and not self.state.is_exact and any(len(parts) > 1 for parts in self.parts):
            raise ValueError(
                "a chunk_size below a chunk's patches needs an encoder that draws no random numbers, but it has active "
                f"{random}: take a smaller sampling instead, or dropout 0"
            )

    def _fill(self, parts: tuple[Chunk, ...], patches: Iterator[Tensor]) -> LatentGrid:
        """Encode every chunk of the fill as an inner step would, but without gradient, and leave no trace of it."""
        # The encoder stays in training mode, or the fill's latents would not be those of the inner steps. What that
        # moves, running statistics above all, would otherwise count every patch twice.
        kept = KeptBuffers(self.model.encoder)
        with random_numbers_drawn(self.model.device) as drawn, torch.no_grad():
            try:
                latent = self.model.fill(self.images, parts, patches)
            finally:  # also where a tile can't be read
                kept.put_back()
        if self.state.is_exact and drawn():
            self._choose_variant("the encoder, or normalise, draws random numbers")
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
            # One write for all parts: each would keep a copy of Z's gradient on the way back.
            latent.write(self.images.places(*parts, device=self.model.device), torch.cat(latents))
            pred, loss = self._classify(latent)
            self._announce(pred, loss)
            self.updates.scale(loss / self.updates.accumulation).backward()
            latent.detach()  # the next step's gradient goes through its own chunk alone
            losses.append(loss.detach())
            if number % self.updates.accumulation == 0 or number == self.state.num_steps:
                self.updates.step()
            self.on_event(PatchGDEvents.INNER_STEP_COMPLETED, self.state)
        return losses

    def _encode_for_step(self, patches: Tensor, *, is_part: bool) -> Tensor:
        """Latents with gradient; of a part of a chunk, what their gradient needs is made anew on the way back."""
        if not is_part:
            return self.model.encode(patches)

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[object]]:
            # Forward as usual; on the way back each part is encoded again, and running statistics must not move twice.
            return nullcontext(), statistics_moved_as_by(self.model.encoder, 0)

        options: dict[str, Any] = {"use_reentrant": False, "preserve_rng_state": False, "context_fn": contexts}
        return checkpoint(self.model.encode, patches, **options)

    def _take_one_head_pass(self, latent: LatentGrid, patches: Iterator[Tensor]) -> list[Tensor] | None:
        """All inner steps by one pass of the head, since Z would be the same in each; None where it turns out not."""
        steps, head = self.state.num_steps, self.model.head
        values, kept = latent.require_gradient(), KeptBuffers(head)
        with random_numbers_drawn(self.model.device) as drawn, statistics_moved_as_by(head, steps) as passed_once:
            pred, loss = self._classify(latent)
        why = "the head draws random numbers" if drawn() else None
        why = why or (None if passed_once() else "the head passes a norm more than once")
        if why := why or ("the head moves buffers" if kept.moved_beside_norms() else None):
            kept.put_back()
            latent.detach()
            self._choose_variant(why)
            return None
        self._announce(pred, loss)
        # Each of the steps would have given the head the same gradient, divided by the accumulation.
        factor = steps / self.updates.accumulation
        self.updates.scale(loss if self.updates.true_gradient else loss * factor).backward()
        latent.detach()
        self._pull_back(latent, torch.zeros_like(values) if values.grad is None else values.grad, patches)
        return [loss.detach()]

    def _pull_back(self, latent: LatentGrid, gradient: Tensor, patches: Iterator[Tensor]) -> None:
        """Encode each inner chunk with gradient, and pull its slice of dL/dZ ``(B, D, cells)`` back through it.

        Of a frozen encoder the chunks aren't even read.
        """
        steps, drift = self.state.num_steps, LatentDrift()
        # dL/dZ stands for all steps, but each step's gradient goes through its own chunk only: a step's share of it.
        share = 1.0 if self.updates.true_gradient else 1.0 / steps
        is_left_out = is_frozen(self.model.encoder)
        for number, parts in enumerate(self.parts, start=1):
            self._start(number)
            for part in () if is_left_out else parts:
                images, cells = self.images.places(part, device=self.model.device)
                latents = self.model.encode(next(patches))
                drift.add(latents.detach(), latent.values[images, :, cells])
                if latents.requires_grad:
                    latents.backward((gradient[images, :, cells] * share).to(latents.dtype))
                if self.updates.true_gradient:  # a cell that comes again must not count twice
                    gradient[images, :, cells] = 0
            if number == steps:
                drift.check(insist=bool(self.updates.exact))
                self.updates.step()
            self.on_event(PatchGDEvents.INNER_STEP_COMPLETED, self.state)

    def _classify(self, latent: LatentGrid) -> tuple[Tensor, Tensor]:
        """The head's output, and its loss."""
        with self.model.encoding.autocast():
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
