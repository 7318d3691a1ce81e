"""A GPU for tests on a CPU: tensors that are said to lie on it, which none of the CPU may be mixed with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

__all__ = ["GPU", "TwoDevices"]

GPU = torch.device("cuda", 0)


class TwoDevices(TorchFunctionMode):
    """Refuses operations on tensors of both devices, as torch does, and moves tensors where ``to`` and ``cpu`` say."""

    def __init__(self) -> None:
        super().__init__()
        self._on_gpu: dict[int, Tensor] = {}  # by address; kept, so that no address is used again

    def on_gpu(self, tensor: Tensor) -> Tensor:
        """Say that a tensor, and all views of it, lie on the GPU."""
        self._on_gpu[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func == Tensor.device.__get__:
            return GPU if self._is_on_gpu(args[0]) else func(*args)
        if func is Tensor.cpu:
            return args[0].clone()
        if func is Tensor.to:
            return self._moved(args, kwargs)
        if kwargs.get("device") == GPU:
            return self.on_gpu(func(*args, **{**kwargs, "device": None}))
        tensors = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if len({self._is_on_gpu(one) for one in tensors if one.dim()}) == 2:
            raise RuntimeError("Expected all tensors to be on the same device, but found cuda:0 and cpu")
        result = func(*args, **kwargs)
        if any(map(self._is_on_gpu, tensors)):
            for one in tree_leaves(result):
                if isinstance(one, Tensor):
                    self.on_gpu(one)
        return result

    def _is_on_gpu(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage().data_ptr() in self._on_gpu

    def _moved(self, args: Any, kwargs: Any) -> Tensor:
        """A copy on the device that the arguments of ``Tensor.to`` name, or on the tensor's own."""
        places = [one for one in (*args[1:], *kwargs.values()) if isinstance(one, torch.device | str | Tensor)]
        dtypes = [one for one in (*args[1:], *kwargs.values()) if isinstance(one, torch.dtype)]
        wanted = [GPU if isinstance(one, Tensor) and self._is_on_gpu(one) else one for one in places]
        is_gpu = self._is_on_gpu(args[0]) if not wanted else wanted[0] == GPU
        copy = args[0].clone().to(*dtypes) if dtypes else args[0].clone()
        return self.on_gpu(copy) if is_gpu else copy
