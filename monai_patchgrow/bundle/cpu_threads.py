"""How many threads torch gets in the process of a run on a GPU, whose CPUs its loader workers need."""

from __future__ import annotations

import os
from typing import Any

import ignite.distributed as idist
import torch

from monai_patchgrow.data.loading.usable_cpus import usable_cpus

__all__ = ["leave_cpus_to_workers"]

_CHOSEN = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def leave_cpus_to_workers(engine: Any) -> None:
    """Let torch use no more threads in this process than the loader's workers leave CPUs, at least 1.

    Nothing changes on a CPU, where the network computes in these threads and its results depend on their number, nor
    without workers, nor where `OMP_NUM_THREADS` or `MKL_NUM_THREADS` says how many there are.

    Args:
        engine: MONAI's trainer or evaluator, before it runs.
    """
    workers = getattr(engine.data_loader, "num_workers", 0)
    if engine.state.device.type != "cuda" or not workers or any(name in os.environ for name in _CHOSEN):
        return
    left = usable_cpus(processes=idist.get_nproc_per_node()) - workers
    torch.set_num_threads(max(1, min(torch.get_num_threads(), left)))
