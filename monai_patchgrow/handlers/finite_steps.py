"""The Ignite handler that ends a training before a step by gradients that are no numbers spoils its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim import Optimizer

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.loading.seeded import SeededDataLoader
from monai_patchgrow.data.whole_files import save_whole
from monai_patchgrow.schedules.arguments import format_size

__all__ = ["FiniteSteps", "StepError"]

_SMALLEST_SCALE = 1.0  # of a loss in float16: below it some hundred steps in a row were skipped, or fifteen and more
_BATCH_FILE = "nonfinite_batch.pt"


class StepError(DataError):
    """Gradients that are NaN or infinite; the message tells where, of which cases, and what would work."""


class FiniteSteps:
    """Looks at the gradients before each step of an optimiser; the weights stay finite.

    On a CPU, and for an optimiser that is not fused, the run ends before the step. On a GPU a fused optimiser skips the
    step, as it does for a GradScaler, and the run ends with its epoch: to look at a number at once would halt the GPU
    in each iteration. Under a loss scale (float16) the scaler skips steps itself; the run ends with the epoch in which
    that scale has fallen below 1. In each case before anything of the epoch is validated or saved: attach this handler
    before those that do so.

    The norm of a step's gradients is ``optimizer.gradient_norm`` until the step is over: clipping behind this handler
    takes it from there.

    The batch is written beside the checkpoint of a :class:`monai_patchgrow.handlers.ResumableRun`, as a dictionary of
    tensors, where there is one.

    Args:
        optimizer: of the trainer.

    Raises:
        StepError: in an iteration or at the end of an epoch, as above.

    >>> weight = nn.Parameter(torch.ones(1))
    >>> optimizer = torch.optim.SGD([weight], lr=0.1)
    >>> FiniteSteps(optimizer).attach(Engine(lambda engine, batch: None))
    >>> weight.grad = torch.tensor([float("nan")])
    >>> optimizer.step()
    Traceback (most recent call last):
    monai_patchgrow.handlers.finite_steps.StepError: iteration 0: the gradients are NaN or infinite: take a lower \
learning_rate, or amp=False where it is on
    >>> weight.item()
    1.0
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self._engine: Any = None
        self._skipped: Tensor | None = None  # on the optimiser's device: whether a step of the run was

    def attach(self, engine: Engine) -> None:
        """Register on a trainer, and on the optimiser's steps."""
        self._engine = engine
        self.optimizer.register_step_pre_hook(self)
        self.optimizer.register_step_post_hook(_forget_norm)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._check_epoch)

    def __call__(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        """Check the gradients; torch calls this at the start of ``optimizer.step()``."""
        if getattr(optimizer, "grad_scale", None) is not None:
            return  # a scaler has looked at them
        weights = (weight for group in optimizer.param_groups for weight in group["params"])
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        norm = optimizer.gradient_norm = nn.utils.get_total_norm(gradients)  # type: ignore[attr-defined]
        if not (_is_asynchronous(norm.device) and optimizer.defaults.get("fused")):
            if not torch.isfinite(norm):
                raise self._fault("the gradients are NaN or infinite")
            return
        odd = (~torch.isfinite(norm)).float()
        optimizer.found_inf = odd  # type: ignore[attr-defined]  # a fused step that finds 1 here does nothing
        # In one tensor for the whole run, which a recorded iteration writes to as well.
        if self._skipped is None:
            self._skipped = torch.zeros_like(odd)
        torch.maximum(self._skipped, odd, out=self._skipped)

    def within_epoch(self, engine: Any) -> dict[str, Any]:
        """Nothing; what would end the epoch is raised, before a checkpoint within it is written."""
        self._check_epoch(engine)
        return {}

    def continue_epoch(self, state: Mapping[str, Any]) -> None:
        """Nothing to take back."""

    def _check_epoch(self, engine: Any) -> None:
        if self._skipped is not None and bool(self._skipped):
            self._skipped.zero_()  # a run that is started again begins anew
            raise self._fault("the gradients of one of the epoch's iterations were NaN or infinite", of_batch=False)
        scaler = getattr(engine, "scaler", None)
        if scaler is not None and scaler.is_enabled() and scaler.get_scale() < _SMALLEST_SCALE:
            what = f"the gradients stay infinite in float16 with the loss scaled by {scaler.get_scale():g}"
            raise self._fault(what, of_batch=False)

    def _fault(self, what: str, *, of_batch: bool = True) -> StepError:
        state = self._engine.state
        parts = [f"epoch {state.epoch}, iteration {state.iteration}" if state.epoch else f"iteration {state.iteration}"]
        if (stage := getattr(state, "stage", None)) is not None:
            parts.append(f"stage {state.stage_number} of {state.num_stages}, patch {format_size(stage.patch_size)}")
        if of_batch and (cases := cases_of_batch(self._engine)):
            parts.append(f"cases {', '.join(cases)}")
        run = getattr(state, "resumable_run", None)
        ends = []
        if of_batch and run is not None and (written := _write_batch(state.batch, run.path.parent)):
            ends.append(f"the batch is kept as {written}")
        if run is not None and run.path.exists():
            ends.append(f"the last good state is {run.path}")
        remedy = "take a lower learning_rate, or amp=False where it is on"
        return StepError(f"{', '.join(parts)}: {what}: {'; '.join([remedy, *ends])}")


def _is_asynchronous(device: torch.device) -> bool:
    """Whether to read a number of a tensor on this device means to wait for it."""
    return device.type != "cpu"


def _forget_norm(optimizer: Any, args: Any, kwargs: Any) -> None:
    """Leave no step's norm to the next one."""
    vars(optimizer).pop("gradient_norm", None)


def cases_of_batch(engine: Any) -> list[str]:
    """Return the files of the cases that a trainer's batch comes from, where its loader tells; else nothing.

    Args:
        engine: a trainer within an iteration.
    """
    loader, state = getattr(engine.state, "dataloader", None), engine.state
    if not isinstance(loader, SeededDataLoader):
        return []
    draws = loader.sampler.draws_of((state.iteration - 1) % (state.epoch_length or 1) + 1)
    items = getattr(loader.dataset.dataset, "data", None)
    return [_name_of(None if items is None else items[draw.index]) or f"number {draw.index}" for draw in draws]


def _name_of(item: Any) -> str | None:
    """The first file of an item; None where it holds its image itself."""
    image = item.get("image") if isinstance(item, Mapping) else item
    first = image[0] if isinstance(image, list | tuple) else image
    path = getattr(first, "path", first)
    return str(path) if isinstance(path, str | Path) else None


def _write_batch(batch: Any, folder: Path) -> Path | None:
    """Write the tensors of a batch; None where it has none, or the disk does not take them."""
    if not isinstance(batch, Mapping):
        return None
    tensors = {key: torch.as_tensor(value).cpu() for key, value in batch.items() if isinstance(value, Tensor)}
    path = folder / _BATCH_FILE
    try:
        save_whole(tensors, path)
    except OSError:
        return None
    return path if tensors else None
