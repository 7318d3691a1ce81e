"""PatchGD's trainer: in each iteration, images pass through fill and inner steps, a few patches at a time."""

from __future__ import annotations

import logging
from typing import Any

import torch
from ignite.engine import Events
from ignite.engine.events import EventEnum
from monai.engines import IterationEvents, SupervisedTrainer, Trainer
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor

from monai_patchgrow.engines.patchgd.batches import match_target
from monai_patchgrow.engines.patchgd.chunks import Sampling
from monai_patchgrow.engines.patchgd.engine import PatchGDEngine
from monai_patchgrow.engines.patchgd.events import PatchGDEvents, PatchGDState
from monai_patchgrow.engines.patchgd.images import ImageBatch
from monai_patchgrow.engines.patchgd.inner_loop import InnerLoop, Updates
from monai_patchgrow.engines.patchgd.over_ranks import average_buffers, average_gradients, same_weights
from monai_patchgrow.handlers.reproducibility import seed_of
from monai_patchgrow.state.latent_grid import LatentGrid

__all__ = ["PatchGDTrainer"]

_logger = logging.getLogger(__name__)


class PatchGDTrainer(PatchGDEngine, SupervisedTrainer):
    """MONAI's trainer for images larger than the device; every MONAI handler and metric works on it.

    Each iteration draws chunks of cells from (seed, epoch, iteration) alone, fills the latent grid Z of the batch, and
    takes the inner steps (see `patchgd_pass`). Whether one pass of the head stands for them is logged.

    Output of an iteration: ``label``, ``pred`` ``(B, K)`` of the last head pass, ``loss``, the mean of the inner steps'
    losses, and ``latent`` ``(B, D, *grid)``; no image. Fires :class:`PatchGDEvents`; a handler finds the
    :class:`LatentGrid` as ``engine.state.latent``, ``inner_step`` (from 1) and ``inner_loss`` beside it. MONAI's
    ``FORWARD_COMPLETED`` and ``LOSS_COMPLETED`` come with each head pass, ``BACKWARD_COMPLETED`` before each step.

    In a distributed run give it the network as it is, on every rank: it starts from rank 0's weights, and before each
    step gradients are averaged over the ranks, weighted by their numbers of images, and so are batch norm's running
    statistics after each pass. All ranks draw with one seed. Where images differ in size, SyncBatchNorm would wait
    forever.

    Source: Gupta et al., Patch Gradient Descent (arXiv 2301.13817).

    Args:
        patch_size, network, encoder, head, stride, padding, allow_smaller, prefetch, chunk_size, normalise,
            skip_background, ignore_background: see :class:`PatchGDEngine`. A :class:`PatchGrowth` on the trainer grows
            a shared `patch_size`. `chunk_size` bounds the memory, which with `sampling` alone grows with the image; it
            counts patches of the first `patch_size`, of smaller ones as many more as have the same voxels. Where a GPU
            runs out of memory it is halved: see :class:`monai_patchgrow.engines.patchgd.chunk_fit.ChunkFit`.
        sampling, inner_steps, accumulation: see :class:`Sampling`.
        exact, true_gradient: see `patchgd_pass`.
        seed: seed of the chunks; that of a :class:`Reproducibility` on the trainer comes first.
        **options: those of MONAI's ``SupervisedTrainer``: ``device``, ``max_epochs``, ``train_data_loader``,
            ``optimizer``, ``loss_function``, ``amp``, ... Batches are a dictionary with "image" (a tensor
            ``(B, C, *spatial)``, which stays where it is, or a list of tile sources) and "label" ``(B,)``. A
            floating-point label counts as ``(B, 1)`` where the head has one output.

    Raises:
        ValueError: a `sampling` outside of its range, a number of steps below 1, no network, or an option that an inner
            loop has no use for; in an iteration, what `patchgd_pass` refuses.
        MemoryShort: in an iteration, a GPU that is full however few patches are encoded at a time, or for which a
            smaller `chunk_size` would change the update, as with batch norm in the encoder.
        TypeError: an option that there isn't; the nearest is named.
    """

    _said: tuple[Any, ...] = ()

    def __init__(
        self,
        *,
        sampling: float = 1 / 8,
        inner_steps: int | None = None,
        accumulation: int | None = None,
        exact: bool | None = None,
        true_gradient: bool = False,
        seed: int = 0,
        **options: Any,
    ) -> None:
        self.sampling = Sampling(sampling, inner_steps, accumulation)
        self.exact, self.true_gradient, self.seed = exact, true_gradient, seed
        super().__init__(**options)
        self.add_event_handler(Events.STARTED, self._start)

    def run(self) -> None:
        """Train; a second call resumes where the first one ended."""
        self.scaler = None
        if self.amp:
            amp_dtype = self.amp_kwargs.get("dtype") or torch.get_autocast_dtype(self.state.device.type)
            self.scaler = torch.amp.GradScaler(self.state.device.type, enabled=amp_dtype is torch.float16)
        super(Trainer, self).run()  # MONAI's Trainer.run makes a scaler for CUDA alone

    def _start(self) -> None:
        self._has_same_weights = False

    def _iteration(self, engine: Any, batchdata: Any) -> dict[str, Any]:
        images, target = self.prepare_batch(batchdata, self.state.device, self.non_blocking, **self.to_kwargs)[:2]
        if target is None:
            raise ValueError(f'the trainer needs batches with a "{Keys.LABEL}", got {type(batchdata).__name__} without')
        batch = self._cut(images)
        if not self._has_same_weights:  # here, behind all handlers that load weights on start
            same_weights(self.network)
            self._has_same_weights = True
        self.network.train()
        self.optimizer.zero_grad(set_to_none=self.optim_set_to_none)
        self.state.output = {Keys.LABEL: target}
        losses, latent = self._pass(batch, target)
        average_buffers(self.network, weight=len(batch))
        self.state.output.update({Keys.LOSS: torch.stack(losses).mean(), "latent": latent})
        self.fire_event(IterationEvents.MODEL_COMPLETED)
        return self.state.output

    def _pass(self, batch: ImageBatch, target: Tensor) -> tuple[list[Tensor], Tensor]:
        at = {"seed": seed_of(self, self.seed), "epoch": self.state.epoch, "iteration": self.state.iteration}
        may_be_exact = self.exact is not False and self.sampling.is_one_group(len(batch.cells))
        chunks = self.sampling.draw(batch.cells, **at, from_fill=may_be_exact)
        updates = Updates(
            accumulation=self.sampling.accumulation or len(chunks.inner),
            step=lambda: self._step(weight=len(batch)),
            exact=self.exact,
            true_gradient=self.true_gradient,
            scale=self._scale,
        )

        def attempt(chunk_size: int | None) -> tuple[list[Tensor], LatentGrid]:
            return InnerLoop(
                model=self._model(chunk_size=chunk_size),
                images=batch,
                target=target,
                loss_function=self._loss,
                chunks=chunks,
                updates=updates,
                on_event=self._announce,
            ).run()

        losses, latent = self.chunk_fit.fit(self, attempt, images=batch, chunks=(*chunks.fill, *chunks.inner))
        return losses, latent.z

    def clear_pass(self) -> None:
        """Give up what a pass has left that broke off."""
        super().clear_pass()
        self.state.inner_loss = None
        self.state.output = {Keys.LABEL: self.state.output[Keys.LABEL]}
        self.optimizer.zero_grad(set_to_none=True)

    def _loss(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.loss_function(pred, match_target(target, pred))

    def _scale(self, loss: Tensor) -> Tensor:
        return loss if self.scaler is None else self.scaler.scale(loss)

    def _step(self, *, weight: int) -> None:
        self.chunk_fit.note_step()
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        average_gradients(parameters, weight=weight)
        self.fire_event(IterationEvents.BACKWARD_COMPLETED)
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.optimizer.zero_grad(set_to_none=self.optim_set_to_none)

    def _announce(self, event: EventEnum, pass_state: PatchGDState) -> None:
        state = self.state
        state.latent, state.inner_step, state.inner_loss = pass_state.latent, pass_state.inner_step, pass_state.loss
        if pass_state.pred is not None:
            state.output[Keys.PRED] = pass_state.pred
        if pass_state.loss is not None:
            state.output[Keys.LOSS] = pass_state.loss
        if event is PatchGDEvents.INNER_STEP_STARTED:
            self._say_variant(pass_state)
        self.fire_event(event)

    def _say_variant(self, pass_state: PatchGDState) -> None:
        """Log once which variant runs and why, and again when that changes."""
        if self._said == (said := (pass_state.is_exact, pass_state.why_stepwise)):
            return
        self._said = said
        if pass_state.is_exact:
            _logger.info("exact: one head pass stands for all %d inner steps", pass_state.num_steps)
        else:
            _logger.info("%d inner steps with a head pass each: %s", pass_state.num_steps, pass_state.why_stepwise)
