"""The weights of a network as two files: torch's, and beside it one in safetensors' form, which holds no pickle."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from monai_patchgrow.data.whole_files import load_checkpoint, save_sealed
from monai_patchgrow.files import remove_whole, whole_file, whole_pair
from monai_patchgrow.handlers.finite_output import count_odd_weights
from monai_patchgrow.internals.torch import module_versions
from monai_patchgrow.safetensors_header import SUFFIX, sort_metadata
from monai_patchgrow.sealed_files import BLANK_SEAL, OURS, SEAL, digest_of, seal
from monai_patchgrow.weight_files import MODULE_VERSIONS, OTHER_NAMES, check_safetensors

__all__ = ["beside", "keep_in_step", "save_weights", "share_weights"]

_logger = logging.getLogger(__name__)

_FORMAT, _VERSION = f"{OURS}format", "1"
_PT_DIGEST = f"{OURS}sha256_of_pt"


def beside(path: Path) -> Path:
    """Where the safetensors file of a ``model.pt`` is.

    >>> beside(Path("models/model.pt")).name
    'model.safetensors'
    """
    return path.with_suffix(SUFFIX)


def save_weights(weights: Mapping[str, Any], path: Path) -> None:
    """Write weights to `path`, and the same to a safetensors file beside it; their folder is made where it is missing.

    The two never hold different weights, wherever the process is killed: see :func:`monai_patchgrow.files.whole_pair`.

    Args:
        weights: a ``state_dict``. Of one that safetensors can't hold `path` alone is written, with a warning.
        path: ``.../model.pt``.

    Raises:
        OSError: the disk is full, or read-only; what was there stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_pair(path, beside(path)) as (temporary, temporary_twin):
        save_sealed(weights, temporary)
        try:
            content = _as_safetensors(weights, temporary)
        except ValueError as error:
            _logger.warning("%s is not written: %s", beside(path), error)
        else:
            _write(content, temporary_twin)


def share_weights(path: str | Path) -> Path:
    """Write the weights of a ``model.pt`` to a safetensors file beside it, and return where that is.

    Raises:
        ValueError: they can't be read, are NaN or infinite, or something else than tensors.
        OSError: the file can't be written.

    >>> import tempfile
    >>> import torch
    >>> path = Path(tempfile.mkdtemp()) / "model.pt"
    >>> torch.save({"weight": torch.ones(2)}, path)
    >>> share_weights(path).name
    'model.safetensors'
    """
    path = Path(path)
    weights = load_checkpoint(path)
    if count := count_odd_weights(weights):
        raise ValueError(f"{count} weights in {path} are NaN or infinite: such are not shared")
    content = _as_safetensors(weights, path)
    with whole_file(beside(path)) as temporary:
        _write(content, temporary)
    return beside(path)


def keep_in_step(path: Path) -> None:
    """Write the safetensors file beside a ``model.pt`` where it is missing, damaged, or holds other weights.

    A run leaves such that was killed while it wrote, or that an earlier version of the package wrote or went on with.
    """
    if path.exists() and not _are_in_step(path):
        try:
            share_weights(path)
        except ValueError as error:
            remove_whole(beside(path))
            _logger.warning("%s is not written: %s", beside(path), error)


def _are_in_step(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return check_safetensors(beside(path)).get(_PT_DIGEST) == digest_of(stream)
    except (OSError, ValueError):
        return False


def _as_safetensors(weights: Mapping[str, Any], path: Path) -> bytes:
    """The content of a safetensors file of the weights that a file of torch's holds.

    Raises:
        ValueError: the format has no place for them.
    """
    if others := [name for name, value in weights.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"safetensors hold tensors alone, and {others[0]} is none")
    with path.open("rb") as stream:
        digest = digest_of(stream)
    tensors, names = _apart(weights)
    texts = {
        "format": "pt",
        _FORMAT: _VERSION,
        _PT_DIGEST: digest,
        MODULE_VERSIONS: json.dumps(module_versions(weights)),
        OTHER_NAMES: json.dumps(names),
        SEAL: BLANK_SEAL,
    }
    try:
        return safetensors.torch.save(tensors, texts)
    except KeyError as error:
        raise ValueError(f"safetensors hold no {error}") from None


def _apart(weights: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors on the CPU, each once and in memory of its own, as safetensors wants them; and their other names."""
    apart: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    first: dict[tuple[Any, ...], str] = {}
    for name, tensor in weights.items():
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if tensor.numel() and first.setdefault(place, name) != name:
            names[name] = first[place]
        else:
            apart[name] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return apart, names


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)
    sort_metadata(path)
    seal(path)
