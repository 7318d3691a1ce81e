"""What one segmentation bundle differs in from another: a plan, as a frozen value."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monai_patchgrow.anisotropy import separate_axis
from monai_patchgrow.label_classes import LabelClasses, has_regions_or_ignore, parse_label_classes
from monai_patchgrow.schedules.arguments import Sizes
from monai_patchgrow.tools.render.config_text import parse_folder_name, parse_name

__all__ = ["SCHEMES", "SegmentationPlan"]

SCHEMES = {
    "CTNormalization": "clipped to the foreground's 0.5 and 99.5 percentiles, z-scored with its mean and deviation",
    "ZScoreNormalization": "z-scored over the image",
    "RescaleTo01Normalization": "rescaled to 0 to 1",
    "RGBTo01Normalization": "divided by 255",
    "NoNormalization": "left as it is",
}
"""nnU-Net v2's normalisations that a bundle can have, and what they do."""

_FEWEST_LEVELS = 3  # of MONAI's DynUNet
_MOST_LABELS = 256
_CODES = "LRAPIS"
_ORIENTATIONS = [list(codes) for codes in itertools.product("LR", "AP", "IS")]


@dataclass(frozen=True, kw_only=True)
class SegmentationPlan:
    """A task and its network, in the axis order of MONAI's arrays: (x, y, z), or (x, y) for slices.

    dataset: name of the data set's folder.
    channels: names of the input channels.
    labels: names by value, 0 being background; or values by name where some are regions.
    patch_size: full patch, voxels per axis.
    spacing: mm per axis.
    normalisation: one entry per channel, ``{"scheme": ...}`` with the scheme's figures.
    strides, kernel_sizes: per level and axis of the network.
    features: per level.
    batch_size: patches per batch at the full patch.
    batch_dice: whether Dice is taken over the batch as a whole.
    orientation: codes of the three array axes of a volume, as ``RAS``; the last is the one across slices.
    regions_class_order: the value that each region is written as; None: each label is a class.
    network: ``DynUNet``, MONAI's; or one of nnU-Net's package, ``PlainConvUNet`` or ``ResidualEncoderUNet``.
    blocks: residual blocks, or convolutions, per level of the encoder; a DynUNet has two convolutions on each.
    decoder_blocks: convolutions per level of the decoder, the coarsest first.
    conv_bias: whether convolutions have biases; of a DynUNet only the transposed ones get them, where alone they count.

    Raises:
        ValueError: figures that don't fit together.
    """

    dataset: str
    channels: tuple[str, ...]
    labels: Mapping[str, Any] = field(hash=False)
    patch_size: Sizes
    spacing: tuple[float, ...]
    normalisation: tuple[Mapping[str, Any], ...] = field(hash=False)
    strides: tuple[Sizes, ...]
    kernel_sizes: tuple[Sizes, ...]
    features: Sizes
    batch_size: int
    batch_dice: bool
    orientation: str = "RAS"
    regions_class_order: tuple[int, ...] | None = None
    network: str = "DynUNet"
    blocks: Sizes = ()
    decoder_blocks: Sizes = ()
    conv_bias: bool = False

    def __post_init__(self) -> None:
        self._check_names()
        self._check_levels()
        if len(self.normalisation) != len(self.channels):
            channels, entries = len(self.channels), len(self.normalisation)
            raise ValueError(f"normalisation must have one entry per channel ({channels}), got {entries}")
        if len(self.spacing) != self.spatial_dims or min(self.spacing) <= 0:
            raise ValueError(f"spacing must have {self.spatial_dims} entries above 0 as the patch, got {self.spacing}")
        for voxels, stride, axis in zip(self.patch_size, self.total_stride, self.axes, strict=True):
            if voxels % stride:
                what = f"{voxels} on axis {axis} (stride {stride})"
                raise ValueError(f"patch_size must be a multiple of total_stride on every axis, got {what}")

    def _check_names(self) -> None:
        parse_folder_name(self.dataset, key="dataset")
        for key, names in (("channels", self.channels), ("labels", self.classes.outputs)):
            for name in names:
                parse_name(name, key=key)
        if (values := self.classes.num_values) > _MOST_LABELS:
            raise ValueError(f"labels must be at most {_MOST_LABELS}, which 8 bits hold, got {values}")
        if sorted(map(str.upper, self.orientation), key=_CODES.find) not in _ORIENTATIONS:
            raise ValueError(f"orientation must have a letter each of LR, AP and IS, as RAS, got {self.orientation!r}")

    def _check_levels(self) -> None:
        levels = {"strides": self.strides, "kernel_sizes": self.kernel_sizes, "features": self.features}
        for name, values in levels.items():
            if len(values) != len(self.strides) or len(values) < _FEWEST_LEVELS:
                raise ValueError(f"{name} must have an entry per level, {_FEWEST_LEVELS} or more, got {len(values)}")
        if set(self.strides[0]) != {1} or not all(size % 2 for kernel in self.kernel_sizes for size in kernel):
            raise ValueError(
                f"strides must start with 1 on every axis and kernel_sizes be odd, got {self.strides[0]} and "
                f"{self.kernel_sizes}"
            )

    @property
    def classes(self) -> LabelClasses:
        """What the labels stand for."""
        if has_regions_or_ignore(self.labels):
            return parse_label_classes(self.labels, self.regions_class_order)
        return LabelClasses({int(value): name for value, name in self.labels.items()})

    @property
    def spatial_dims(self) -> int:
        """Axes of a patch: 2 or 3."""
        return len(self.patch_size)

    @property
    def needs_nnunet(self) -> bool:
        """Whether the network is one of nnU-Net's package, dynamic_network_architectures, and none of MONAI's."""
        return self.network != "DynUNet"

    @property
    def axes(self) -> Sizes:
        """0 to the last axis."""
        return tuple(range(self.spatial_dims))

    @property
    def total_stride(self) -> Sizes:
        """Product of the network's strides, voxels per axis."""
        return tuple(math.prod(stride[axis] for stride in self.strides) for axis in self.axes)

    @property
    def is_anisotropic(self) -> bool:
        """Whether the plan alone, without a case, has slices resampled by themselves."""
        return self.spatial_dims == 3 and separate_axis(self.spacing, target=self.spacing) is not None

    @property
    def is_uniform(self) -> bool:
        """Whether all channels are normalised alike, so that one transform does it."""
        settings = [{**entry, "clip": None, "mean": None, "std": None} for entry in self.normalisation]
        alone = self.normalisation[0]["scheme"] == "CTNormalization" and len(self.channels) > 1
        return not alone and all(entry == settings[0] for entry in settings)

    @property
    def supervised_levels(self) -> int:
        """Levels of the decoder whose output the loss counts: all but the coarsest, as nnU-Net v2's trainer has it."""
        return max(1, len(self.strides) - 2)
