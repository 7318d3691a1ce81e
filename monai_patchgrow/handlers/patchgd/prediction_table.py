"""The Ignite handler that writes an evaluator's predictions of whole images as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_patchgrow.csv_cells import text_cell
from monai_patchgrow.data.errors import DataError
from monai_patchgrow.files import put_in_place

__all__ = ["PredictionTable"]


class _Target(Protocol):
    kind: str

    def decode(self, logits: Tensor) -> Tensor: ...
    def probabilities(self, logits: Tensor) -> Tensor: ...


class PredictionTable:
    """Writes one row per image: its name, the prediction, its label where there is one, and the probabilities.

    A row is written as soon as its image is done, to ``<file>.partial``, which takes the file's place when the run is
    done and there is a row: a run that ends early leaves its rows there, and an earlier run's table as it was.

    A name that a spreadsheet would run stands behind a single quote (:func:`monai_patchgrow.csv_cells.text_cell`).

    MONAI's ClassificationSaver writes at the end of the run only, and neither labels nor names of columns.

    Of a "value" the prediction is the nearest grade, the value the output itself, and the label may lie between grades.

    Args:
        path: of the file; one that is there is replaced when the run is done.
        target: what is predicted; "value" has the number itself in the place of probabilities.
        class_names: of the columns of probabilities, and of a column with the predicted class; default: numbers alone.
        name_key: of the batch: the names of the images; without it they are numbered.

    Raises:
        ValueError: class names of another number than the classes.
        DataError: in an iteration, an output that is NaN or infinite, and stands for no class.
    """

    def __init__(
        self, path: str | Path, target: _Target, *, class_names: Sequence[str] = (), name_key: str = "name"
    ) -> None:
        self.path, self.target, self.name_key = Path(path), target, name_key
        self.class_names = [str(name) for name in class_names]
        self._is_named = bool(self.class_names) and target.kind != "value"
        self._partial = self.path.with_name(f"{self.path.name}.partial")
        self._rows = 0

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator that decollates, as it does by default."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self._finish)

    def __call__(self, engine: Any) -> None:
        """Write the rows of the iteration's images."""
        with self._partial.open("a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            for item, output in zip(engine.state.batch, engine.state.output, strict=True):
                logits = torch.as_tensor(output["pred"]).detach().float().cpu()
                name = item.get(self.name_key, self._rows)
                if not logits.isfinite().all():
                    raise DataError(f"{name}: the network's output is NaN or infinite")
                scores = self._scores(logits)
                if self._rows == 0:
                    writer.writerow(["image", "prediction", *self._columns(len(scores))])
                label = "" if output.get("label") is None else _written(float(output["label"]))
                prediction = int(self.target.decode(logits))
                predicted_class = [text_cell(self.class_names[prediction])] if self._is_named else []
                writer.writerow([text_cell(name), prediction, *predicted_class, label, *scores])
                self._rows += 1

    def _start(self) -> None:
        self._rows = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._partial.write_text("", encoding="utf-8")

    def _finish(self) -> None:
        if self._rows:
            put_in_place(self._partial, self.path)
        else:
            self._partial.unlink()

    def _scores(self, logits: Tensor) -> list[str]:
        if self.target.kind == "value":
            return [_written(value) for value in logits.tolist()]
        return [f"{round(share, 6):g}" for share in self.target.probabilities(logits).tolist()]

    def _columns(self, number: int) -> list[str]:
        if self.target.kind == "value":
            return ["label", "value"]
        names = self.class_names or [str(index) for index in range(number)]
        if len(names) != number:
            raise ValueError(f"there must be a name for each of {number} classes, got {names}")
        return [*(["class"] if self._is_named else []), "label", *(f"p_{name}" for name in names)]


def _written(value: float) -> str:
    """A whole number without a point, another one with the seven digits that float32 has."""
    return str(int(value)) if value.is_integer() else f"{value:.7g}"
