"""Makes a bundle of a folder in which nnU-Net v2 trained, with its weights."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from monai_patchgrow.handlers.shared_weights import save_weights
from monai_patchgrow.networks.nnunet.checkpoint import NnunetCheckpoint, read_checkpoint
from monai_patchgrow.networks.nnunet.weights import load_nnunet_weights
from monai_patchgrow.tools.exchange.bundle_network import make_network, same_network_plan
from monai_patchgrow.tools.render.bundle import BundleCard, check_new_folder, render_bundle, write_bundle
from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan
from monai_patchgrow.tools.render.plan_files import plan_files

__all__ = ["bundle_of_nnunet"]

_logger = logging.getLogger(__name__)


def bundle_of_nnunet(
    trained: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    fold: str = "0",
    checkpoint: str = "checkpoint_final.pth",
    orientation: str = "RAS",
    say: Callable[[str], None] = _logger.info,
) -> Path:
    """Write the bundle of a folder in which nnU-Net v2 trained: its plan, its very network, its weights.

    A plain plan gets MONAI's DynUNet where that is the same network, or else nnU-Net's own PlainConvUNet.

    Args:
        trained: as ``nnUNet_results/Dataset123_Mine/nnUNetTrainer__nnUNetPlans__3d_fullres``.
        output: folder of the bundle, new or empty.
        fold: whose weights are taken, a number or ``all``.
        checkpoint: name of the file in the fold's folder.
        orientation: codes of the axes along which the data set's images are stored.
        say: is told what differs from a bundle of the plan alone.

    Returns:
        The bundle's folder.

    Raises:
        ValueError: no such folder, a plan that is no bundle's, or weights of another network.
    """
    check_new_folder(output)
    folder = Path(trained)
    plans, dataset = folder / "plans.json", folder / "dataset.json"
    file = folder / f"fold_{fold}" / checkpoint
    found = _read(file)
    plan = read_nnunet_plan(
        plans, dataset, configuration=found.configuration or "3d_fullres", orientation=orientation, exact=True
    )
    plan, why = same_network_plan(plan)
    if why is not None:
        say(f"note: the bundle has nnU-Net's own network, since MONAI's DynUNet is another one: {why}")
    network = make_network(plan)
    try:
        load_nnunet_weights(network, found.weights)
    except ValueError as error:
        raise ValueError(f"{file} {error}") from None
    card = BundleCard.of(plan, origin=f"fold {fold} of nnU-Net's {found.trainer} ({checkpoint})")
    files = {**render_bundle(plan, card), **plan_files(plans, dataset)}
    if axes := sorted(plan.spatial_dims - 1 - axis for axis in found.mirror_axes):
        say(f'nnU-Net predicts with mirroring: --mirror_axes "{axes}" does so here')
    weights = network.state_dict()
    return write_bundle(files, output, finish=lambda partial: save_weights(weights, partial / "models" / "model.pt"))


def _read(file: Path) -> NnunetCheckpoint:
    if not file.is_file():
        raise ValueError(f"{file} is not there: name the folder of a training of nnU-Net, its --fold and --checkpoint")
    found = read_checkpoint(file)
    if found is None:
        raise ValueError(f"{file} is no checkpoint of nnU-Net v2: it has no network_weights")
    return found
