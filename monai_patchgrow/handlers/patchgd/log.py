"""The Ignite handler that writes the curves of a PatchGD run, for TensorBoard and as one JSON line per epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine

from monai_patchgrow.handlers.run_log import RunLog, patch_size_curves

__all__ = ["PatchGDLog"]

_CURVES = {
    "train/loss": "loss",
    "train/learning_rate": "learning_rate",
    "growth/stage": "stage",
    "speed/images_per_second": "images_per_second",
    "speed/waiting_share": "waiting_share",
    "speed/epoch_seconds": "seconds",
}
"""TensorBoard's tags and the numbers of a record that they show."""


class PatchGDLog(RunLog):
    """As :class:`RunLog`, for images with one label each: all metrics of the evaluator take the place of Dice.

    Loss, learning rate (at the epoch's start), stage, patch size and speed are those of every epoch; the metrics those
    of the epochs that were validated. Stage and patch size are left out without PatchGrowth on the trainer, and what
    is measured without Throughput.

    A metric with a number per class is ``{class: number}`` in the history and a curve per class in TensorBoard; one of
    more axes, such as a confusion matrix, stands in the history alone. One that is no array of numbers is left out.

    Args:
        output_dir, optimizer, evaluator, schedule: see :class:`RunLog`.
        class_names: of metrics with as many numbers; others are numbered from 0.
    """

    def _record(self, engine: Engine, loss: float) -> dict[str, Any]:
        return {
            "epoch": engine.state.epoch,
            "iteration": engine.state.iteration,
            **_growth(engine.state),
            "loss": loss,
            "learning_rate": self._learning_rate,
            **_speed(engine.state),
            "metrics": self._metrics(engine.state.epoch),
        }

    def _metrics(self, epoch: int) -> dict[str, Any] | None:
        """The metrics of this epoch's validation, None where there was none."""
        state = None if self.evaluator is None else self.evaluator.state
        if state is None or state.epoch != epoch or not state.metrics:
            return None
        metrics = {name: self._numbers(value) for name, value in state.metrics.items()}
        return {name: value for name, value in metrics.items() if value is not None}

    def _numbers(self, metric: Any) -> Any:
        """A number, one per class by its name, or nested lists of more axes; None: it is none of them."""
        if isinstance(metric, Mapping):
            return {str(name): self._numbers(value) for name, value in metric.items()}
        try:
            values = torch.as_tensor(metric, dtype=torch.float64)
        except (TypeError, ValueError):
            return None
        if values.numel() == 1:
            return values.item()
        if values.ndim > 1:
            return values.tolist()
        has_names = len(self.class_names) == len(values)
        return dict(zip(self.class_names if has_names else map(str, range(len(values))), values.tolist(), strict=True))

    def _scalars(self, record: dict[str, Any]) -> dict[str, float]:
        """TensorBoard's tags and values of one epoch's record."""
        scalars = {tag: record[name] for tag, name in _CURVES.items() if name in record}
        scalars |= patch_size_curves(record.get("patch_size", ()))
        for name, value in (record["metrics"] or {}).items():
            tag = f"validation/{name.removeprefix('val_')}"
            if isinstance(value, dict):
                scalars |= {f"{tag}/{part}": number for part, number in value.items() if isinstance(number, float)}
            elif isinstance(value, float):
                scalars[tag] = value
        return scalars


def _growth(state: Any) -> dict[str, Any]:
    """What PatchGrowth tells."""
    if not hasattr(state, "stage"):
        return {}
    return {
        "stage": state.stage_number,
        "stages": state.num_stages,
        "patch_size": list(state.stage.patch_size),
    }


def _speed(state: Any) -> dict[str, Any]:
    """What Throughput measured."""
    if not hasattr(state, "throughput"):
        return {}
    epoch, total = state.throughput.epoch, state.throughput.total
    return {
        "images_per_second": epoch.patches / epoch.seconds if epoch.seconds else 0.0,
        "voxels_per_second": epoch.voxels_per_second,
        "waiting_share": epoch.waiting_share,
        "seconds": epoch.seconds,
        "total_seconds": total.seconds,
        "total_images": total.patches,
        "total_voxels": total.voxels,
    }
