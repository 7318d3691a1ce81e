"""What is private in torch and used here, under public names; checked against torch 2.13."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.batchnorm import _NormBase as Norm
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.dropout import _DropoutNd as Dropout
from torch.nn.modules.instancenorm import _InstanceNorm as InstanceNorm
from torch.nn.modules.loss import _Loss as Loss
from torch.utils.data import DataLoader

__all__ = [
    "BatchNorm",
    "Convolution",
    "Dropout",
    "InstanceNorm",
    "Loss",
    "Norm",
    "check_input_dim",
    "compiler",
    "end_persistent_workers",
    "module_versions",
    "set_module_versions",
    "takes_cudnn",
    "workers_of",
]


def check_input_dim(norm: InstanceNorm, x: Tensor) -> None:
    """Raise a ValueError where an instance norm isn't for inputs of as many axes as `x` has."""
    norm._check_input_dim(x)


def compiler() -> tuple[Any, Any]:
    """What ``torch.compile`` tells of its starts and ends, and its settings.

    They are imported on call: that takes half a second, and few compile.
    """
    import torch._dynamo.callback

    return torch._dynamo.callback.callback_handler, torch._dynamo.config


def end_persistent_workers(loader: DataLoader) -> None:
    """End the worker processes that a loader keeps between epochs; its next iterator starts new ones."""
    if getattr(loader, "persistent_workers", False):
        loader._iterator = None


def takes_cudnn(image: Tensor, kernel: Tensor) -> bool:
    """Whether torch convolves an image (B, C, X, Y, Z) by cuDNN; nothing is computed."""
    places: Any = (
        [1, 1, 1],
        [1, 1, 1],
        [1, 1, 1],
        False,
        [0, 0, 0],
    )  # stride, padding, dilation, transposed, more padding
    return torch._C._select_conv_backend(image, kernel, None, *places, 1).name == "Cudnn"


def module_versions(weights: Mapping[str, Any]) -> dict[str, Any]:
    """What a ``state_dict()`` tells of its modules beside the tensors: by which version of their class they saved."""
    return dict(getattr(weights, "_metadata", {}))


def set_module_versions(weights: Mapping[str, Any], versions: Mapping[str, Any]) -> None:
    """Let weights tell `module_versions` as those did that they were read from."""
    weights._metadata = versions  # type: ignore[attr-defined]


def workers_of(batches: Iterator[Any]) -> list[BaseProcess]:
    """The processes that make the batches of a loader's iterator."""
    return list(getattr(batches, "_workers", []))
