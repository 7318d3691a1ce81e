"""What counts as a GPU that is out of memory, and an inferer that adapts to all of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SlidingWindowInfererAdapt

__all__ = ["AdaptiveInferer", "is_out_of_memory", "saying_out_of_memory"]

_LIBRARIES = re.compile(  # of torch 2.13, cuDNN 9 and cuBLAS: RuntimeErrors, but no OutOfMemoryError
    r"(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED|CUDNN_STATUS_\w*ALLOCATION_FAILED|CUDA error: out of memory"
    r"|CUDNN_STATUS_NOT_SUPPORTED|CUDNN_STATUS_INTERNAL_ERROR\b"
    r"|unable to find an engine to execute this computation"
)


class AdaptiveInferer(SlidingWindowInfererAdapt):
    """MONAI's inferer, which stitches on the CPU where the GPU is full; it knows a library's failed allocation too."""

    def __call__(self, inputs: torch.Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """The output for images (B, C, *spatial), on their device or on the CPU."""
        return super().__call__(inputs, saying_out_of_memory(network), *args, **kwargs)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether a GPU's memory is behind an error, which MONAI wraps in one of its own.

    Libraries that torch calls tell it in texts of their own. cuDNN says also "not supported" where no algorithm's
    workspace fits, and "internal error" where its kernels don't.

    >>> is_out_of_memory(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"))
    True
    """
    while error is not None:
        is_library_s = isinstance(error, RuntimeError) and _LIBRARIES.search(str(error)) is not None
        if is_library_s or isinstance(error, torch.cuda.OutOfMemoryError):
            return True
        error = error.__cause__
    return False


def saying_out_of_memory(network: Callable[..., Any]) -> Callable[..., Any]:
    """A network whose every failure for want of memory is an OutOfMemoryError, by which MONAI's inferers know it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return network(*args, **kwargs)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise torch.cuda.OutOfMemoryError(str(error)) from error

    return call
