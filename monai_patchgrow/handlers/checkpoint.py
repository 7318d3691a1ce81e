"""The Ignite handler that writes what a run is resumed from, and resumes it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Literal

import ignite.distributed as idist
from ignite.engine import Engine, Events

from monai_patchgrow.data.whole_files import set_aside
from monai_patchgrow.files import clear_stale, temporaries_of
from monai_patchgrow.handlers.best_weights import BestMetric
from monai_patchgrow.handlers.checkpoint_content import RunState, scheduler_ahead_of_optimizer
from monai_patchgrow.handlers.checkpoint_file import CheckpointFile
from monai_patchgrow.handlers.closing import call_at_end
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start
from monai_patchgrow.handlers.reproducibility import batches_done
from monai_patchgrow.handlers.run_agreement import RunAgreement
from monai_patchgrow.handlers.stop_signals import RunStopped, StopSignals
from monai_patchgrow.handlers.write_pace import WritePace
from monai_patchgrow.schedules.arguments import parse_int

__all__ = ["ResumableRun"]

_logger = logging.getLogger(__name__)

_STALE_SECONDS = 60  # of a half-written file that no running process writes any more


class ResumableRun:
    """Writes everything that a run needs to be resumed, and reads it back on request.

    It writes after each epoch, and within long ones every ten minutes; where that would take more than 2 % of the run's
    time, as with epochs of seconds on a slow disk, less often. Every so many iterations it writes where it is told to,
    whatever that takes. The file is replaced whole, so a run that is killed at
    any time leaves a good one. On SIGTERM, SIGINT or SIGUSR1 the run ends with the iteration: it is written, and
    :class:`monai_patchgrow.handlers.stop_signals.RunStopped` ends the process with exit code 75.

    A run that starts from the beginning sets aside, under another name, what an earlier one left in the same place. In
    a distributed run rank 0 writes and every rank reads, so all must see the same folder.

    Besides `objects` the file holds the trainer, its gradient scaler, and every handler attached to the trainer, or to
    the evaluator, that is serializable by Ignite's convention: it has ``state_dict`` and ``load_state_dict`` (see
    :func:`monai_patchgrow.handlers.serializable.serializable_handlers` for their names in the file). A handler that the
    file doesn't hold starts anew. Within an epoch a run can go on where its trainer has a
    :class:`monai_patchgrow.handlers.Reproducibility`; the file then also holds what handlers have gathered in it (see
    :func:`monai_patchgrow.handlers.serializable.handlers_within_epoch`), but not the metrics of a trainer.

    Args:
        path: the checkpoint, ``.../last.pt``; it loads with ``torch.load(..., weights_only=True)``.
        objects: what to keep, by name: anything with ``state_dict`` and ``load_state_dict`` (network, optimizer,
            scheduler).
        evaluator: a MONAI evaluator whose best metric is kept too.
        outputs: other files and folders that the run writes, to be set aside with `path`.
        settings: numbers, text and lists of the run by name, such as its fold; a run of others is not resumed.
        resume: resume from `path`; "auto": where there is none yet, start from the beginning, as nnU-Net's
            ``--c`` does.
        extend: resume a run of fewer epochs too, under the plan and the learning rates of this one's.
        minutes: between two checkpoints within an epoch; None: there are none.
        iterations: between two checkpoints, counted from the run's start, beside those by `minutes`; None: none.

    Raises:
        ValueError: `iterations` is no integer above 0, or the trainer has no Reproducibility for them; on start,
            nothing to resume, or a checkpoint that can't be read, lacks one of `objects`, or is of another network, of
            other iterations per epoch, of other `settings`, or of another number of epochs (which the stages and the
            learning rate depend on); one from within an epoch, of another number of ranks; one that only some ranks
            see.
        RunStopped: one of the signals came.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("LossScaling", Events.STARTED, "which makes the scaler that a checkpoint is loaded into"),
    )

    _agreement: RunAgreement

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        *,
        evaluator: Engine | None = None,
        outputs: Sequence[str | Path] = (),
        settings: Mapping[str, Any] | None = None,
        resume: bool | Literal["auto"] = False,
        extend: bool = False,
        minutes: float | None = 10.0,
        iterations: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.evaluator = evaluator
        self.outputs = [Path(output) for output in outputs]
        self.settings = dict(settings or {})
        self.resume = resume
        self.minutes = minutes
        self.iterations = None if iterations is None else parse_int(iterations, name="iterations")
        if evaluator is not None:
            self.objects["best_metric"] = BestMetric(evaluator)
        self._state = RunState(self.objects, evaluator=evaluator, settings=self.settings, extends=extend)
        self._signals = StopSignals()
        self._file = CheckpointFile(path)
        self._pace = WritePace(minutes, self.iterations)
        self._at_end: dict[str, Any] | None = None  # the run as it is while an epoch's end is being handled
        self._has_unfinished_epoch = False

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.state.resumable_run = self
        check_order_on_start(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        call_at_end(engine, self._signals.ignore)
        call_at_end(engine, self._keep_epoch)
        if self.evaluator is not None:
            self.evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._stop_validation, engine)

    def __call__(self, engine: Engine) -> None:
        """Write the checkpoint, at the end of an epoch.

        Raises:
            ValueError: weights that are NaN or infinite; the checkpoint before is kept.
        """
        self._write(self._state.collect(engine))

    @property
    def previous(self) -> Path:
        """Where the checkpoint before is kept."""
        return self._file.previous

    def _write(self, content: Mapping[str, Any]) -> None:
        self._state.refuse_odd_weights(content, path=self.path)
        if idist.get_rank() == 0:
            with self._pace.writing():
                self._file.write(content)

    def _complete_iteration(self, engine: Engine) -> None:
        if not hasattr(engine.state, "reproducibility"):
            return
        ends_epoch = batches_done(engine) == engine.state.epoch_length
        wants_end, is_due = self._agree()
        writes = wants_end or self._pace.is_asked_for(engine.state.iteration) or (is_due and not ends_epoch)
        if ends_epoch or writes:
            content = self._state.collect(engine, within_epoch=True)
            if writes:
                self._write(content)
            self._at_end = content if ends_epoch else None
        if wants_end:
            raise self._stopped(engine)

    def _complete_epoch(self, engine: Engine) -> None:
        self._at_end = None
        wants_end, _ = self._agree()
        is_last = engine.state.epoch == engine.state.max_epochs or engine.should_terminate
        if wants_end or is_last or self._pace.is_affordable():
            self(engine)
        if wants_end and not is_last:
            raise self._stopped(engine)

    def _stop_validation(self, evaluator: Engine, engine: Engine) -> None:
        """Don't wait for a validation's end, but keep the run as it was before."""
        if self._signals.received and self._at_end is not None:
            self._write(self._at_end)
            raise self._stopped(engine)

    def _keep_epoch(self) -> None:
        """Keep the run as it was before a validation, or a log, that ended it by an error."""
        if self._at_end is not None:
            with suppress(OSError, ValueError):  # it is the run's own error that is told
                self._write(self._at_end)

    def _agree(self) -> tuple[bool, bool]:
        """Whether a signal came to any rank, and whether rank 0 wants to write."""
        wishes = self._signals.received is not None, idist.get_rank() == 0 and self._pace.is_due()
        wants_end, wants_write = self._agreement.any(*wishes)
        return wants_end, wants_write

    def _stopped(self, engine: Engine) -> RunStopped:
        signal, iteration = self._signals.received or "another process's signal", engine.state.iteration
        kept = f"{self.path} is written, resume goes on from there"
        return RunStopped(f"stopped by {signal} after iteration {iteration}: {kept}")

    def _start(self, engine: Engine) -> None:
        if self.iterations and not hasattr(engine.state, "reproducibility"):
            raise ValueError("checkpoints every few iterations need a Reproducibility attached to the trainer")
        self._signals.listen()
        if not engine.has_event_handler(self._complete_epoch, Events.EPOCH_COMPLETED):
            # Registered now, behind every handler that was attached: they change what is saved.
            engine.add_event_handler(Events.ITERATION_COMPLETED, self._complete_iteration)
            engine.add_event_handler(Events.EPOCH_COMPLETED, self._complete_epoch)
            engine.add_event_handler(Events.STARTED, self._finish_epoch)
        self._pace = WritePace(self.minutes, self.iterations)
        self._agreement = RunAgreement()
        if engine.state.iteration > 0:  # this very run, continued in its own process
            return
        if idist.get_rank() == 0:
            for path in (self.path, *self.outputs):
                clear_stale(temporaries_of(path), older_than=_STALE_SECONDS)
        if self._can_resume():
            self._load(engine)
            return
        if idist.get_rank() > 0:
            return
        if self.resume:
            _logger.warning("nothing to resume at %s: starts from the beginning", self.path)
        for output, kept in set_aside([self.path, self.previous, *self.outputs]).items():
            _logger.warning("an earlier run's %s is kept as %s", output.name, kept)

    def check(self, engine: Engine) -> None:
        """Raise, before `engine` starts, what resuming it would raise; see the class."""
        if self._can_resume():
            self._read(engine)

    def _can_resume(self) -> bool:
        """Whether there is a checkpoint to resume from, as all ranks see it."""
        if not self.resume:
            return False
        exists = self._file.is_seen()
        if self.resume is True and not exists:
            raise ValueError(f"nothing to resume at {self.path}: resume=auto starts from the beginning then")
        return exists

    def _load(self, engine: Engine) -> None:
        path, checkpoint = self._read(engine)
        if path != self.path and idist.get_rank() == 0:
            self._file.set_damaged_aside()
        done = self._state.load(checkpoint, engine)
        self._has_unfinished_epoch = done == engine.state.epoch_length
        place = f"epoch {engine.state.epoch}" + (f" and {done} iterations" if done else "")
        _logger.info("resumed after %s from %s", place, path)

    def _finish_epoch(self, engine: Engine) -> None:
        """End the epoch whose iterations a resumed run has behind it, as the run would have that broke off there."""
        if self._has_unfinished_epoch:
            self._has_unfinished_epoch = False
            engine.state.epoch += 1
            engine.fire_event(Events.EPOCH_STARTED)
            with scheduler_ahead_of_optimizer():
                engine.fire_event(Events.EPOCH_COMPLETED)

    def _read(self, engine: Engine) -> tuple[Path, dict[str, Any]]:
        """Return the newest checkpoint that is whole, and its path."""
        return self._file.read(lambda content, path: self._state.check(content, engine, path=path))
