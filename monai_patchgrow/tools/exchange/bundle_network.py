"""The network of a plan as its bundle makes it, and whether a bundle on disk is that of the plan."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser
from torch import nn

from monai_patchgrow.networks.nnunet.plain_names import why_not_plain
from monai_patchgrow.tools.render.bundle import BundleCard, render_bundle
from monai_patchgrow.tools.render.nnunet_architecture import PLAIN
from monai_patchgrow.tools.render.segmentation_plan import SegmentationPlan

__all__ = ["check_bundle_of_plan", "make_network", "network_class", "nnunet_network", "same_network_plan"]

_CONFIG = "configs/inference.json"
_PACKAGE = "dynamic_network_architectures"
_COMPARED = (
    *("patch_size", "spacing", "normalisation", "strides", "kernel_sizes", "features"),
    *("labels", "regions_class_order", "network_def"),
)
_FREE = ("trans_bias",)  # of network_def: a DynUNet without it is nnU-Net's network with biases of 0


def make_network(plan: SegmentationPlan) -> nn.Module:
    """The network that a bundle of the plan has, as its inference.json makes it.

    Args:
        plan: the task and its network.

    Raises:
        ValueError: the network is nnU-Net's, and its package is not installed.
    """
    if plan.needs_nnunet:
        _check_package(plan.network)
    parser = ConfigParser(json.loads(render_bundle(plan, BundleCard.of(plan))[_CONFIG]))
    network: nn.Module = parser.get_parsed_content("network_def")
    return network


def nnunet_network(plan: SegmentationPlan) -> nn.Module:
    """nnU-Net's own network of a plan, its axes in nnU-Net's order (z, y, x).

    Args:
        plan: the task and its network, in MONAI's axis order.

    Raises:
        ValueError: its package is not installed.
    """
    theirs = replace(
        plan,
        network=plan.network if plan.needs_nnunet else PLAIN,
        patch_size=plan.patch_size[::-1],
        strides=tuple(level[::-1] for level in plan.strides),
        kernel_sizes=tuple(level[::-1] for level in plan.kernel_sizes),
    )
    return make_network(theirs)


def same_network_plan(plan: SegmentationPlan) -> tuple[SegmentationPlan, str | None]:
    """The plan with nnU-Net's very network: a DynUNet is kept where it is the same, or else why it isn't.

    Args:
        plan: the task and its network.
    """
    if plan.needs_nnunet:
        return plan, None
    why = why_not_plain(make_network(plan))
    if why is None and {*plan.blocks, *plan.decoder_blocks} != {2}:
        why = "it has other numbers of convolutions than two per level"
    return (plan, None) if why is None else (replace(plan, network=PLAIN), why)


def check_bundle_of_plan(bundle: Path, plan: SegmentationPlan) -> None:
    """Check that a bundle's inference is that of a plan.

    Args:
        bundle: its folder.
        plan: as read from nnU-Net's file.

    Raises:
        ValueError: a figure of the bundle that is not the plan's, or no bundle.
    """
    found, path = _read_config(bundle), bundle / _CONFIG
    rendered = json.loads(render_bundle(plan, BundleCard.of(plan))[_CONFIG])
    for key in _COMPARED:
        ours, theirs = _plain(found.get(key)), _plain(rendered.get(key))
        if ours != theirs:
            raise ValueError(f"{path}: {key} is {ours}, that of the plan {theirs}: name the plan that the bundle is of")


def network_class(bundle: Path) -> str:
    """The name of the class of a bundle's network.

    Args:
        bundle: its folder.

    Raises:
        ValueError: no bundle.
    """
    network = _read_config(bundle).get("network_def")
    return str(network.get("_target_") if isinstance(network, Mapping) else network).rpartition(".")[2]


def _read_config(bundle: Path) -> dict[str, Any]:
    path = bundle / _CONFIG
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: can't be read as JSON ({error}): name the folder of a bundle") from None


def _plain(value: Any) -> Any:
    return {key: one for key, one in value.items() if key not in _FREE} if isinstance(value, Mapping) else value


def _check_package(network: str) -> None:
    if importlib.util.find_spec(_PACKAGE) is None:
        raise ValueError(
            f"{network} is in the package {_PACKAGE}, which is not installed: "
            "pip install --no-deps dynamic-network-architectures"
        )
