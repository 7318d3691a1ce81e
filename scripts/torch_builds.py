"""Prints the builds of torch that suit the machine's NVIDIA cards, the one to try first on top.

    nvidia-smi --query-gpu=driver_version,compute_cap --format=csv,noheader | python scripts/torch_builds.py 2.13.0

Each line has a version of torch and the index that has it; "default" is the index that pip is set to. It needs the
standard library alone: it runs before anything is installed.
"""

import re
import sys
from typing import NamedTuple

NEWEST = "the version that was asked for"


class Build(NamedTuple):
    """A build of torch, and what it runs on: the least driver, and the compute capabilities that it has kernels for."""

    version: str
    index: str
    driver: int
    oldest: float
    newest: float


# PyTorch's release matrix: CUDA 12.8 ends with torch 2.11, and is the last before CUDA 13 with kernels for Blackwell;
# CUDA 12.6 alone has kernels for what is older than Turing (7.5), but its cuDNN 9.10 is too old for 3-D convolutions in
# half precision. NVIDIA's table of compatibility: CUDA 13 needs driver 580, CUDA 12 needs driver 525.
BUILDS = (
    Build(NEWEST, "default", driver=580, oldest=7.5, newest=99),
    Build("2.11.0", "https://download.pytorch.org/whl/cu128", driver=525, oldest=7.5, newest=12),
    Build(NEWEST, "https://download.pytorch.org/whl/cu126", driver=525, oldest=5.0, newest=9),
)


def builds_for(cards: str, *, version: str) -> list[tuple[str, str]]:
    """Return version and index of each build that suits all cards, the best first.

    Args:
        cards: nvidia-smi's table, a line for each card: the driver's version, and the compute capability, which old
            drivers don't tell.
        version: of torch, where the index has it.

    >>> builds_for("535.183.01, 8.6", version="2.13.0")[0]
    ('2.11.0', 'https://download.pytorch.org/whl/cu128')
    """
    found = [re.match(r"\s*(\d+)\.[\d.]+\s*(?:,\s*(\d+)\.(\d+))?", line) for line in cards.splitlines()]
    told = [one for one in found if one]
    if not told:
        return []
    driver = min(int(one[1]) for one in told)
    capabilities = [float(f"{one[2]}.{one[3]}") for one in told if one[2]]
    return [
        (version if build.version is NEWEST else build.version, build.index)
        for build in BUILDS
        if driver >= build.driver and all(build.oldest <= one < build.newest + 1 for one in capabilities)
    ]


if __name__ == "__main__":
    for build in builds_for(sys.stdin.read(), version=sys.argv[1]):
        print(*build)
