"""Quadratic weighted kappa as an Ignite metric: Ignite's own, for grades that are checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from ignite.metrics import CohenKappa
from torch import Tensor

__all__ = ["QuadraticKappa"]


class QuadraticKappa(CohenKappa):
    """Cohen's kappa with quadratic weights: agreement on grades beyond chance, 1 for full agreement.

    A key metric of a MONAI evaluator, over all ranks. It is Ignite's ``CohenKappa``, which leaves out targets outside
    of the grades without a word; here they are refused. Where predictions and targets are all one grade there is
    nothing beyond chance, and kappa is 0.

    Source: Cohen, Weighted kappa (Psychological Bulletin 70, 1968).

    Args:
        num_grades: K; grades count from 0.
        decode: makes grades of predictions, such as ``ordinal_grades``; None: predictions are grades, whole numbers
            of any type.
        output_transform: takes ``(prediction, target)`` out of the engine's output, each a batch or a list of items,
            as ``monai.handlers.from_engine(["pred", "label"])`` does.
        device: of the counts.

    Raises:
        ValueError: in an update: a grade that is no whole number of 0 to K - 1.

    >>> metric = QuadraticKappa(3)
    >>> metric.update((torch.tensor([0, 1, 2, 2]), torch.tensor([0, 1, 2, 1])))
    >>> round(metric.compute(), 3)
    0.8
    """

    def __init__(
        self,
        num_grades: int,
        *,
        decode: Callable[[Tensor], Tensor] | None = None,
        output_transform: Callable[[Any], Any] = lambda output: output,
        device: str | torch.device = "cpu",
    ) -> None:
        if num_grades < 2:
            raise ValueError(f"num_grades must be at least 2, got {num_grades}")
        self.num_grades = num_grades
        self.decode = decode
        super().__init__(output_transform, "quadratic", device=device, num_classes=num_grades)

    def update(self, output: tuple[Tensor, Tensor]) -> None:
        """Count the grades of a batch: predictions, as `decode` takes them, and targets ``(B,)`` or ``(B, 1)``."""
        prediction, target = (torch.as_tensor(part).detach() for part in output)
        predicted = self._parse_grades("prediction", prediction if self.decode is None else self.decode(prediction))
        true = self._parse_grades("target", target)
        if len(predicted) != len(true):
            raise ValueError(f"{len(predicted)} predicted grades don't go with {len(true)} targets")
        super().update((predicted, true))

    def _parse_grades(self, name: str, grades: Tensor) -> Tensor:
        flat = grades.flatten()
        whole = flat.long()
        if ((whole != flat) | (whole < 0) | (whole >= self.num_grades)).any():
            raise ValueError(
                f"QuadraticKappa takes grades of 0 to {self.num_grades - 1}, got the {name} {flat.tolist()}"
            )
        return whole
