"""How the processes of a distributed evaluation come together."""

from __future__ import annotations

import atexit
import datetime
import os
import sys
from collections.abc import Sequence
from typing import Any

import ignite.distributed as idist
import torch

__all__ = ["join"]


def join(cases: Sequence[Any], *, timeout: float) -> None:
    """Connect the processes that `torchrun` or `srun` started; one that there is no case for ends.

    Args:
        cases: that are divided among the processes.
        timeout: seconds that a process waits for another.
    """
    if int(os.environ.get("RANK", os.environ.get("SLURM_PROCID", 0))) >= len(cases):
        sys.exit()
    for name in {"WORLD_SIZE", "SLURM_NTASKS"} & set(os.environ):
        os.environ[name] = str(min(int(os.environ[name]), len(cases)))
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    idist.initialize(backend, timeout=datetime.timedelta(seconds=timeout))
    atexit.register(idist.finalize)  # after an error; the config's own finalize comes before
