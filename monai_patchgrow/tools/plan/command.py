"""The command `patchgrow new`."""

from __future__ import annotations

import os
import shlex
import sys

__all__ = ["new"]


def new(
    data: str,
    output: str,
    memory: float | str | None = None,
    preset: str = "default",
    configuration: str = "3d_fullres",
    python: str | None = None,
    cache_dir: str | None = None,
    trust_label_voxels: bool = False,
    num_workers: int | None = None,
) -> str:
    """Make a MONAI bundle of a folder of labelled images, which nnU-Net v2 plans.

    It needs nnunetv2 2.8, in an environment of its own (--python) or here (the extra nnunet).

    Args:
        data: folder in the Decathlon's or nnU-Net's layout
        output: folder of the bundle, new or empty; the segmentation keyword of MONAI Label belongs into its name
        memory: of the GPU to plan for, as 8GiB; default: the preset's, 8, 8, 24 and 40 GiB
        preset: nnU-Net's: default, ResEncM, ResEncL or ResEncXL
        configuration: 3d_fullres, 3d_lowres or 2d
        python: interpreter that has nnunetv2; default: the variable PATCHGROW_NNUNET_PYTHON, or this one
        cache_dir: keeps what nnU-Net found and planned, for later calls; default: in the user's cache folder
        trust_label_voxels: take labels of their image's shape as they are, whatever their headers say
        num_workers: processes that read images; default: one per core, at most 8
    """
    from monai_patchgrow.tools.plan.new_bundle import DATA_PAGE, new_bundle
    from monai_patchgrow.tools.plan.nnunet_process import signals_as_exit
    from monai_patchgrow.tools.plan.options import PlanOptions

    options = PlanOptions(
        memory=memory,
        preset=str(preset),
        configuration=str(configuration),
        python=None if python is None else str(python),
        cache_dir=None if cache_dir is None else str(cache_dir),
        num_workers=num_workers,
    )
    with signals_as_exit():
        written = new_bundle(str(data), str(output), options, trust_label_voxels=trust_label_voxels, say=_say)
    words = ["python", "-m", "monai.bundle", "run", "--config_file", f"{written}/configs/train.json"]
    words += ["--dataset_dir", os.path.abspath(str(data))]
    words += ["--trust_label_voxels", "True"] if trust_label_voxels else []
    _say(f"look at the data and the plan: {written / DATA_PAGE}")
    _say(f"train it: {shlex.join(words)}")
    return str(written)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()
