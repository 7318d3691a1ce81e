"""Reads the plan that nnU-Net v2 made for a data set."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_patchgrow.tools.render.segmentation_plan import SCHEMES, SegmentationPlan

__all__ = ["plan_of", "read_nnunet_plan"]

_logger = logging.getLogger(__name__)

_PLAIN, _RESIDUAL = "PlainConvUNet", "ResidualEncoderUNet"
_OURS = {"n_conv_per_stage": "2", "n_conv_per_stage_decoder": "2", "norm_op": "InstanceNorm", "nonlin": "LeakyReLU"}
_MANY_LABELS = 20
_SPACING_DIGITS = 5  # of a mm: nnU-Net's own figures carry the rounding errors of float32


def read_nnunet_plan(
    plans: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    configuration: str = "3d_fullres",
    orientation: str = "RAS",
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

    Raises:
        ValueError: a file that is no plan or no dataset.json; a configuration that is not there, is a cascade's, or
            has what a bundle can't have; labels that are regions or are ignored.
    """
    content, description = _read_json(plans), _read_json(dataset)
    config = _configuration(content, configuration, plans)
    swap = content.get("transpose_forward", [0, 1, 2])
    if len(orientation) != 3 or sorted(swap) != [0, 1, 2]:
        raise ValueError(f"{plans}: needs an orientation of three axes and their swap, got {orientation!r} and {swap}")
    codes = "".join(orientation.upper()[2 - swap[2 - axis]] for axis in range(3))
    try:
        return plan_of(
            {**config, **_architecture(config, plans)},
            dataset=str(content["dataset_name"]),
            channels=_channels(description, dataset),
            labels=_labels(description, dataset),
            intensities=content.get("foreground_intensity_properties_per_channel", {}),
            orientation=codes,
        )
    except KeyError as error:
        raise ValueError(f"{plans}: no {error} in configuration {configuration}: is it a plan of nnU-Net v2?") from None


def plan_of(
    config: Mapping[str, Any],
    *,
    dataset: str,
    channels: Sequence[str],
    labels: Mapping[int, str],
    intensities: Mapping[str, Mapping[str, float]],
    orientation: str = "RAS",
) -> SegmentationPlan:
    """Make a plan of one configuration in nnU-Net's words and axis order.

    Args:
        config: a configuration with ``features_per_stage``, ``kernel_sizes``, ``strides`` and ``residual`` beside
            nnU-Net's keys.
        dataset: name of the data set's folder.
        channels: names of the input channels.
        labels: names by value.
        intensities: nnU-Net's figures of the foreground, by channel number.
        orientation: codes of MONAI's axes (x, y, z).
    """
    spacing = [round(float(mm), _SPACING_DIGITS) for mm in config["spacing"]]
    schemes = zip(config["normalization_schemes"], config["use_mask_for_norm"], strict=True)
    return SegmentationPlan(
        dataset=dataset,
        channels=tuple(channels),
        labels={str(value): name for value, name in sorted(labels.items())},
        patch_size=_mirror(config["patch_size"]),
        spacing=_mirror(spacing),
        normalisation=tuple(
            _normalisation(scheme, masked=masked, figures=intensities.get(str(number), {}))
            for number, (scheme, masked) in enumerate(schemes)
        ),
        strides=tuple(map(_mirror, config["strides"])),
        kernel_sizes=tuple(map(_mirror, config["kernel_sizes"])),
        features=tuple(config["features_per_stage"]),
        batch_size=int(config["batch_size"]),
        batch_dice=bool(config["batch_dice"]),
        orientation=orientation,
        residual=bool(config["residual"]),
    )


def _mirror(values: Sequence[Any]) -> tuple[Any, ...]:
    """From nnU-Net's axis order to MONAI's."""
    return tuple(reversed(values))


def _normalisation(scheme: str, *, masked: bool, figures: Mapping[str, float]) -> dict[str, Any]:
    if scheme not in SCHEMES:
        raise ValueError(f"normalisation {scheme} is none of nnU-Net's own: {', '.join(SCHEMES)}")
    if scheme == "CTNormalization":
        clip = [figures["percentile_00_5"], figures["percentile_99_5"]]
        return {"scheme": scheme, "clip": clip, "mean": figures["mean"], "std": figures["std"]}
    if scheme == "ZScoreNormalization":
        return {"scheme": scheme, "masked_to_nonzero": bool(masked)}
    return {"scheme": scheme}


def _read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))  # some editors put a mark first
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: can't be read as JSON ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: must hold an object")
    return content


def _configuration(content: Mapping[str, Any], name: str, path: Any) -> dict[str, Any]:
    """One configuration, with what it inherits."""
    found = content.get("configurations")
    if not isinstance(found, Mapping):
        raise ValueError(f'{path}: no "configurations" in it: is it a plan of nnU-Net v2?')
    if name not in found:
        raise ValueError(f"{path}: has no configuration {name}, but {', '.join(found)}")
    config = dict(found[name])
    if parent := config.pop("inherits_from", None):
        config = {**_configuration(content, parent, path), **config}
    if config.get("previous_stage"):
        raise ValueError(f"{path}: {name} refines what {config['previous_stage']} found, which no bundle does")
    return config


def _architecture(config: Mapping[str, Any], path: Any) -> dict[str, Any]:
    """The network's figures, from the key ``architecture`` or from the keys that plans had before it."""
    if "architecture" not in config:
        base, most = config["UNet_base_num_features"], config["unet_max_num_features"]
        strides = config["pool_op_kernel_sizes"]
        features = [min(most, base * 2**level) for level in range(len(strides))]
        kind, arguments = config["UNet_class_name"], {"strides": strides, "features_per_stage": features}
        arguments["kernel_sizes"] = config["conv_kernel_sizes"]
    else:
        kind = config["architecture"]["network_class_name"].rpartition(".")[2]
        arguments = dict(config["architecture"]["arch_kwargs"])
    if kind not in (_PLAIN, _RESIDUAL):
        raise ValueError(f"{path}: a {kind} has no counterpart in MONAI: {_PLAIN} and {_RESIDUAL} do")
    if kind == _RESIDUAL:
        _logger.warning("%s: a bundle's DynUNet has one residual block per level, nnU-Net's encoder more", path)
    for name in _OURS.keys() & arguments.keys():
        parts = arguments[name] if isinstance(arguments[name], list) else [arguments[name]]
        if not all(_OURS[name] in str(part) for part in parts):
            _logger.warning("%s: a bundle's DynUNet has %s %s, the plan %s", path, name, _OURS[name], arguments[name])
    return {**arguments, "residual": kind == _RESIDUAL}


def _channels(description: Mapping[str, Any], path: Any) -> list[str]:
    names = description.get("channel_names", description.get("modality"))
    if not isinstance(names, Mapping) or not names:
        raise ValueError(f'{path}: needs "channel_names" (nnU-Net) or "modality" (Decathlon), a name by number')
    if not all(str(number).isdecimal() for number in names):
        raise ValueError(f'{path}: "channel_names" must be names by number, such as {{"0": "CT"}}, got {dict(names)}')
    return [str(name) for _, name in sorted(names.items(), key=lambda pair: int(pair[0]))]


def _labels(description: Mapping[str, Any], path: Any) -> dict[int, str]:
    """Names by value; nnU-Net has values by name, the Decathlon the other way round."""
    labels = description.get("labels")
    if not isinstance(labels, Mapping) or not labels:
        raise ValueError(f'{path}: needs "labels", such as {{"background": 0, "spleen": 1}}')
    if "ignore" in labels or any(isinstance(value, list) for value in labels.values()):
        raise ValueError(f"{path}: labels that are regions, or ignored, are not supported: give one value per class")
    by_name = all(isinstance(value, int) for value in labels.values())  # nnU-Net's way
    pairs = [(str(one), str(two)) for two, one in labels.items()] if by_name else list(labels.items())
    if {value for value, _ in pairs} != set(map(str, range(len(pairs)))):
        values = ", ".join(value for value, _ in pairs)
        raise ValueError(f"{path}: labels must be numbered 0, 1, 2, ... without gaps, got {values}")
    if len(pairs) > _MANY_LABELS:
        _logger.warning("%s: %d labels: preprocessing takes some 16 bytes per voxel and label", path, len(pairs))
    return {int(value): name for value, name in pairs}
