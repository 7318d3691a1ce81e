"""Reads nnU-Net's checkpoints as tensors and plain values: nothing in them is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_patchgrow.sealed_files import check_seal

__all__ = ["NnunetCheckpoint", "read_checkpoint"]

_WEIGHTS = "network_weights"
_WRAPPERS = ("module.", "_orig_mod.")  # of networks that were trained on several GPUs, or compiled
# nnU-Net logs numbers of NumPy; NumPy 1 and 2 call what makes one of its bytes by two names.
_SCALAR = np.float64(0).__reduce__()[0]
_KINDS = {type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64, np.int32, np.int64, np.bool_)}
_SAFE: list[Any] = [
    *((_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *(np.dtype, *_KINDS),
]


@dataclass(frozen=True)
class NnunetCheckpoint:
    """What a checkpoint of nnU-Net v2 says, as far as a bundle has use for it.

    weights: by nnU-Net's names, spatial axes in nnU-Net's order (z, y, x).
    trainer: name of the class.
    configuration: of the plan; None where the file doesn't say it.
    mirror_axes: that predictions may be mirrored along, in nnU-Net's order.
    """

    weights: Mapping[str, Tensor]
    trainer: str
    configuration: str | None
    mirror_axes: tuple[int, ...]


def read_checkpoint(path: Path) -> NnunetCheckpoint | None:
    """Read a checkpoint of nnU-Net v2; None where the file is readable and none of it.

    Args:
        path: as ``fold_0/checkpoint_final.pth``.

    Raises:
        ValueError: the file holds more than tensors, numbers and text, or is damaged.
        OSError: it can't be read.
    """
    try:
        check_seal(path)
        with torch.serialization.safe_globals(_SAFE):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        why = str(error) if type(error) is ValueError else "it holds more than tensors, numbers and text, or is damaged"
        raise ValueError(f"{path} can't be read: {why}") from None
    if not isinstance(content, Mapping) or not isinstance(content.get(_WEIGHTS), Mapping):
        return None
    weights = {_plain_name(name): weight for name, weight in content[_WEIGHTS].items() if isinstance(weight, Tensor)}
    arguments = content.get("init_args")
    axes = content.get("inference_allowed_mirroring_axes")
    return NnunetCheckpoint(
        weights=weights,
        trainer=str(content.get("trainer_name", "")),
        configuration=arguments.get("configuration") if isinstance(arguments, Mapping) else None,
        mirror_axes=tuple(int(axis) for axis in axes or ()),
    )


def _plain_name(name: str) -> str:
    while prefix := next(filter(name.startswith, _WRAPPERS), None):
        name = name.removeprefix(prefix)
    return name
