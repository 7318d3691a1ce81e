"""Which control groups of Linux (cgroup v2) limit a process: those of a container, or of a SLURM job."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["groups_of_process"]


def groups_of_process(membership: Path, root: Path) -> list[Path]:
    """Return the folder of the group that a process is in, and those of all groups above it; none without cgroup v2.

    Args:
        membership: the process' file ``cgroup``, as /proc/self/cgroup.
        root: of all groups, as /sys/fs/cgroup.
    """
    try:
        inside = re.findall(r"^0::/(.*)$", membership.read_text(), re.MULTILINE)[0]
    except (OSError, IndexError):
        return []
    return [root / inside, *(root / inside).parents]
