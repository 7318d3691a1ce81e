"""Moments at which a training is ended by SIGKILL: what it does there, and how its process comes to kill itself."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO

import torch
from ignite.engine import Events
from tiny_runs import HIPPOCAMPUS, ULTRAMNIST, TinyRun

from monai_patchgrow.engines.patchgd import PatchGDEvents

__all__ = ["CASE_WRITTEN", "CHECKPOINT_MINUTES", "IN_START", "IN_TRAINING", "NAMED", "moments_of", "train"]

IN_START, IN_TRAINING = "any time before the training", "any time of the training"
"""Random moments; it is another process that kills at them."""

CHECKPOINT_MINUTES = 0.2 / 60

CASE_WRITTEN = "half of a preprocessed case is written"
NAMED = {
    "half of a checkpoint is written": None,
    "half of a checkpoint from within an epoch is written": None,
    "between the renames of a checkpoint": None,
    "half of model.pt is written": None,
    "model.pt is new, and model.safetensors not yet": None,
    CASE_WRITTEN: HIPPOCAMPUS,
    "a new stage begins": None,
    "in a validation": None,
    "in PatchGD's inner loop": ULTRAMNIST,
    "between an epoch's line of history and its checkpoint": None,
    "a resumed run begins": None,
}
"""The moments by name, and the only bundle that has one, if it is one."""


def moments_of(bundle: str, *, is_resumed: bool) -> list[str]:
    """The named moments that a run of a bundle can have."""
    found = [name for name, only in NAMED.items() if only in (None, bundle)]
    return found if is_resumed else [name for name in found if name != "a resumed run begins"]


def train(
    connection: Connection, run: TinyRun, output: Path, folders: Mapping[str, Path], moment: str | None, nth: int
) -> None:
    """Train to the end, or to a moment; what a process does.

    Args:
        connection: is sent a word when the training begins.
        run: what is trained.
        output: its folder.
        folders: of data set and cases.
        moment: one of `NAMED`; None, or one that doesn't come: train to the end.
        nth: which time it comes the process is killed.
    """
    kill = _Kill(nth)
    if moment in _SAVED:
        _break_saving(_SAVED[moment], kill)
    if moment == "between the renames of a checkpoint":
        _break_replacing(kill)
    if moment == "model.pt is new, and model.safetensors not yet":
        _break_pair(kill)
    workflow = run.workflow(output, resume="auto", checkpoint_minutes=CHECKPOINT_MINUTES, **folders)
    workflow.initialize()
    _attach(workflow.parser.get_parsed_content("train#trainer"), moment, kill)
    if moment == "in a validation":
        workflow.parser.get_parsed_content("validate#evaluator").add_event_handler(Events.ITERATION_COMPLETED, kill)
    connection.send("begins")
    workflow.run()
    workflow.finalize()


class _Kill:
    """Kills the process that made it, in the nth call."""

    def __init__(self, nth: int) -> None:
        self.process, self.left = os.getpid(), nth

    def __call__(self, *_: Any) -> None:
        self.left -= 1
        if self.is_now:
            self.at_once()

    @property
    def is_now(self) -> bool:
        return self.left == 0

    def at_once(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os._exit(9)  # a loader's worker that made the call


_SAVED: dict[str, Callable[[str, Any], bool]] = {
    "half of a checkpoint is written": lambda name, content: name.startswith("last.pt"),
    "half of a checkpoint from within an epoch is written": lambda name, content: "within_epoch" in content,
    "half of model.pt is written": lambda name, content: name.startswith("model.pt"),
    CASE_WRITTEN: lambda name, content: "image" in content,
}


def _break_saving(is_meant: Callable[[str, Any], bool], kill: _Kill) -> None:
    save = torch.save

    def save_half(content: Any, stream: BinaryIO) -> None:
        if is_meant(Path(getattr(stream, "name", "")).name, content):  # a stream in memory has none
            kill.left -= 1
        if not kill.is_now:
            return save(content, stream)
        whole = io.BytesIO()
        save(content, whole)
        stream.write(whole.getvalue()[: whole.tell() // 2])
        stream.flush()
        return kill.at_once()

    torch.save = save_half  # type: ignore[assignment]


def _break_replacing(kill: _Kill) -> None:
    replace = Path.replace

    def replace_and_die(path: Path, target: Path) -> Path:
        moved = replace(path, target)
        if path.name == "last.pt":
            kill()
        return moved

    Path.replace = replace_and_die  # type: ignore[assignment,method-assign]


def _break_pair(kill: _Kill) -> None:
    replace = os.replace

    def replace_and_die(old: Path, new: Path) -> None:
        replace(old, new)
        if Path(new).name == "model.pt":
            kill()

    os.replace = replace_and_die  # type: ignore[assignment]


def _attach(trainer: Any, moment: str | None, kill: _Kill) -> None:
    seen: set[int] = set()

    def enter_stage() -> None:
        if seen and trainer.state.stage_number not in seen:
            kill()
        seen.add(trainer.state.stage_number)

    def begin() -> None:
        if trainer.state.iteration:
            kill.at_once()

    if moment == "a new stage begins":
        trainer.add_event_handler(Events.EPOCH_STARTED, enter_stage)
    if moment == "in PatchGD's inner loop":
        trainer.add_event_handler(PatchGDEvents.INNER_STEP_COMPLETED, kill)
    if moment == "between an epoch's line of history and its checkpoint":
        trainer.add_event_handler(Events.EPOCH_COMPLETED, kill)  # ResumableRun's stands behind it, from STARTED on
    if moment == "a resumed run begins":
        trainer.add_event_handler(Events.STARTED, begin)
