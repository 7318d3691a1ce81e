"""How a prediction does with little of a GPU's memory."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = ["OnCpuWhereFull", "is_finite", "is_out_of_memory", "saying_out_of_memory"]

_carried = runpy.run_path(str(Path(__file__).with_name("carried.py")))["carried"]


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether a GPU's memory is behind an error."""
    return _carried("out_of_memory").is_out_of_memory(error)


def saying_out_of_memory(network: Callable[..., Any]) -> Callable[..., Any]:
    """A network whose every failure for want of memory is an OutOfMemoryError."""
    return _carried("out_of_memory").saying_out_of_memory(network)


class OnCpuWhereFull:
    """A postprocessing that is done again on the CPU where the GPU's memory does not hold it.

    Args:
        postprocessing: of an item with "pred", the logits (K, *spatial), a tensor.
    """

    def __init__(self, postprocessing: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self.postprocessing = postprocessing

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """The item that the postprocessing makes."""
        try:
            return self.postprocessing(dict(data))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        # Out of the handler, since the error holds what was on the GPU.
        return self.postprocessing({**data, "pred": data["pred"].cpu()})


def is_finite(values: torch.Tensor) -> bool:
    """Whether all values are finite: no copy of them is made, as ``isfinite`` makes some."""
    low, high = values.as_subclass(torch.Tensor).aminmax()  # NaN where one of them is
    return bool(low.isfinite() & high.isfinite())
