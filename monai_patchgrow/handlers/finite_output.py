"""The Ignite handler, and the function, that end an evaluation whose network puts out what is no number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine
from monai.engines import IterationEvents
from monai.utils.enums import CommonKeys as Keys
from torch import Tensor, nn

from monai_patchgrow.data.errors import DataError

__all__ = ["FiniteOutput", "OutputError", "check_outputs", "count_odd_weights"]


class OutputError(DataError):
    """The output of a network that isn't finite.

    Args:
        reason: what is wrong, and what would work.
        images: by the numbers of the batch's images whose output it is, what each is called.
    """

    def __init__(self, reason: str, *, images: Mapping[int, str]) -> None:
        super().__init__(f"{', '.join(images.values())}: {reason}")
        self.reason, self.images = reason, dict(images)


class FiniteOutput:
    """Ends the run of a MONAI evaluator whose network puts out NaN or infinite values, which no metric would notice.

    The largest of some NaN, for instance, is class 0.

    Args:
        network: whose weights are looked at for a reason.

    Raises:
        OutputError: in an iteration.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def attach(self, engine: Engine) -> None:
        """Register on a MONAI evaluator, anywhere among its handlers: its metrics come later in the iteration."""
        engine.add_event_handler(IterationEvents.FORWARD_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        """Check the output of the iteration."""
        check_outputs(engine.state.output[Keys.PRED], network=self.network, batch=engine.state.batch)


def check_outputs(pred: Tensor, *, network: nn.Module, batch: Any = None) -> None:
    """Check that a network's output is finite.

    Args:
        pred: ``(B, ...)``.
        network: whose weights are looked at for a reason.
        batch: a dictionary, perhaps with the images' "name", or with tile sources that have a `path` as its "image".

    Raises:
        OutputError: it isn't; names the images.

    >>> import torch
    >>> check_outputs(torch.tensor([[0.5, float("nan")]]), network=nn.Linear(1, 2), batch={"name": ["a"]})
    Traceback (most recent call last):
    monai_patchgrow.handlers.finite_output.OutputError: a: the network's output is NaN or infinite, though its weights \
are finite: take amp=False, or images of smaller values
    """
    low, high = pred.detach().flatten(1).aminmax(dim=1)  # NaN where there is one; isfinite would copy the whole
    odd = ~(low.isfinite() & high.isfinite())
    if not odd.any():
        return
    images = {number: _name_of(batch, number) for number in odd.nonzero()[:, 0].tolist()}
    if count := count_odd_weights(network.state_dict()):
        why = f": {count} of its weights are: take a lower learning_rate, or max_gradient_norm, and train anew"
    else:
        why = ", though its weights are finite: take amp=False, or images of smaller values"
    raise OutputError(f"the network's output is NaN or infinite{why}", images=images)


def count_odd_weights(weights: Mapping[str, Any]) -> int:
    """How many weights of a ``state_dict``, running statistics among them, are NaN or infinite.

    >>> count_odd_weights(nn.BatchNorm1d(3).state_dict())
    0
    """
    floats = (values for values in weights.values() if isinstance(values, Tensor))
    return sum(int((~values.isfinite()).sum()) for values in floats if values.is_floating_point())


def _name_of(batch: Any, number: int) -> str:
    """The file of an image of a batch, else its name, else its number."""
    parts = batch if isinstance(batch, Mapping) else {}
    image, names = parts.get(Keys.IMAGE), parts.get("name")
    path = getattr(image[number], "path", None) if isinstance(image, list | tuple) else None
    if path is not None:
        return str(path)
    return f"image {number} of the batch" if names is None else str(names[number])
