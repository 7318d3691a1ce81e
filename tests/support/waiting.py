"""What a GPU would be waited for: reading a tensor's numbers, or as many of its elements as its numbers say."""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITING = (
    "_local_scalar_dense",  # item(), float(), int(), bool(), tolist() and if of a tensor
    "nonzero",
    "masked_select",
    "unique",
    "_unique2",
    "equal",
    "is_nonzero",
)
_COPYING = "lift_fresh"  # a tensor of Python's numbers, in memory that is not pinned


class NoWaiting(TorchDispatchMode):
    """An operation on tensors that would halt a GPU is an AssertionError.

    Args:
        on_gpu: what is said to lie on the GPU, with all that is computed from it; None: all tensors.
    """

    def __init__(self, on_gpu: Sequence[torch.Tensor] | None = None) -> None:
        super().__init__()
        self._all = on_gpu is None
        self._on_gpu = {_memory(one): one for one in on_gpu or []}
        self._made_of_numbers = {}

    def put_on_gpu(self, tensor: torch.Tensor) -> None:
        self._on_gpu[_memory(tensor)] = tensor

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        places = {_memory(one) for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        is_on_gpu = self._all or not places.isdisjoint(self._on_gpu)
        if is_on_gpu and (name in _WAITING or (name in ("index", "index_put_") and _has_mask(args[1]))):
            raise AssertionError(f"{name} waits for a GPU")
        result = func(*args, **(kwargs or {}))
        if name == _COPYING:
            self._made_of_numbers[_memory(result)] = result
        if is_on_gpu and not (places - self._on_gpu.keys()).isdisjoint(self._made_of_numbers):
            raise AssertionError(f"{name} needs a copy from memory that is not pinned")
        if is_on_gpu and not self._all:
            for one in tree_leaves(result):
                if isinstance(one, torch.Tensor):
                    self.put_on_gpu(one)
        return result


def _memory(tensor):
    return tensor.untyped_storage().data_ptr()


def _has_mask(indices):
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


@contextmanager
def no_waiting():
    """Within it each operation that halts a GPU is an AssertionError, whatever the tensors."""
    with NoWaiting():
        yield
