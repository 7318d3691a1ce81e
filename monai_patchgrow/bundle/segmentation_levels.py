"""The levels of a segmentation bundle's network, parsed from the flat keys of its config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from monai_patchgrow.bundle.plain_settings import parse_list, parse_number
from monai_patchgrow.schedules.arguments import Sizes, parse_int, parse_sizes

__all__ = ["halved_weights", "parse_levels"]

_FEWEST_LEVELS = 3  # of MONAI's DynUNet


def parse_levels(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return strides, kernel sizes, features and weights of the loss, per level of the network.

    Args:
        raw: values of the config's keys.

    Raises:
        ValueError: levels that do not fit each other, or the total stride, in one line that names the key.
    """
    axes = len(raw["patch_size"])
    strides = _levels(raw, "strides", axes)
    features = parse_list(raw["features"], name="features")
    if len(features) != len(strides):
        raise ValueError(f"features must have one entry per level ({len(strides)}), got {raw['features']}")
    product = [math.prod(level[axis] for level in strides) for axis in range(axes)]
    if list(raw["total_stride"]) != product:
        raise ValueError(f"total_stride must be the product of the strides, {product}, got {raw['total_stride']}")
    kernels = _levels(raw, "kernel_sizes", axes, num_levels=len(strides))
    if not all(size % 2 for kernel in kernels for size in kernel):
        raise ValueError(f"kernel_sizes must be odd, got {raw['kernel_sizes']}")
    return {
        "strides": strides,
        "kernel_sizes": kernels,
        "features": tuple(parse_int(number, name="features", minimum=1) for number in features),
        "deep_supervision_weights": _weights(raw["deep_supervision_weights"], len(strides)),
    }


def _levels(raw: Mapping[str, Any], name: str, axes: int, *, num_levels: int | None = None) -> tuple[Sizes, ...]:
    """Sizes per level of the network and axis."""
    levels = tuple(parse_sizes(level, name=name) for level in parse_list(raw[name], name=name))
    if len(levels) < _FEWEST_LEVELS or num_levels not in (None, len(levels)):
        wanted = f"{_FEWEST_LEVELS} or more" if num_levels is None else num_levels
        raise ValueError(f"{name} must have one entry per level ({wanted}), got {len(levels)}: {raw[name]}")
    if any(len(level) != axes for level in levels):
        raise ValueError(f"{name} must have {axes} axes on every level, as patch_size, got {raw[name]}")
    return levels


def _weights(value: Any, num_levels: int) -> tuple[float, ...]:
    name = "deep_supervision_weights"
    if value is None:
        return halved_weights(num_levels)
    weights = parse_list(value, name=name)
    if not 1 <= len(weights) < num_levels:
        raise ValueError(
            f"{name} must have 1 to {num_levels - 1} entries, finest level first, for {num_levels} levels, got {value}"
        )
    weights = tuple(parse_number(weight, name=name, minimum=0) for weight in weights)
    if weights[0] == 0:
        raise ValueError(f"{name} must start with a number above 0, that of the output, got {value}")
    return weights


def halved_weights(num_levels: int) -> tuple[float, ...]:
    """Weights of the decoder's levels, finest first: halved from one to the next, none for the coarsest.

    Source: nnU-Net v2's default trainer.

    Args:
        num_levels: of the network.

    >>> halved_weights(4)
    (0.6666666666666666, 0.3333333333333333)
    """
    halves = [0.5**level for level in range(max(1, num_levels - 2))]
    return tuple(half / sum(halves) for half in halves)
