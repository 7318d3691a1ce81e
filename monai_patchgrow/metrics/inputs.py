"""What metrics of whole images read from an engine's output: predictions and labels as batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["image_scores"]


def image_scores(
    decode: Callable[[Tensor], Tensor] = lambda logits: logits, *, dtype: torch.dtype | None = None
) -> Callable[[Any], tuple[Tensor, Tensor]]:
    """Make the ``output_transform`` of an Ignite metric on a MONAI engine, decollated or not.

    Args:
        decode: of the logits ``(B, K)``, such as ``ImageTarget.one_hot`` for ``ignite.metrics.Accuracy``.
        dtype: of both, for metrics of numbers such as ``ignite.metrics.MeanAbsoluteError``.

    >>> output = [{"pred": torch.tensor([0.1, 0.9]), "label": torch.tensor(1)}]
    >>> image_scores(lambda logits: logits.argmax(-1))(output)
    (tensor([1]), tensor([1]))
    """

    def transform(output: Any) -> tuple[Tensor, Tensor]:
        if isinstance(output, Mapping):
            pred, label = output["pred"], output["label"]
        else:
            pred, label = (torch.stack([torch.as_tensor(item[key]) for item in output]) for key in ("pred", "label"))
        pred = decode(pred.as_subclass(Tensor))
        label = label.as_subclass(Tensor).to(pred.device).flatten()  # decollation makes labels numbers
        return (pred, label) if dtype is None else (pred.to(dtype), label.to(dtype))

    return transform
