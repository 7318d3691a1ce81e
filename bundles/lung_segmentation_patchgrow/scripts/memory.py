"""How a prediction does with little of a GPU's memory."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

__all__ = ["OnCpuWhereFull", "is_finite", "is_out_of_memory", "saying_out_of_memory"]

_OUT_OF_MEMORY = runpy.run_path(str(Path(__file__).with_name("carried.py")))["carried"]("out_of_memory")
is_out_of_memory, saying_out_of_memory = _OUT_OF_MEMORY.is_out_of_memory, _OUT_OF_MEMORY.saying_out_of_memory


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
