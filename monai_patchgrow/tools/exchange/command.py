"""The commands `patchgrow from_nnunet` and `patchgrow to_nnunet`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["from_nnunet", "to_nnunet"]


def from_nnunet(
    trained: str,
    output: str,
    fold: int | str = 0,
    checkpoint: str = "checkpoint_final.pth",
    orientation: str = "RAS",
) -> str:
    """Make a bundle of a network that nnU-Net v2 trained: its plan, its network, its weights.

    Residual encoders, and plain networks whose kernels differ between levels, need dynamic_network_architectures.

    Args:
        trained: folder of the training, with plans.json, dataset.json and fold_0
        output: folder of the bundle, new or empty; the segmentation keyword of MONAI Label belongs into its name
        fold: whose weights are taken, a number or all
        checkpoint: name of the file in the fold's folder
        orientation: codes of the axes along which most images are stored; all are turned to it
    """
    from monai_patchgrow.tools.exchange.from_nnunet import bundle_of_nnunet

    written = bundle_of_nnunet(
        str(trained), str(output), fold=str(fold), checkpoint=str(checkpoint), orientation=str(orientation), say=_say
    )
    return str(written)


def to_nnunet(
    bundle: str,
    output: str,
    weights: str | Sequence[str] = (),
    plans: str | None = None,
    dataset: str | None = None,
) -> str:
    """Write a trained bundle as a folder that nnU-Net v2 predicts with, where its network is nnU-Net's.

    nnUNetv2_predict_from_modelfolder takes the folder. It needs dynamic_network_architectures.

    Args:
        bundle: folder of the bundle
        output: folder to write, new or empty
        weights: files of weights, one per fold from 0 on, as a.pt,b.pt; default: the bundle's models/model.pt
        plans: nnU-Net's plans; default: docs/nnUNetPlans.json of the bundle
        dataset: the data set's dataset.json; default: docs/dataset.json of the bundle
    """
    from monai_patchgrow.tools.exchange.to_nnunet import write_nnunet_folder

    files = weights.split(",") if isinstance(weights, str) else [str(file) for file in weights]
    stored = write_nnunet_folder(str(bundle), str(output), weights=files, plans=plans, dataset=dataset)
    _say(f"note: nnU-Net turns no image: what it predicts must be stored along {stored}, as in training")
    return str(output)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
