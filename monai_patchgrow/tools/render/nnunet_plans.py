"""Reads the plan that nnU-Net v2 made for a data set."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_patchgrow.schedules.arguments import Sizes
from monai_patchgrow.tools.render.config_text import parse_folder_name
from monai_patchgrow.tools.render.dataset_names import parse_channels, parse_labels
from monai_patchgrow.tools.render.nnunet_architecture import DYN_UNET, RESIDUAL, read_architecture
from monai_patchgrow.tools.render.plan_values import (
    parse_bool,
    parse_integer,
    parse_levels,
    parse_list,
    parse_number,
    parse_object,
    shown,
)
from monai_patchgrow.tools.render.segmentation_plan import SCHEMES, SegmentationPlan

__all__ = ["plan_of", "read_json", "read_nnunet_plan"]

_BLOCKS = "n_blocks_per_stage"
_CONVOLUTIONS = 2  # per level of a plan that doesn't say it
_SPACING_DIGITS = 5  # of a mm: nnU-Net's own figures carry the rounding errors of float32
_INTENSITIES = "foreground_intensity_properties_per_channel"

# Far beyond any plan: what is larger is a mistake, or made to exhaust a machine.
_LARGEST_PATCH = 4096  # voxels per axis
_LARGEST_KERNEL = 63
_LARGEST_BATCH = _MOST_FEATURES = 65536
_MOST_BLOCKS = 64  # per level


def read_nnunet_plan(
    plans: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    configuration: str = "3d_fullres",
    orientation: str = "RAS",
    exact: bool = False,
) -> SegmentationPlan:
    """Read one configuration of an ``nnUNetPlans.json`` and the data set's ``dataset.json``.

    nnU-Net plans for arrays (z, y, x), their axes perhaps swapped (``transpose_forward``), and never turns an image;
    MONAI's are (x, y, z) and are turned to `orientation` first. Sizes are mirrored; a swap of axes goes into the
    plan's orientation.

    Args:
        plans: of nnU-Net v2, with or without its newer key ``architecture``.
        dataset: nnU-Net's or the Decathlon's.
        configuration: ``3d_fullres``, ``3d_lowres`` or ``2d``.
        orientation: codes of the axes along which the data set's images are stored.
        exact: refuse a plain network that differs from a bundle's in more than its kernels, instead of warning of it.

    Raises:
        ValueError: a file that is no plan or no dataset.json; a configuration that is not there, is a cascade's, or
            has what a bundle can't have.
    """
    content, description = read_json(plans), read_json(dataset)
    channels, classes = parse_channels(description, dataset), parse_labels(description, dataset)
    try:
        config = _configuration(content, configuration)
        return plan_of(
            {**config, **read_architecture(config, plans, exact=exact)},
            dataset=parse_folder_name(content.get("dataset_name"), key="dataset_name"),
            channels=channels,
            labels=classes.as_config(),
            regions_class_order=classes.regions_class_order,
            intensities=parse_object(content.get(_INTENSITIES, {}), name=_INTENSITIES),
            orientation=_planned_orientation(orientation, content.get("transpose_forward", [0, 1, 2])),
        )
    except KeyError as error:
        raise ValueError(f"{plans}: no {error} in configuration {configuration}: is it a plan of nnU-Net v2?") from None
    except ValueError as error:
        raise ValueError(f"{plans}: {error}") from None


def plan_of(
    config: Mapping[str, Any],
    *,
    dataset: str,
    channels: Sequence[str],
    labels: Mapping[Any, Any],
    intensities: Mapping[str, Any],
    orientation: str = "RAS",
    regions_class_order: Sequence[int] = (),
) -> SegmentationPlan:
    """Make a plan of one configuration in nnU-Net's words and axis order.

    Args:
        config: a configuration with ``features_per_stage``, ``kernel_sizes``, ``strides`` and ``residual`` beside
            nnU-Net's keys; with ``n_blocks_per_stage`` where it is residual.
        dataset: name of the data set's folder.
        channels: names of the input channels.
        labels: names by value; or values by name where some are regions.
        intensities: nnU-Net's figures of the foreground, by channel number.
        orientation: codes of MONAI's axes (x, y, z).
        regions_class_order: the value that each region is written as; empty: each label is a class.

    Raises:
        ValueError: a figure that is no finite number of its key's rank and range, or figures that don't fit together.
        KeyError: a key that is not there.
    """
    patch = parse_list(config["patch_size"], name="patch_size")
    sizes = [parse_integer(size, name="patch_size", maximum=_LARGEST_PATCH) for size in patch]
    spacing = parse_list(config["spacing"], name="spacing", length=len(sizes))
    features = parse_list(config["features_per_stage"], name="features_per_stage")
    residual = parse_bool(config["residual"], name="residual")
    return SegmentationPlan(
        dataset=dataset,
        channels=tuple(channels),
        labels=dict(labels) if regions_class_order else {str(one): name for one, name in sorted(labels.items())},
        regions_class_order=tuple(regions_class_order) or None,
        patch_size=_mirror(sizes),
        spacing=_mirror([round(float(parse_number(mm, name="spacing", above=0)), _SPACING_DIGITS) for mm in spacing]),
        normalisation=_normalisations(config, intensities),
        strides=_levels(config, "strides", axes=len(sizes), maximum=_LARGEST_PATCH),
        kernel_sizes=_levels(config, "kernel_sizes", axes=len(sizes), maximum=_LARGEST_KERNEL),
        features=tuple(parse_integer(width, name="features_per_stage", maximum=_MOST_FEATURES) for width in features),
        batch_size=parse_integer(config["batch_size"], name="batch_size", maximum=_LARGEST_BATCH),
        batch_dice=parse_bool(config["batch_dice"], name="batch_dice"),
        orientation=orientation,
        network=RESIDUAL if residual else DYN_UNET,
        blocks=_counts(config, _BLOCKS if residual else "n_conv_per_stage", len(features)),
        decoder_blocks=_counts(config, "n_conv_per_stage_decoder", len(features) - 1),
        conv_bias=parse_bool(config.get("conv_bias", False), name="conv_bias"),
    )


def _counts(config: Mapping[str, Any], key: str, num_levels: int) -> tuple[int, ...]:
    """Blocks or convolutions per level: one number for all, or one per level; two convolutions where it isn't said."""
    value = config[key] if key == _BLOCKS else config.get(key, _CONVOLUTIONS)
    counts = [value] * num_levels if isinstance(value, int) else parse_list(value, name=key, length=num_levels)
    return tuple(parse_integer(count, name=key, maximum=_MOST_BLOCKS) for count in counts)


def _mirror(values: Sequence[Any]) -> tuple[Any, ...]:
    """From nnU-Net's axis order to MONAI's."""
    return tuple(reversed(values))


def _levels(config: Mapping[str, Any], key: str, *, axes: int, maximum: int) -> tuple[Sizes, ...]:
    return tuple(map(_mirror, parse_levels(config[key], name=key, axes=axes, maximum=maximum)))


def _planned_orientation(stored: str, transpose_forward: Any) -> str:
    """Codes of MONAI's axes, of which nnU-Net's are the mirrored and perhaps swapped ones."""
    swap = parse_list(transpose_forward, name="transpose_forward", length=3)
    swap = tuple(parse_integer(axis, name="transpose_forward", minimum=0, maximum=2) for axis in swap)
    if len(stored) != 3 or sorted(swap) != [0, 1, 2]:
        raise ValueError(f"needs an orientation of three axes and their swap, got {shown(stored)} and {swap}")
    return "".join(stored.upper()[2 - swap[2 - axis]] for axis in range(3))


def _normalisations(config: Mapping[str, Any], intensities: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """One entry per channel."""
    schemes = parse_list(config["normalization_schemes"], name="normalization_schemes")
    masks = parse_list(config["use_mask_for_norm"], name="use_mask_for_norm", length=len(schemes))
    return tuple(
        _normalisation(
            scheme,
            masked=parse_bool(masked, name="use_mask_for_norm"),
            figures=intensities.get(str(number)),
            name=f"{_INTENSITIES} of channel {number}",
        )
        for number, (scheme, masked) in enumerate(zip(schemes, masks, strict=True))
    )


def _normalisation(scheme: Any, *, masked: bool, figures: Any, name: str) -> dict[str, Any]:
    if not isinstance(scheme, str) or scheme not in SCHEMES:
        raise ValueError(f"normalisation {shown(scheme)} is none of nnU-Net's own: {', '.join(SCHEMES)}")
    if scheme == "CTNormalization":
        given = parse_object(figures, name=name)
        low, high, mean = (
            parse_number(given.get(key), name=f"{key} in {name}")
            for key in ("percentile_00_5", "percentile_99_5", "mean")
        )
        if low >= high:
            raise ValueError(f"percentile_00_5 in {name} must be below percentile_99_5, got {low} and {high}")
        std = parse_number(given.get("std"), name=f"std in {name}", above=0)
        return {"scheme": scheme, "clip": [low, high], "mean": mean, "std": std}
    if scheme == "ZScoreNormalization":
        return {"scheme": scheme, "masked_to_nonzero": masked}
    return {"scheme": scheme}


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """An object in a JSON file of nnU-Net's.

    Args:
        path: of the file.

    Raises:
        ValueError: it can't be read, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors put a mark first
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: can't be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold an object")
    return content


def _configuration(content: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One configuration, with what it inherits."""
    found = content.get("configurations")
    if not isinstance(found, Mapping):
        raise ValueError('no "configurations" in it: is it a plan of nnU-Net v2?')
    config: dict[str, Any] = {}
    heirs: list[str] = []
    parent: Any = name
    while parent:
        if not isinstance(parent, str) or parent not in found:
            raise ValueError(f"has no configuration {shown(parent)}, but {', '.join(map(shown, found))}")
        if parent in heirs:
            raise ValueError(f"inherits_from must not lead back to a configuration, got {shown([*heirs, parent])}")
        heirs.append(parent)
        config = {**parse_object(found[parent], name=f"configuration {shown(parent)}"), **config}
        parent = parse_object(found[parent], name=parent).get("inherits_from")
    if config.get("previous_stage"):
        first = shown(config["previous_stage"])
        raise ValueError(f"{name} is a cascade's: it takes what {first} predicted as channels, which no bundle does")
    return config
