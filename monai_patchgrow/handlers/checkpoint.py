"""The Ignite handlers that write a run's checkpoints: the last epoch to resume from, and the best weights."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import Checkpoint
from torch import nn

from monai_patchgrow.data.whole_files import DamagedCheckpoint, load_checkpoint, save_whole, set_aside
from monai_patchgrow.files import clear_stale, temporaries_of
from monai_patchgrow.handlers.finite_output import count_odd_weights
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start
from monai_patchgrow.handlers.serializable import loads_without_code, serializable_handlers

__all__ = ["BestWeights", "ResumableRun"]

_logger = logging.getLogger(__name__)

_STALE_SECONDS = 60  # of a half-written file that no running process writes any more


class ResumableRun:
    """Writes, after each epoch, everything that a run needs to be resumed, and reads it back on request.

    The file is replaced whole, so a run that is killed at any time leaves a good one. A run that starts from the
    beginning sets aside, under another name, what an earlier one left in the same place. In a distributed run rank 0
    writes and every rank reads, so all must see the same folder.

    Besides `objects` the file holds the trainer, its gradient scaler, and every handler attached to the trainer, or to
    the evaluator, that is serializable by Ignite's convention: it has ``state_dict`` and ``load_state_dict`` (see
    :func:`monai_patchgrow.handlers.serializable.serializable_handlers` for their names in the file). A handler that the
    file doesn't hold starts anew.

    Args:
        path: the checkpoint, ``.../last.pt``; it loads with ``torch.load(..., weights_only=True)``.
        objects: what to keep, by name: anything with ``state_dict`` and ``load_state_dict`` (network, optimizer,
            scheduler).
        evaluator: a MONAI evaluator whose best metric is kept too.
        outputs: other files and folders that the run writes, to be set aside with `path`.
        settings: numbers, text and lists of the run by name, such as its fold; a run of others is not resumed.
        resume: resume from `path`; where there is none yet, start from the beginning, as nnU-Net's ``--c`` does.

    Raises:
        ValueError: on start, a checkpoint that can't be read, lacks one of `objects`, or is of another network,
            of other iterations per epoch, of other `settings`, or of another number of epochs (which the stages and the
            learning rate depend on); a checkpoint that only some ranks see.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("LossScaling", Events.STARTED, "which makes the scaler that a checkpoint is loaded into"),
    )

    def __init__(
        self,
        path: str | Path,
        objects: Mapping[str, Any],
        *,
        evaluator: Engine | None = None,
        outputs: Sequence[str | Path] = (),
        settings: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        self.evaluator = evaluator
        self.outputs = [Path(output) for output in outputs]
        self.settings = dict(settings or {})
        self.resume = resume
        if evaluator is not None:
            self.objects["best_metric"] = _BestMetric(evaluator)

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        engine.state.resumable_run = self
        check_order_on_start(engine)
        engine.add_event_handler(Events.STARTED, self._start)

    def __call__(self, engine: Engine) -> None:
        """Write the checkpoint.

        Raises:
            ValueError: weights that are NaN or infinite; the checkpoint before is kept.
        """
        for name, thing in self.objects.items():
            if isinstance(thing, nn.Module):
                _refuse_odd_weights(thing.state_dict(), what=f"the {name} in training", path=self.path)
        if idist.get_rank() > 0:
            return
        objects = {**self._all_objects(engine), "trainer": engine}
        states = {name: thing.state_dict() for name, thing in objects.items()}
        spoiling = [name for name in self._handlers(engine) if not loads_without_code(name, states[name])]
        kept = {name: state for name, state in states.items() if name not in spoiling}
        save_whole({**kept, "settings": self.settings}, self.path, previous=self.previous)

    @property
    def previous(self) -> Path:
        """Where the checkpoint before is kept."""
        return self.path.with_name(f"{self.path.stem}.previous{self.path.suffix}")

    def _all_objects(self, engine: Engine) -> dict[str, Any]:
        """The named objects, the handlers with a state, and the engine's scaler where it has one."""
        scaler = getattr(engine, "scaler", None)
        return {**self.objects, **self._handlers(engine), **({} if scaler is None else {"scaler": scaler})}

    def _handlers(self, engine: Engine) -> dict[str, Any]:
        handlers = serializable_handlers(engine, known=self.objects)
        if self.evaluator is None:
            return handlers
        known = {**self.objects, **handlers}
        others = serializable_handlers(self.evaluator, known=known)
        return {**handlers, **{f"evaluator_{name}": handler for name, handler in others.items()}}

    def _start(self, engine: Engine) -> None:
        if not engine.has_event_handler(self, Events.EPOCH_COMPLETED):
            # Registered now, behind every handler that was attached: they change what is saved.
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        if engine.state.epoch > 0:  # this very run, continued in its own process
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
        exists = self.path.exists() or self.previous.exists()
        if self.resume and idist.get_world_size() > 1:
            seen: Any = idist.all_gather(int(exists))
            if len(set(seen)) > 1:
                raise ValueError(
                    f"{self.path} is there for rank {seen.index(1)} but not for rank {seen.index(0)}: "
                    "write to a folder that all machines share"
                )
        return self.resume and exists

    def _load(self, engine: Engine) -> None:
        path, checkpoint = self._read(engine)
        if path != self.path and idist.get_rank() == 0:
            for kept in set_aside([self.path]).values():  # or the next checkpoint would put it in the good one's place
                _logger.warning("the damaged checkpoint is kept as %s", kept)
        # A scaler is made when the run starts; a run without AMP has none to leave, one in bfloat16 an empty one.
        objects = {name: thing for name, thing in self._all_objects(engine).items() if checkpoint.get(name)}
        Checkpoint.load_objects({**objects, "trainer": engine}, checkpoint)
        _logger.info("resumed after epoch %d from %s", engine.state.epoch, path)

    def _read(self, engine: Engine) -> tuple[Path, dict[str, Any]]:
        """Return the newest checkpoint that is whole, and its path."""
        try:
            return self.path, self._check_content(load_checkpoint(self.path), engine)
        except DamagedCheckpoint as error:
            if not self.previous.exists():
                raise
            _logger.warning("%s: resumes from the one before, %s", error, self.previous)
        return self.previous, self._check_content(load_checkpoint(self.previous), engine)

    def _check_content(self, checkpoint: Any, engine: Engine) -> dict[str, Any]:
        names = set(checkpoint) if isinstance(checkpoint, Mapping) else set()
        missing = sorted({*self.objects, "trainer"} - names)
        if missing:
            raise ValueError(f"{self.path} lacks {', '.join(missing)}: it is not a checkpoint of this kind of run")
        ours = {**self.settings, **{name: getattr(engine.state, name) for name in ("epoch_length", "max_epochs")}}
        saved = {**self.settings, **checkpoint.get("settings", {}), **checkpoint["trainer"]}
        for name, value in ours.items():
            if saved.get(name) != value:
                raise ValueError(
                    f"{self.path} is of a run with {name} {saved.get(name)}, this one has {value}: give both the same"
                )
        self._check_weights(checkpoint)
        return dict(checkpoint)

    def _check_weights(self, checkpoint: Mapping[str, Any]) -> None:
        for name, network in self.objects.items():
            if isinstance(network, nn.Module):
                ours, saved = network.state_dict(), checkpoint[name]
                _refuse_odd_weights(saved, what=f"the {name} in {self.path}", path=None)
                for key in {*ours, *saved}:
                    if key not in ours or key not in saved or ours[key].shape != saved[key].shape:
                        raise ValueError(f"{self.path} is of another network: {key} differs")


class BestWeights:
    """Writes a network's bare ``state_dict``, from rank 0, whenever a MONAI evaluator's key metric is the best so far.

    Which is the best a resumed run takes from the evaluator; MONAI's CheckpointSaver and Ignite's Checkpoint keep a
    best of their own, which would start anew and let the first validation replace better weights.

    Args:
        path: ``.../models/model.pt``.
        network: what inference needs, without training's extra heads.
    """

    def __init__(self, path: str | Path, network: nn.Module) -> None:
        self.path = Path(path)
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register on an evaluator."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the weights if this validation was the best."""
        if engine.state.best_metric_epoch == engine.state.epoch and idist.get_rank() == 0:
            _refuse_odd_weights(self.network.state_dict(), what="the network", path=self.path)
            save_whole(self.network.state_dict(), self.path)


def _refuse_odd_weights(weights: Mapping[str, Any], *, what: str, path: Path | None) -> None:
    """Raise where weights aren't finite: nothing such is saved, called best, or resumed from."""
    if count := count_odd_weights(weights):
        kept = "" if path is None else f"; {path} is not written"
        remedy = "take a lower learning_rate, or amp=False where it is on, and start anew"
        raise ValueError(f"{count} weights of {what} are NaN or infinite{kept}: {remedy}")


class _BestMetric:
    """The best metric of a MONAI evaluator as something to save."""

    def __init__(self, evaluator: Any) -> None:
        self.state = evaluator.state

    def state_dict(self) -> dict[str, Any]:
        return {"metric": float(self.state.best_metric), "epoch": int(self.state.best_metric_epoch)}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.state.best_metric = state_dict["metric"]
        self.state.best_metric_epoch = state_dict["epoch"]
