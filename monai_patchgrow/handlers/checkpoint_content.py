"""What a checkpoint holds of a run, how it is checked against the run that it is for, and put back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine
from ignite.handlers import Checkpoint
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from monai_patchgrow.handlers.best_weights import refuse_odd_weights
from monai_patchgrow.handlers.serializable import handlers_within_epoch, loads_without_code, serializable_handlers

__all__ = ["RunState", "scheduler_ahead_of_optimizer"]

_WITHIN, _BATCHES = "within_epoch", "batches"


class RunState:
    """Everything of a run that has a state, by name.

    Args:
        objects: what the run names itself.
        evaluator: whose serializable handlers belong to it.
        settings: what a checkpoint and the run must have in common.
        extends: whether the checkpoint may be of a run of fewer epochs.
    """

    def __init__(
        self, objects: Mapping[str, Any], *, evaluator: Engine | None, settings: Mapping[str, Any], extends: bool
    ) -> None:
        self.objects = objects
        self.evaluator = evaluator
        self.settings = settings
        self.extends = extends

    def collect(self, engine: Engine, *, within_epoch: bool = False) -> dict[str, Any]:
        """Return a checkpoint's content; tensors are those of the run, not copies.

        Args:
            engine: the trainer.
            within_epoch: hold what handlers have gathered in the epoch too; every rank has to call it.
        """
        states = {name: thing.state_dict() for name, thing in self._named(engine).items()}
        spoiling = [name for name in self._handlers(engine) if not loads_without_code(name, states[name])]
        content = {name: state for name, state in states.items() if name not in spoiling}
        if within_epoch:
            own = {name: handler.within_epoch(engine) for name, handler in handlers_within_epoch(engine).items()}
            ranks: Any = [own] if idist.get_world_size() == 1 else idist.all_gather(own)
            content[_WITHIN] = [
                {name: state for name, state in rank.items() if loads_without_code(name, state)} for rank in ranks
            ]
        return {**content, "settings": self.settings}

    def refuse_odd_weights(self, content: Mapping[str, Any], *, path: Path) -> None:
        """Raise a ValueError where the weights of a content that is to be written are NaN or infinite."""
        for name in self._networks():
            refuse_odd_weights(content[name], what=f"the {name} in training", path=path)

    def check(self, checkpoint: Any, engine: Engine, *, path: Path) -> dict[str, Any]:
        """Return a checkpoint's content if it is one of this very run.

        Raises:
            ValueError: it is not, in one line that names what differs.
        """
        names = set(checkpoint) if isinstance(checkpoint, Mapping) else set()
        missing = sorted({*self.objects, "trainer"} - names)
        if missing:
            raise ValueError(f"{path} lacks {', '.join(missing)}: it is not a checkpoint of this kind of run")
        ours = {**self.settings, **{name: getattr(engine.state, name) for name in ("epoch_length", "max_epochs")}}
        saved = {**self.settings, **checkpoint.get("settings", {}), **checkpoint["trainer"]}
        for name, value in ours.items():
            if saved.get(name) != value:
                is_longer = name == "max_epochs" and saved[name] < value
                if is_longer and self.extends:
                    continue
                remedy = f"give both the same, or extend_to {value}" if is_longer else "give both the same"
                raise ValueError(f"{path} is of a run with {name} {saved.get(name)}, this one has {value}: {remedy}")
        self._check_within(checkpoint, engine, path=path)
        self._check_weights(checkpoint, path=path)
        return dict(checkpoint)

    def load(self, checkpoint: Mapping[str, Any], engine: Engine) -> int:
        """Put a checkpoint's content back; return how many batches its epoch has had, if it is from within one.

        ``engine.state.epoch`` is then that of the epoch before.
        """
        # A scaler is made when the run starts; a run without AMP has none to leave, one in bfloat16 an empty one.
        named = {name: thing for name, thing in self._named(engine).items() if checkpoint.get(name)}
        max_epochs = engine.state.max_epochs
        if max_epochs == checkpoint["trainer"]["max_epochs"]:
            Checkpoint.load_objects(named, checkpoint)
        else:
            _load_extended(named, checkpoint)
            engine.state.max_epochs = max_epochs
        if _WITHIN not in checkpoint:
            return 0
        states = checkpoint[_WITHIN][idist.get_rank()]
        for name, handler in handlers_within_epoch(engine).items():
            if name in states:
                handler.continue_epoch(states[name])
        done = int(states["reproducibility"][_BATCHES])
        engine.state.epoch = (engine.state.iteration - done) // engine.state.epoch_length
        return done

    def _named(self, engine: Engine) -> dict[str, Any]:
        """The trainer, the named objects, the handlers with a state, and the engine's scaler where it has one."""
        scaler = getattr(engine, "scaler", None)
        more = {} if scaler is None else {"scaler": scaler}
        return {**self.objects, **self._handlers(engine), **more, "trainer": engine}

    def _handlers(self, engine: Engine) -> dict[str, Any]:
        handlers = serializable_handlers(engine, known=self.objects)
        if self.evaluator is None:
            return handlers
        known = {**self.objects, **handlers}
        others = serializable_handlers(self.evaluator, known=known)
        return {**handlers, **{f"evaluator_{name}": handler for name, handler in others.items()}}

    def _networks(self) -> dict[str, nn.Module]:
        return {name: thing for name, thing in self.objects.items() if isinstance(thing, nn.Module)}

    def _check_within(self, checkpoint: Mapping[str, Any], engine: Engine, *, path: Path) -> None:
        """Refuse a checkpoint from within an epoch that this run can't go on with."""
        if _WITHIN not in checkpoint:
            return
        ranks, ours = len(checkpoint[_WITHIN]), idist.get_world_size()
        if ranks != ours:
            raise ValueError(
                f"{path} was written within an epoch by {ranks} processes, this run has {ours}: start as many"
            )
        if not hasattr(engine.state, "reproducibility"):
            raise ValueError(f"{path} was written within an epoch: a Reproducibility must be attached to go on from it")

    def _check_weights(self, checkpoint: Mapping[str, Any], *, path: Path) -> None:
        for name, network in self._networks().items():
            ours, saved = network.state_dict(), checkpoint[name]
            refuse_odd_weights(saved, what=f"the {name} in {path}", path=None)
            for key in {*ours, *saved}:
                if key not in ours or key not in saved or ours[key].shape != saved[key].shape:
                    raise ValueError(f"{path} is of another network: {key} differs")


def _load_extended(named: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Load a run of fewer epochs: the learning rates are those that this one would have after as many steps."""
    schedulers = {name: thing for name, thing in named.items() if isinstance(thing, LRScheduler)}
    Checkpoint.load_objects({name: thing for name, thing in named.items() if name not in schedulers}, checkpoint)
    for name, scheduler in schedulers.items():
        for group in scheduler.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        with scheduler_ahead_of_optimizer():
            for _ in range(checkpoint[name]["last_epoch"]):
                scheduler.step()


@contextmanager
def scheduler_ahead_of_optimizer() -> Iterator[None]:
    """Let a scheduler step before its optimiser in silence: the optimiser's steps were another process's."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler\.step", UserWarning)
        yield
