"""Reads files of weights, torch's and safetensors, once they have proved to be as they were written."""

from __future__ import annotations

import json
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch

from .safetensors_header import SUFFIX, metadata_of, read_header
from .sealed_files import CHANGED, OURS, check_seal, is_sealed
from .torch_internals import set_module_versions

__all__ = ["MODULE_VERSIONS", "OTHER_NAMES", "check_safetensors", "read_weights"]

MODULE_VERSIONS = f"{OURS}module_versions"
"""Name of the text of a safetensors file that holds what torch saves beside the tensors of a state_dict, as JSON."""

OTHER_NAMES = f"{OURS}other_names"
"""Name of the text that holds further names of weights, each with the name that stands in the file, as JSON."""


def read_weights(path: str | os.PathLike[str], *, map_location: Any = "cpu") -> Any:
    """The tensors and plain values of a file of weights: ``.safetensors`` by that suffix, else torch's.

    Args:
        path: of the file.
        map_location: device of the tensors.

    Raises:
        ValueError: the file is damaged, or the package safetensors is missing; in words that stand behind its name.
        OSError: it can't be read.
        Exception: whatever ``torch.load`` raises of a file that holds something else.
    """
    if Path(path).suffix == SUFFIX:
        return _read_safetensors(path, map_location)
    check_seal(path)
    return torch.load(path, map_location=map_location, weights_only=True)


def check_safetensors(path: str | os.PathLike[str]) -> dict[str, str]:
    """Check that a safetensors file is whole, and as it was written where we wrote it; return the texts of its header.

    Raises:
        ValueError: it isn't, in words that stand behind the file's name.
        OSError: it can't be read.
    """
    with Path(path).open("rb") as stream:
        texts = metadata_of(read_header(stream))
        if any(name.startswith(OURS) for name in texts) and not is_sealed(stream):
            raise ValueError(CHANGED)
    return texts


def _read_safetensors(path: str | os.PathLike[str], map_location: Any) -> OrderedDict[str, torch.Tensor]:
    texts = check_safetensors(path)
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError:
        raise ValueError("it needs the package safetensors: pip install safetensors") from None
    try:
        weights = OrderedDict(load_file(path, device=str(map_location)))
    except SafetensorError as error:
        raise ValueError(f"its tensors can't be read ({error})") from None
    if OTHER_NAMES in texts:
        weights.update({name: weights[stored] for name, stored in json.loads(texts[OTHER_NAMES]).items()})
    if MODULE_VERSIONS in texts:
        set_module_versions(weights, json.loads(texts[MODULE_VERSIONS]))
    return weights
