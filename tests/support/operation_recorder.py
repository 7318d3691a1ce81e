"""What a CUDA graph does, on a CPU: records the operations of some work, and repeats them on the same memory."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from tests.support.waiting import no_waiting


class _Operations(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def repeat(self):
        for func, args, kwargs, result in self.calls:
            known = {_memory(one) for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                # A view, and what is changed in place, lie in memory that has its numbers already.
                if isinstance(old, torch.Tensor) and _memory(old) not in known:
                    old.copy_(new)


def _memory(tensor):
    return tensor.untyped_storage().data_ptr()


class OperationRecorder:
    """Records on a CPU; `state` are the tensors that work changes, which a recording leaves as they are."""

    def __init__(self, *state):
        self.state = state
        self.recorded = self.released = 0

    def run(self, work):
        return work()

    def record(self, work):
        before = [[one.clone() for one in tensors()] for tensors in self.state]
        with no_waiting(), _Operations() as operations:
            work()
        with torch.no_grad():
            for tensors, old in zip(self.state, before, strict=True):
                for one, value in zip(tensors(), old, strict=True):
                    one.copy_(value)
        self.recorded += 1
        return operations.repeat

    def release(self):
        self.released += 1
