"""The Ignite handler that writes an evaluator's predictions of whole images as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from torch import Tensor

__all__ = ["PredictionTable"]


class _Target(Protocol):
    kind: str

    def decode(self, logits: Tensor) -> Tensor: ...
    def probabilities(self, logits: Tensor) -> Tensor: ...


class PredictionTable:
    """Writes one row per image: its name, the prediction, its label where there is one, and the probabilities.

    A row is written as soon as its image is done, so that a run that ends early leaves those before.

    Args:
        path: of the file; one that is there is replaced.
        target: what is predicted; "value" has the number itself in the place of probabilities.
        class_names: of the columns of probabilities; default their numbers.
        name_key: of the batch: the names of the images; without it they are numbered.

    Raises:
        ValueError: class names of another number than the classes.
    """

    def __init__(
        self, path: str | Path, target: _Target, *, class_names: Sequence[str] = (), name_key: str = "name"
    ) -> None:
        self.path, self.target, self.name_key = Path(path), target, name_key
        self.class_names = [str(name) for name in class_names]
        self._rows = 0

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator that decollates, as it does by default."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Write the rows of the iteration's images."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for item, output in zip(engine.state.batch, engine.state.output, strict=True):
                logits = torch.as_tensor(output["pred"]).detach().float().cpu()
                scores = logits if self.target.kind == "value" else self.target.probabilities(logits)
                if self._rows == 0:
                    writer.writerow(["image", "prediction", "label", *self._columns(len(scores))])
                label = "" if output.get("label") is None else int(output["label"])
                name = item.get(self.name_key, self._rows)
                writer.writerow(
                    [name, int(self.target.decode(logits)), label, *(f"{round(x, 6):g}" for x in scores.tolist())]
                )
                self._rows += 1

    def _start(self) -> None:
        self._rows = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", encoding="utf-8")

    def _columns(self, number: int) -> list[str]:
        if self.target.kind == "value":
            return ["value"]
        names = self.class_names or [str(index) for index in range(number)]
        if len(names) != number:
            raise ValueError(f"there must be a name for each of {number} classes, got {names}")
        return [f"p_{name}" for name in names]
