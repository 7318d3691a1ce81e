"""How the processes of a distributed run decide together, without waiting for their GPUs."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

__all__ = ["RunAgreement"]


class RunAgreement:
    """Asks all ranks, over connections of its own between their CPUs; every rank has to make one, and to ask alike."""

    def __init__(self) -> None:
        is_alone = not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)
        self._group: Any = None if is_alone else dist.new_group(backend="gloo")

    def any(self, *wishes: bool) -> tuple[bool, ...]:
        """For each wish, whether any rank has it.

        >>> RunAgreement().any(True, False)
        (True, False)
        """
        if self._group is None:
            return wishes
        wanted = torch.tensor(wishes, dtype=torch.int8)
        dist.all_reduce(wanted, op=dist.ReduceOp.MAX, group=self._group)
        return tuple(wanted.bool().tolist())
