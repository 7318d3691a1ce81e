"""Networks that predict together: one per weight file, each mirrored on request."""

from __future__ import annotations

import copy
import itertools
import math
import os
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

__all__ = ["Ensemble", "Mirrored", "assemble", "load_weights"]

_SCRIPTS = Path(__file__).parent
stop = runpy.run_path(str(_SCRIPTS / "command.py"))["stop"]
carried = runpy.run_path(str(_SCRIPTS / "carried.py"))["carried"]


class Ensemble(torch.nn.Module):
    """Networks that vote: logits of the mean of their softmax, or sigmoid.

    Args:
        members: networks (B, C, *spatial) -> logits (B, K, *spatial).
        has_regions: each logit has a sigmoid of its own.
    """

    def __init__(self, members: Sequence[torch.nn.Module], *, has_regions: bool = False) -> None:
        super().__init__()
        self.members = torch.nn.ModuleList(members)
        self.has_regions = has_regions

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Log of the mean softmax, or logit of the mean sigmoid, (B, K, *spatial); a single member's plain logits."""
        if len(self.members) == 1:
            return self.members[0](images)
        total = self._votes(self.members[0](images).float())
        for member in self.members[1:]:
            total = torch.logaddexp(total, self._votes(member(images).float()))
        return total[0] - total[1] if self.has_regions else total - math.log(len(self.members))

    def _votes(self, logits: torch.Tensor) -> torch.Tensor:
        """Logs of the probabilities; of regions for and against each, (2, B, K, *spatial)."""
        if self.has_regions:
            return torch.nn.functional.logsigmoid(torch.stack([logits, -logits]))
        return torch.log_softmax(logits, 1)


class Mirrored(torch.nn.Module):
    """A network's mean logits over all mirror images of its input, each mirrored back.

    Args:
        network: (B, C, *spatial) -> logits (B, K, *spatial).
        axes: spatial ones to mirror, from 0; n of them cost 2^n times the time.
    """

    def __init__(self, network: torch.nn.Module, axes: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        dims = [axis + 2 for axis in axes]
        self.flips = [flip for size in range(len(dims) + 1) for flip in itertools.combinations(dims, size)]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Mean logits, (B, K, *spatial), summed in float32: a sum of bfloat16 would change labels."""
        total = self.network(images).float()
        for flip in self.flips[1:]:
            total = total + self.network(images.flip(flip)).flip(flip)
        return total / len(self.flips)


def assemble(
    network: torch.nn.Module,
    *,
    ckpt_path: str | Sequence[str],
    mirror_axes: Sequence[int] = (),
    has_regions: bool = False,
) -> torch.nn.Module:
    """What predicts: the network itself, mirrored on request, or one copy of it per weight file.

    Args:
        network: it gets no weights here where `ckpt_path` is a single path: see `load_weights`.
        ckpt_path: one weight file, or a list of several, which are loaded.
        mirror_axes: as `Mirrored` takes them.
        has_regions: as `Ensemble` takes it.
    """
    _check_axes(network, mirror_axes)
    # A patch as small as the total stride leaves the bottleneck a single voxel, which torch's norm refuses.
    carried("single_voxel_norm").allow_single_voxel(network)
    if isinstance(ckpt_path, str | os.PathLike):
        return Mirrored(network, mirror_axes) if mirror_axes else network
    members = [copy.deepcopy(network) for _ in ckpt_path]
    for member, path in zip(members, ckpt_path, strict=True):
        load_weights(member, ckpt_path=path)
    voters = [Mirrored(member, mirror_axes) if mirror_axes else member for member in members]
    return Ensemble(voters, has_regions=has_regions)


def _check_axes(network: torch.nn.Module, mirror_axes: Any) -> None:
    sizes = [module.kernel_size for module in network.modules() if isinstance(module, torch.nn.modules.conv._ConvNd)]
    axes = range(len(sizes[0]) if sizes else 3)
    is_list = isinstance(mirror_axes, list | tuple)
    if not is_list or len(set(mirror_axes)) < len(mirror_axes) or not all(axis in axes for axis in mirror_axes):
        stop(f"mirror_axes must be a list of axes out of {list(axes)}, each once, got {mirror_axes}")


def load_weights(network: torch.nn.Module, *, ckpt_path: str | Sequence[str]) -> None:
    """Load a weight file into the network; a list of them is `assemble`'s task.

    Raises:
        ValueError: there is no such file, or it holds no weights of this network.
    """
    if not isinstance(ckpt_path, str | os.PathLike):
        return
    if not os.path.isfile(ckpt_path):
        stop(f"ckpt_path: no weights at {ckpt_path}: train the bundle first, or give the path of its model.pt")
    device = next(iter(network.state_dict().values())).device
    try:
        network.load_state_dict(carried("weight_files").read_weights(ckpt_path, map_location=device))
    except (ValueError, OSError) as error:
        stop(f"ckpt_path: {ckpt_path} can't be used: {error}")
    except Exception as error:  # of many kinds: unpickling, zip, key and shape errors
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        stop(f"ckpt_path: {ckpt_path} holds no weights of this network: {' '.join(lines[:2])[:300]}")
    if broken := [name for name, value in network.state_dict().items() if not torch.isfinite(value).all()]:
        stop(f"ckpt_path: {ckpt_path} holds weights that are no finite number, first in {broken[0]}")
