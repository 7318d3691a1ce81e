"""What a GPU would be waited for: reading a tensor's numbers, or as many of its elements as its numbers say."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_WAITING = (
    "_local_scalar_dense",  # item(), float(), int(), bool(), tolist() and if of a tensor
    "nonzero",
    "masked_select",
    "unique",
    "_unique2",
    "equal",
    "is_nonzero",
)


class _NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in _WAITING or (name in ("index", "index_put_") and _has_mask(args[1])):
            raise AssertionError(f"{name} waits for a GPU")
        return func(*args, **(kwargs or {}))


def _has_mask(indices):
    return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in indices)


@contextmanager
def no_waiting():
    """Within it each operation on tensors that halts a GPU is an AssertionError."""
    with _NoWaiting():
        yield
