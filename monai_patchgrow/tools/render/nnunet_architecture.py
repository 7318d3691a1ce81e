"""Reads the network of a plan of nnU-Net v2: which one it is, and whether a bundle can have it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from monai_patchgrow.tools.render.plan_values import parse_integer, parse_levels, parse_list, parse_object, shown

__all__ = ["DYN_UNET", "PLAIN", "RESIDUAL", "read_architecture"]

DYN_UNET = "DynUNet"
"""MONAI's network, which bundles of plain plans have."""

PLAIN = "PlainConvUNet"
"""nnU-Net's plain network."""

RESIDUAL = "ResidualEncoderUNet"
"""nnU-Net's network of the presets ResEncM, ResEncL and ResEncXL."""

_logger = logging.getLogger(__name__)

_PARTS = {"norm_op": "InstanceNorm", "nonlin": "LeakyReLU"}
_OF_DYN_UNET = {"n_conv_per_stage": "2", "n_conv_per_stage_decoder": "2", **_PARTS}
_EXACT: Mapping[str, tuple[Any, ...]] = {  # what may stand in the plan of a network of nnU-Net's package
    "norm_op_kwargs": ({"eps": 1e-05, "affine": True},),
    "nonlin_kwargs": ({"inplace": True}, {}, None),
    "nonlin_first": (False,),
    **dict.fromkeys(["dropout_op", "dropout_op_kwargs", "block", "bottleneck_channels", "stem_channels"], (None,)),
}
_FORMER_BLOCKS = {
    "n_conv_per_stage": "n_conv_per_stage_encoder",
    "n_conv_per_stage_decoder": "n_conv_per_stage_decoder",
}
_MOST_LEVELS = 20
_LARGEST_STRIDE = _LARGEST_KERNEL = 4096
_MOST_FEATURES = 65536


def read_architecture(config: Mapping[str, Any], path: Any, *, exact: bool = False) -> dict[str, Any]:
    """The network's figures, from the key ``architecture`` or from the keys that plans had before it.

    Args:
        config: a configuration in nnU-Net's words.
        path: of the plans, which warnings name.
        exact: refuse a plain network of other norms or activations too, instead of warning that a bundle's differ.

    Returns:
        The arguments of nnU-Net's network, and whether it is ``residual``.

    Raises:
        ValueError: a network that no bundle can have.
        KeyError: a key that is not there.
    """
    if "architecture" not in config:
        kind, arguments = config["UNet_class_name"], _former_arguments(config)
    else:
        architecture = parse_object(config["architecture"], name="architecture")
        kind = str(architecture["network_class_name"]).rpartition(".")[2]
        arguments = dict(parse_object(architecture["arch_kwargs"], name="arch_kwargs"))
    if kind not in (PLAIN, RESIDUAL):
        raise ValueError(f"a {shown(kind)} has no counterpart in MONAI: {PLAIN} and {RESIDUAL} do")
    if len(parse_list(arguments["strides"], name="strides")) > _MOST_LEVELS:
        raise ValueError(f"strides must have at most {_MOST_LEVELS} levels, got {len(arguments['strides'])}")
    if kind == RESIDUAL or exact:
        _check_exact(arguments)
    else:
        _warn_of_others(arguments, path)
    return {**arguments, "residual": kind == RESIDUAL}


def _check_exact(arguments: Mapping[str, Any]) -> None:
    """Check that a bundle can have nnU-Net's network of these arguments, and not one like it."""
    for name, ours in _PARTS.items():
        if ours not in str(arguments.get(name, ours)):
            raise ValueError(f"{name} must be {ours} in a bundle of nnU-Net's network, got {shown(arguments[name])}")
    for name, known in _EXACT.items():
        if arguments.get(name, known[0]) not in known:
            ours = shown(known[0])
            raise ValueError(f"{name} must be {ours} in a bundle of nnU-Net's network, got {shown(arguments[name])}")


def _warn_of_others(arguments: Mapping[str, Any], path: Any) -> None:
    for name in _OF_DYN_UNET.keys() & arguments.keys():
        ours, value = _OF_DYN_UNET[name], arguments[name]
        if not all(ours in str(part) for part in (value if isinstance(value, list) else [value])):
            theirs = value if isinstance(value, str) else shown(value)
            _logger.warning("%s: a bundle's DynUNet has %s %s, the plan %s", path, name, ours, theirs)


def _former_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a plan that has no key ``architecture``, under the names that are in it."""
    base, most = (
        parse_integer(config[key], name=key, maximum=_MOST_FEATURES)
        for key in ("UNet_base_num_features", "unet_max_num_features")
    )
    axes = len(parse_list(config["patch_size"], name="patch_size"))
    strides, kernels = (
        parse_levels(config[key], name=key, axes=axes, maximum=_LARGEST_STRIDE)
        for key in ("pool_op_kernel_sizes", "conv_kernel_sizes")
    )
    features = [min(most, base * 2**level) for level in range(min(len(strides), _MOST_LEVELS))]
    blocks = {ours: config[theirs] for ours, theirs in _FORMER_BLOCKS.items() if theirs in config}
    if config["UNet_class_name"] == RESIDUAL:
        blocks["n_blocks_per_stage"] = config["n_conv_per_stage_encoder"]
    return {"strides": strides, "features_per_stage": features, "kernel_sizes": kernels, **blocks, "conv_bias": True}
