"""The Ignite handler that writes the curves of a PatchGD run, for TensorBoard and as one JSON line per epoch."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine

from monai_patchgrow.handlers.run_log import RunLog

__all__ = ["PatchGDLog"]

_AXES = "xyz"


class PatchGDLog(RunLog):
    """As :class:`RunLog`, for images with one label each: all metrics of the evaluator take the place of Dice.

    Loss, learning rate (at the epoch's start), stage, patch size and speed are those of every epoch; the metrics those
    of the epochs that were validated.

    Args:
        output_dir, optimizer, evaluator, schedule: see :class:`RunLog`.
    """

    def _record(self, engine: Engine, loss: float) -> dict[str, Any]:
        state = engine.state
        epoch, total = state.throughput.epoch, state.throughput.total
        return {
            "epoch": state.epoch,
            "iteration": state.iteration,
            "stage": state.stage_number,
            "stages": state.num_stages,
            "patch_size": list(state.stage.patch_size),
            "loss": loss,
            "learning_rate": self._learning_rate,
            "images_per_second": epoch.patches / epoch.seconds if epoch.seconds else 0.0,
            "voxels_per_second": epoch.voxels_per_second,
            "waiting_share": epoch.waiting_share,
            "seconds": epoch.seconds,
            "total_seconds": total.seconds,
            "total_images": total.patches,
            "total_voxels": total.voxels,
            "metrics": self._metrics(state.epoch),
        }

    def _metrics(self, epoch: int) -> dict[str, float] | None:
        """The metrics of this epoch's validation, None where there was none."""
        state = None if self.evaluator is None else self.evaluator.state
        if state is None or state.epoch != epoch or not state.metrics:
            return None
        return {name: float(value) for name, value in state.metrics.items()}

    def _scalars(self, record: dict[str, Any]) -> dict[str, float]:
        """TensorBoard's tags and values of one epoch's record."""
        scalars = {
            "train/loss": record["loss"],
            "train/learning_rate": record["learning_rate"],
            "growth/stage": record["stage"],
            "speed/images_per_second": record["images_per_second"],
            "speed/waiting_share": record["waiting_share"],
            "speed/epoch_seconds": record["seconds"],
        }
        for axis, voxels in zip(_AXES, record["patch_size"], strict=False):
            scalars[f"growth/patch_size_{axis}"] = voxels
        for name, value in (record["metrics"] or {}).items():
            scalars[f"validation/{name.removeprefix('val_')}"] = value
        return scalars
