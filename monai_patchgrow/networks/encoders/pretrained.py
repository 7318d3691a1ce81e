"""Pretrained weights from a local file."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from monai_patchgrow.internals.torch import Convolution
from monai_patchgrow.weight_files import read_weights

__all__ = ["PretrainedReport", "load_pretrained"]

logger = logging.getLogger(__name__)

_CONTAINERS = ("state_dict", "model_state_dict", "model", "network")
_PREFIXES = ("module.", "encoder.", "backbone.", "network.")
_COUNTER = "num_batches_tracked"  # of a batch norm; old files have none
_NAMED = 3  # weights that a message names


@dataclass(frozen=True)
class PretrainedReport:
    """What became of the weights of a file; names are the network's, those of `unexpected` the file's.

    Attributes:
        matched: taken over.
        adapted: the first convolution, where it was spread over another number of channels.
        mismatched: of another shape, and left as they were.
        missing: not in the file, and left as they were.
        unexpected: in the file, and not in the network.
    """

    matched: tuple[str, ...]
    adapted: tuple[str, ...]
    mismatched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"{len(self.matched)} weights taken over"]
        for name in ("adapted", "mismatched", "missing", "unexpected"):
            if weights := getattr(self, name):
                more = ", ..." if len(weights) > _NAMED else ""
                parts.append(f"{len(weights)} {name} ({', '.join(weights[:_NAMED])}{more})")
        return "; ".join(parts)


def load_pretrained(
    network: nn.Module, path: str | Path, *, skip_mismatched: bool | Sequence[str] = False
) -> PretrainedReport:
    """Load the weights of a file into a network, by their names.

    The file is a state_dict as ``torch.save`` writes it, also within a dictionary under "state_dict", "model" or
    the like, or a ``.safetensors`` file. Prefixes that the network doesn't have, such as "module." in MedicalNet's
    files, are left out. MONAI's ResNets have torchvision's names; MedicalNet's ResNet18 and 34 were made with
    ``shortcut_type="A"``.

    Where the first convolution differs in its number of input channels only, it gets the mean over the file's
    channels, scaled so that a grey image gives the same output.

    Args:
        network: changed in place.
        path: of the file.
        skip_mismatched: whether weights of another shape are left as they are instead of refused; or the beginnings
            of the names of which that may be so, such as a classifier's ``("fc.",)``.

    Returns:
        What matched; it is logged, too.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file without weights, without any weight of the network, or with weights of another shape.
    """
    weights = _read(Path(path))
    own = network.state_dict()
    named = {_without_prefix(name, own): weight for name, weight in weights.items()}
    known = {name: weight for name, weight in named.items() if name in own}
    adapted = _adapt_first_convolution(network, known)
    mismatched = [name for name, weight in known.items() if weight.shape != own[name].shape]
    matched = {name: weight for name, weight in known.items() if name not in mismatched}
    for name in mismatched:
        _check_skipped(name, skip_mismatched, f"{path}: {name}", known[name], own[name])
    if not matched:
        raise ValueError(
            f"{path}: none of its {len(weights)} weights fits {type(network).__name__}: its first is "
            f"{next(iter(weights))!r}, the network's {next(iter(own))!r}"
        )
    network.load_state_dict(matched, strict=False)
    missing = [name for name in own if name not in known]
    unexpected = [name for name in named if name not in own]
    report = PretrainedReport(*map(tuple, (matched, adapted, mismatched, missing, unexpected)))
    is_partial = any(not name.endswith(_COUNTER) for name in missing)
    logger.log(logging.WARNING if is_partial else logging.INFO, "%s: %s", path, report)
    return report


def _check_skipped(name: str, skip: bool | Sequence[str], where: str, found: Tensor, own: Tensor) -> None:
    if skip is True or (skip and name.startswith(tuple(skip))):
        return
    raise ValueError(
        f"{where} is {tuple(found.shape)} in the file and {tuple(own.shape)} in the network: make the network as the "
        "file's was, or let load_pretrained leave such weights as they are by skip_mismatched=True"
    )


def _read(path: Path) -> dict[str, Tensor]:
    """The weights by name, out of whatever dictionaries are around them."""
    if not path.is_file():
        raise FileNotFoundError(f"no file of weights at {path}")
    content = _read_file(path)
    while isinstance(content, Mapping) and (inner := next(filter(content.__contains__, _CONTAINERS), None)):
        content = content[inner]
    entries = content.items() if isinstance(content, Mapping) else ()
    weights = {name: weight for name, weight in entries if isinstance(weight, Tensor)}
    if not weights:
        raise ValueError(f"{path} holds no weights by name: save network.state_dict()")
    return weights


def _read_file(path: Path) -> Any:
    try:
        return read_weights(path)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        if type(error) is ValueError:
            raise ValueError(f"{path} can't be read: {error}") from None
        raise ValueError(f"{path} can't be read as a file of weights alone, as torch.save writes it") from error


def _without_prefix(name: str, own: Mapping[str, Tensor]) -> str:
    """The name without what wrapped the network when it was saved."""
    while name not in own and (prefix := next(filter(name.startswith, _PREFIXES), None)):
        name = name.removeprefix(prefix)
    return name


def _adapt_first_convolution(network: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Spread the first convolution's weight over the network's input channels, in place; returns its name."""
    found = ((name, module) for name, module in network.named_modules() if isinstance(module, Convolution))
    name, module = next(found, ("", None))
    key = f"{name}.weight"
    if module is None or key not in weights:
        return []
    own, weight = module.weight, weights[key]
    if own.shape == weight.shape or own.ndim != weight.ndim or own[:, :1].shape != weight[:, :1].shape:
        return []
    weights[key] = (weight.mean(1, keepdim=True) * (weight.shape[1] / own.shape[1])).expand_as(own)
    return [key]
