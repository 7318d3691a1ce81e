"""Writes a trained bundle as a folder that nnU-Net v2 predicts with."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.files import whole_folder
from monai_patchgrow.networks.nnunet.plain_names import why_not_plain
from monai_patchgrow.networks.nnunet.weights import nnunet_weights
from monai_patchgrow.tools.exchange.bundle_network import (
    check_bundle_of_plan,
    make_network,
    network_class,
    nnunet_network,
)
from monai_patchgrow.tools.render.bundle import check_new_folder
from monai_patchgrow.tools.render.nnunet_architecture import PLAIN
from monai_patchgrow.tools.render.nnunet_plans import read_json, read_nnunet_plan
from monai_patchgrow.tools.render.plan_files import DATASET_IN_BUNDLE, PLANS_IN_BUNDLE, described_for_nnunet
from monai_patchgrow.tools.render.segmentation_plan import SegmentationPlan
from monai_patchgrow.weight_files import read_weights

__all__ = ["write_nnunet_folder"]

_TRAINER = "nnUNetTrainer"
_CHECKPOINT = "checkpoint_final.pth"
_USUAL = "3d_fullres"
_UP_BIAS = ".transp_conv.conv.bias"


def write_nnunet_folder(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    weights: Sequence[str | os.PathLike[str]] = (),
    plans: str | os.PathLike[str] | None = None,
    dataset: str | os.PathLike[str] | None = None,
) -> str:
    """Write a trained bundle as a folder of nnU-Net v2, which appears whole or not at all.

    It holds ``plans.json``, ``dataset.json`` and per file of weights ``fold_N/checkpoint_final.pth``, with which
    ``nnUNetv2_predict_from_modelfolder`` predicts, and from which nnU-Net trains on (``-pretrained_weights``, which
    begins its output layers anew). An optimiser's state is not in it.

    Args:
        bundle: folder of the bundle, or of one with its configs.
        output: new or empty folder.
        weights: one per fold, the first being fold 0; none: the bundle's ``models/model.pt``.
        plans: nnU-Net's plans; None: those in the bundle.
        dataset: the data set's dataset.json; None: that in the bundle.

    Returns:
        Codes of the axes along which nnU-Net must find images stored, as ``RAS``: it turns none.

    Raises:
        ValueError: weights of another network than the plan's, a plan that the bundle is not of, or a network that
            nnU-Net doesn't have, or whose package is not installed.
    """
    check_new_folder(output)
    folder = Path(bundle)
    plans_file = _file_of(plans, folder / PLANS_IN_BUNDLE, option="plans")
    dataset_file = _file_of(dataset, folder / DATASET_IN_BUNDLE, option="dataset")
    configuration, plan = _find_configuration(folder, plans_file, dataset_file)
    described = described_for_nnunet(read_json(dataset_file), dataset_file)
    content = read_json(plans_file)
    files = [Path(file) for file in weights] or [folder / "models" / "model.pt"]
    folds = [_converted(plan, file) for file in files]
    with whole_folder(Path(output).absolute()) as partial:
        for name, value in (("plans.json", content), ("dataset.json", described)):
            (partial / name).write_text(json.dumps(value, indent=4, ensure_ascii=False) + "\n", encoding="utf-8")
        for fold, converted in enumerate(folds):
            arguments = {"plans": content, "configuration": configuration, "fold": fold, "dataset_json": described}
            (partial / f"fold_{fold}").mkdir()
            torch.save(
                _checkpoint(converted, arguments, mirror_axes=_mirror_axes(folder, plan)),
                partial / f"fold_{fold}" / _CHECKPOINT,
            )
    return _stored_orientation(folder, content)


def _file_of(given: str | os.PathLike[str] | None, own: Path, *, option: str) -> Path:
    if given is None and not own.is_file():
        raise ValueError(f"{own} is not there, since the bundle was made without it: name nnU-Net's file by --{option}")
    return own if given is None else Path(given)


def _find_configuration(folder: Path, plans: Path, dataset: Path) -> tuple[str, SegmentationPlan]:
    """The configuration of the plans that the bundle has, by its figures."""
    faults = {}
    for name in read_json(plans).get("configurations", {}):
        try:
            plan = read_nnunet_plan(plans, dataset, configuration=name, exact=True)
            if network_class(folder) == PLAIN:  # as `from_nnunet` has it where a DynUNet is another network
                plan = replace(plan, network=PLAIN)
            check_bundle_of_plan(folder, plan)
        except ValueError as error:
            faults[name] = str(error)
        else:
            return name, plan
    raise ValueError(faults.get(_USUAL) or next(iter(faults.values()), f"{plans}: has no configurations"))


def _converted(plan: SegmentationPlan, file: Path) -> dict[str, Tensor]:
    """A file's weights by nnU-Net's names."""
    network = make_network(plan)
    if not plan.needs_nnunet and (why := why_not_plain(network)):
        raise ValueError(f"the bundle's DynUNet is not nnU-Net's PlainConvUNet: {why}")
    _load(network, file)
    return nnunet_weights(network, None if plan.needs_nnunet else nnunet_network(plan))


def _load(network: nn.Module, file: Path) -> None:
    try:
        weights = read_weights(file)
        own = network.state_dict()
        # A DynUNet that was made without them has biases of 0 in its transposed convolutions.
        lacking = {name: torch.zeros_like(own[name]) for name in own if name.endswith(_UP_BIAS)}
        network.load_state_dict({**lacking, **weights})
    except OSError as error:
        raise ValueError(
            f"{file} can't be opened ({error.strerror}): train the bundle first, or name --weights"
        ) from None
    except ValueError as error:
        raise DataError(f"{file} can't be used: {error}") from None
    except Exception as error:  # of many kinds: unpickling, key and shape errors
        lines = " ".join(line.strip() for line in str(error).splitlines()[:2])
        raise ValueError(f"{file} holds no weights of the plan's network: {lines[:300]}") from None


def _checkpoint(
    weights: dict[str, Tensor], arguments: dict[str, Any], *, mirror_axes: tuple[int, ...]
) -> dict[str, Any]:
    return {
        "network_weights": weights,
        "optimizer_state": None,
        "grad_scaler_state": None,
        "logging": {},
        "_best_ema": None,
        "current_epoch": 0,
        "init_args": {**arguments, "device": torch.device("cpu")},
        "trainer_name": _TRAINER,
        "inference_allowed_mirroring_axes": mirror_axes,
    }


def _mirror_axes(folder: Path, plan: SegmentationPlan) -> tuple[int, ...]:
    """The axes that the bundle's training mirrors, in nnU-Net's order."""
    axes = read_json(folder / "configs" / "train.json").get("mirror_axes", [])
    known = [axis for axis in axes if axis in plan.axes] if isinstance(axes, list) else []
    return tuple(sorted(plan.spatial_dims - 1 - axis for axis in known))


def _stored_orientation(folder: Path, plans: dict[str, Any]) -> str:
    codes = str(read_json(folder / "configs" / "inference.json")["orientation"])
    swap = plans.get("transpose_forward", [0, 1, 2])
    stored = {2 - swap[2 - axis]: codes[axis] for axis in range(3)}
    return "".join(stored[axis] for axis in range(3))
