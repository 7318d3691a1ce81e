"""How much memory a process may still take."""

from __future__ import annotations

import os
import re
from pathlib import Path

from monai_patchgrow.data.loading.control_groups import groups_of_process

__all__ = ["available_bytes"]

_GROUP_FILES = ("memory.max", "memory.current", "memory.stat")


def available_bytes() -> float:
    """Return the memory that is available now, bytes: what Linux has, within what a container or a SLURM job may
    take (cgroup v2); elsewhere half of all that there is.
    """
    try:
        free = 1024 * int(re.findall(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[0])
    except (OSError, IndexError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2
    return min([free, *_left_in_cgroups(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))])


def _left_in_cgroups(membership: Path, root: Path) -> list[int]:
    """What is left of the limit of each group that the process is in, bytes; groups without a limit are left out."""
    left = []
    for folder in groups_of_process(membership, root):
        try:
            limit, used, details = ((folder / name).read_text().strip() for name in _GROUP_FILES)
        except OSError:  # the root of all groups has no limit
            continue
        if limit != "max":
            reclaimable = re.findall(r"^inactive_file (\d+)$", details, re.MULTILINE)  # of the page cache
            left.append(max(0, int(limit) - int(used) + sum(map(int, reclaimable))))
    return left
