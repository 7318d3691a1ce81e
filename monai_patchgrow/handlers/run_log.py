"""The Ignite handler that writes a run's curves, for TensorBoard and as one JSON line per epoch."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import ignite.distributed as idist
from ignite.engine import Engine, Events
from ignite.handlers import TensorboardLogger
from torch import Tensor
from torch.optim import Optimizer

from monai_patchgrow.files import append_whole, write_whole
from monai_patchgrow.handlers.closing import call_at_end
from monai_patchgrow.handlers.engine_output import loss_of
from monai_patchgrow.handlers.event_files import event_files_of
from monai_patchgrow.handlers.order import OrderRule, check_order_on_start

__all__ = ["RunLog", "patch_size_curves", "read_history"]

_AXES = "xyz"


class RunLog:
    """Writes loss, learning rate, stage, patch size, throughput and Dice of every epoch.

    TensorBoard's curves lie in ``output_dir/tensorboard`` with the epoch as their step. Ignite's TensorboardLogger
    writes them, without its handlers, which draw an engine's metrics and know no record. The same numbers stand in
    ``output_dir/history.jsonl``, one line of strict JSON per epoch, which no logger of Ignite writes; null is what is
    no number, such as the Dice of a class that no case has. The trainer needs a Throughput and a PatchGrowth. In a
    distributed run rank 0 writes what all ranks did.

    Args:
        output_dir: folder of the run.
        optimizer: whose learning rate is shown.
        evaluator: a MONAI evaluator with a Dice metric as its key metric (``save_details=True``).
        class_names: names of the foreground classes, in the order of the metric's columns.
        schedule: anything whose ``str`` is the stage table, shown as text.
    """

    follows: ClassVar[tuple[OrderRule, ...]] = (
        OrderRule("ResumableRun", Events.STARTED, "which tells whether the run is resumed"),
        OrderRule("Throughput", Events.EPOCH_COMPLETED, "which measures the epoch that is written"),
        OrderRule("ValidationHandler", Events.EPOCH_COMPLETED, "which makes the metrics that are written"),
    )

    def __init__(
        self,
        output_dir: str | Path,
        *,
        optimizer: Optimizer,
        evaluator: Any = None,
        class_names: Sequence[str] = (),
        schedule: Any = None,
    ) -> None:
        self.output_dir = Path(output_dir)
        self.optimizer = optimizer
        self.evaluator = evaluator
        self.class_names = tuple(class_names)
        self.schedule = schedule
        self._loss_sum: float | Tensor = 0.0
        self._learning_rate = 0.0
        self._curves: TensorboardLogger | None = None
        self._purge_step: int | None = None
        self._continued: tuple[float, float] | None = None

    @property
    def history_path(self) -> Path:
        """Where the JSON lines are."""
        return self.output_dir / "history.jsonl"

    def attach(self, engine: Engine) -> None:
        """Register on a trainer."""
        check_order_on_start(engine)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_STARTED, self._start_epoch)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        call_at_end(engine, self._close)

    def __call__(self, engine: Engine) -> None:
        """Write the epoch that just ended."""
        loss = self._mean_loss(engine)
        if idist.get_rank() > 0:
            return
        record = self._record(engine, loss)
        append_whole(_line(record), self.history_path)
        with self._writing_curves() as curves:
            for tag, value in self._scalars(record).items():
                curves.add_scalar(tag, value, record["epoch"])

    def _mean_loss(self, engine: Engine) -> float:
        """Over the epoch's iterations and all ranks, each of which has its share of the global batch's loss."""
        loss = float(self._loss_sum) / engine.state.epoch_length
        return float(idist.all_reduce(loss)) / idist.get_world_size() if idist.get_world_size() > 1 else loss

    def _record(self, engine: Engine, loss: float) -> dict[str, Any]:
        state = engine.state
        epoch, total = state.throughput.epoch, state.throughput.total
        return {
            "epoch": state.epoch,
            "iteration": state.iteration,
            "stage": state.stage_number,
            "stages": state.num_stages,
            "patch_size": list(state.stage.patch_size),
            "patches_per_batch": state.stage.batch_size,
            "loss": loss,
            "learning_rate": self._learning_rate,
            "voxels_per_second": epoch.voxels_per_second,
            "waiting_share": epoch.waiting_share,
            "foreground_share": epoch.foreground_share,
            "patches_without_foreground": epoch.patches_without_foreground,
            "seconds": epoch.seconds,
            "total_seconds": total.seconds,
            "total_voxels": total.voxels,
            "dice": self._dice(state.epoch),
        }

    def _scalars(self, record: dict[str, Any]) -> dict[str, float]:
        """TensorBoard's tags and values of one epoch's record."""
        return _scalars(record)

    def _dice(self, epoch: int) -> dict[str, float] | None:
        """Mean Dice and Dice per class of this epoch's validation, None where there was none."""
        if self.evaluator is None or self.evaluator.state.epoch != epoch or not self.evaluator.state.metrics:
            return None
        state = self.evaluator.state
        per_class = state.metric_details[state.key_metric_name].nanmean(dim=0).tolist()
        names = self.class_names or [str(number) for number in range(1, len(per_class) + 1)]
        return {
            "mean": float(state.metrics[state.key_metric_name]),
            **dict(zip(names, per_class, strict=True)),
        }

    def _start(self, engine: Engine) -> None:
        if idist.get_rank() > 0:
            return
        resumed = engine.state.iteration > 0
        if resumed:
            self._forget_after(engine.state.epoch)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        self._purge_step = engine.state.epoch + 1 if resumed else None
        with self._writing_curves() as curves:
            if self.schedule is not None:
                curves.add_text("schedule", "\n".join(f"    {line}" for line in str(self.schedule).splitlines()))

    @contextmanager
    def _writing_curves(self) -> Iterator[TensorboardLogger]:
        """Give TensorBoard's writer, and flush it; one that the disk has refused is not used again, nor closed."""
        folder = self.output_dir / "tensorboard"
        try:
            with event_files_of(folder):
                if self._curves is None:
                    self._curves = TensorboardLogger(log_dir=str(folder), purge_step=self._purge_step)
                yield self._curves
                self._curves.flush()
        except OSError:
            self._curves = None
            raise

    def _forget_after(self, epoch: int) -> None:
        """Drop the lines of epochs that the resumed run does again."""
        if self.history_path.exists():
            kept = [record for record in read_history(self.history_path) if record["epoch"] <= epoch]
            write_whole("".join(map(_line, kept)), self.history_path)

    def within_epoch(self, engine: Engine) -> dict[str, float]:
        """The sum of the epoch's losses so far, of this rank, and the learning rate that it started with."""
        return {"loss_sum": float(self._loss_sum), "learning_rate": self._learning_rate}

    def continue_epoch(self, state: Mapping[str, float]) -> None:
        """Sum on from an epoch's losses, from the next start of an epoch on."""
        self._continued = state["loss_sum"], state["learning_rate"]

    def _start_epoch(self) -> None:
        anew = 0.0, self.optimizer.param_groups[0]["lr"]
        (self._loss_sum, self._learning_rate), self._continued = self._continued or anew, None

    def _add_loss(self, engine: Engine) -> None:
        self._loss_sum = self._loss_sum + loss_of(engine)

    def _close(self) -> None:
        curves, self._curves = self._curves, None  # first: torch raises anywhere when it is told of a worker's end
        if curves is not None:
            curves.close()


def read_history(path: str | Path) -> list[dict[str, Any]]:
    """The records of a ``history.jsonl``, oldest first; a last line that was cut off is left out."""
    records = []
    for line in Path(path).read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


def _line(record: dict[str, Any]) -> str:
    """A record as a line of strict JSON, which knows no NaN."""
    return json.dumps(_strict(record), allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _strict(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def patch_size_curves(patch_size: Sequence[int]) -> dict[str, float]:
    """TensorBoard's tags of a patch size, one per axis, and the voxels.

    >>> patch_size_curves([16, 8])
    {'growth/patch_size_x': 16, 'growth/patch_size_y': 8}
    """
    return {f"growth/patch_size_{axis}": voxels for axis, voxels in zip(_AXES, patch_size, strict=False)}


def _scalars(record: dict[str, Any]) -> dict[str, float]:
    """TensorBoard's tags and values of one epoch's record."""
    scalars = {
        "train/loss": record["loss"],
        "train/learning_rate": record["learning_rate"],
        "growth/stage": record["stage"],
        "growth/patches_per_batch": record["patches_per_batch"],
        "growth/foreground_share": record["foreground_share"],
        "growth/patches_without_foreground": record["patches_without_foreground"],
        "speed/voxels_per_second": record["voxels_per_second"],
        "speed/waiting_share": record["waiting_share"],
        "speed/epoch_seconds": record["seconds"],
    }
    scalars |= patch_size_curves(record["patch_size"])
    for name, dice in (record["dice"] or {}).items():
        scalars[f"dice/{name}"] = dice
    return scalars
