"""The arms of the study by name: what each changes in a bundle's train.json."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

__all__ = ["ARMS", "arm_settings"]

_START = "smallest_patch"
_AUGMENTATION = "train#handlers#6#_target_"
_SHARES = (0.1, 0.2, 0.4)

ARMS: MappingProxyType[str, dict[str, Any]] = MappingProxyType(
    {
        **{name: {"curriculum": name} for name in ("constant", "efficiency", "performance")},
        **{name: {"curriculum": name} for name in ("pgps", "pgps_plus", "random")},
        **{f"share{share}": {"curriculum": "efficiency", "full_patch_share": share} for share in _SHARES},
        # From half of the full patch on every axis.
        "half": {"curriculum": "efficiency", _START: 0.5},
        **{f"half{share}": {"curriculum": "efficiency", _START: 0.5, "full_patch_share": share} for share in _SHARES},
        "half_filled": {"curriculum": "performance", _START: 0.5},
        "restart0.2": {
            "curriculum": "efficiency",
            "full_patch_share": 0.2,
            "lr_scheduler": {
                "_target_": "torch.optim.lr_scheduler.LambdaLR",
                "optimizer": "@optimizer",
                "lr_lambda": {"_target_": "experiments.restarting_rate", "schedule": "@schedule"},
            },
        },
        "augment_grows": {"curriculum": "efficiency", _AUGMENTATION: "experiments.GrowingAugmentBatches"},
        # Both patches of a batch from one volume.
        "one_volume": {"curriculum": "efficiency", "train#dataloader#batch_size": 1},
    }
)

MIRRORED = "+direction"
"""Ends the name of an arm that also mirrors the axis that carries a direction."""


def arm_settings(
    name: str, *, axis_of_direction: int | None, patch_size: list[int], total_stride: list[int]
) -> dict[str, Any]:
    """Return the keys of an arm; ``+direction`` behind its name mirrors all axes, as nnU-Net does.

    Args:
        name: of `ARMS`, or one with ``+direction``.
        axis_of_direction: array axis that other arms don't mirror; None where all are mirrored.
        patch_size: of the task, voxels per axis.
        total_stride: of its network, voxels per axis.

    Raises:
        ValueError: no such arm.
    """
    plain = name.removesuffix(MIRRORED)
    if plain not in ARMS:
        raise ValueError(f"arms are {', '.join(ARMS)}, each also with {MIRRORED!r}, got {name!r}")
    skipped = None if plain != name else axis_of_direction
    settings = {**ARMS[plain], "mirror_axes": [axis for axis in range(3) if axis != skipped]}
    if share := settings.pop(_START, None):
        axes = zip(patch_size, total_stride, strict=True)
        settings[_START] = [max(1, -int(-size * share // stride)) * stride for size, stride in axes]
    return settings
