"""How many CPUs a process may use."""

from __future__ import annotations

import os
from pathlib import Path

from .control_groups import groups_of_process

__all__ = ["usable_cpus"]


def usable_cpus(*, processes: int = 1) -> int:
    """Return the CPUs that a process may use, at least 1.

    These are the CPUs that it is bound to, within what a container (a quota of cgroup v2) or a SLURM job may take on
    this machine. Under srun with ``--cpus-per-task`` each process has its own; else the processes share them.

    Args:
        processes: of the run on this machine.
    """
    is_bound = hasattr(os, "sched_getaffinity")  # not on macOS
    limits: list[float] = [len(os.sched_getaffinity(0)) if is_bound else os.cpu_count() or 1]
    limits += _quotas(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    if "SLURM_CPUS_ON_NODE" in os.environ:
        limits.append(int(os.environ["SLURM_CPUS_ON_NODE"]))
    per_task = int(os.environ.get("SLURM_CPUS_PER_TASK", 0))
    if per_task and "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun's processes share their task's CPUs
        return max(1, int(min([*limits, per_task])))
    return max(1, int(min(limits)) // processes)


def _quotas(membership: Path, root: Path) -> list[float]:
    """CPUs' worth of time that each group gives which the process is in; groups without a quota are left out."""
    quotas = []
    for folder in groups_of_process(membership, root):
        try:
            quota, period = (folder / "cpu.max").read_text().split()
        except OSError:  # the root of all groups has no quota
            continue
        if quota != "max":
            quotas.append(int(quota) / int(period))
    return quotas
