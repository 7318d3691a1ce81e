"""Makes a bundle of a folder of labelled images: nnU-Net plans it, and the plan is rendered."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.decathlon import read_task
from monai_patchgrow.data.tasks.task import JSON, read_json
from monai_patchgrow.tools.page.data_page import render_data_page
from monai_patchgrow.tools.page.plan_story import PlanStory
from monai_patchgrow.tools.plan.nnunet_process import NnunetProcess, nnunet_version
from monai_patchgrow.tools.plan.options import CONFIGURATIONS, PlanOptions
from monai_patchgrow.tools.plan.planning import Say, plan_data
from monai_patchgrow.tools.plan.raw_data import folder_name, raw_description, usual_orientation
from monai_patchgrow.tools.render.bundle import BundleCard, check_new_folder, render_bundle, write_bundle
from monai_patchgrow.tools.render.dataset_names import parse_channels, parse_labels
from monai_patchgrow.tools.render.nnunet_plans import read_nnunet_plan
from monai_patchgrow.tools.render.plan_files import plan_files
from monai_patchgrow.tools.render.segmentation_plan import SegmentationPlan
from monai_patchgrow.tools.verify.report import DataReport
from monai_patchgrow.tools.verify.segmentation import check_segmentation

__all__ = ["DATA_PAGE", "new_bundle"]

_logger = logging.getLogger(__name__)

_TURNS_IMAGES = "NibabelIOWithReorient"  # nnU-Net's one reader that doesn't take axes as they are stored
_MEDIAN = "median_image_size_in_voxels"  # as nnU-Net plans for, in its axis order
_ON_PAGE = {"label-empty", "label-ignored"}  # warnings that the page finds by itself
DATA_PAGE = "docs/data.html"
"""Path of the page in a bundle."""


def new_bundle(
    data: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: PlanOptions,
    *,
    trust_label_voxels: bool = False,
    say: Say = _logger.info,
) -> Path:
    """Have nnU-Net plan a data set, and write the bundle of its plan, which appears whole or not at all.

    nnU-Net runs in a process and a temporary folder of its own, and the plan is its own, figure by figure. It lies in
    the bundle, too, with what it says of the data set: ``docs/nnUNetPlans.json``, ``docs/dataset.json``; and so does a
    page about the data and the plan, ``docs/data.html``.

    Args:
        data: folder in the Decathlon's or nnU-Net's layout.
        output: folder of the bundle, new or empty; where nnU-Net fails, what it printed is in ``OUTPUT.nnunet.log``.
        options: what is planned.
        trust_label_voxels: take labels of their image's shape as they are, whatever their headers say.
        say: is told each step.

    Returns:
        The bundle's folder.

    Raises:
        ValueError: data that can't be used, no nnunetv2, a step of nnU-Net that failed, or a plan unfit for a bundle.
    """
    check_new_folder(output)
    folder, target = Path(data), Path(output).absolute()
    version = nnunet_version(options.interpreter)
    reports: list[DataReport] = []
    check = partial(_check, folder, reports, trust_label_voxels=trust_label_voxels, num_workers=options.num_workers)
    say(f"1/3 checking the headers of {folder}")
    check(headers_only=True)
    description = raw_description(folder)
    log = target.with_name(f"{target.name}.nnunet.log")
    process = NnunetProcess(options.interpreter, version, log)
    plans = plan_data(description, folder_name(folder), options, process, check_voxels=check, say=say)
    content = json.loads(plans.read_text(encoding="utf-8"))
    _check_configuration(content, options.configuration, folder)
    images = [Path(case["images"][0]) for case in description["dataset"].values()]
    orientation = _planned_orientation(content, images, say)
    plan = read_nnunet_plan(plans, folder / JSON, configuration=options.configuration, orientation=orientation)
    say("page: what the data is like; each case is read once")
    page = _page(folder, plan, options, content, reports[-1], version)
    files = {**render_bundle(plan, BundleCard.of(plan)), **plan_files(plans, folder / JSON), DATA_PAGE: page}
    return write_bundle(files, target)


def _page(
    folder: Path,
    plan: SegmentationPlan,
    options: PlanOptions,
    content: Mapping[str, Any],
    report: DataReport,
    version: str,
) -> str:
    """The page about the data and the plan, and about what the last check warned of."""
    planned = [name for name in content["configurations"] if name != options.configuration]
    median_shape = content["configurations"][options.configuration].get(_MEDIAN)
    story = PlanStory(
        planner=options.planner,
        version=version,
        configuration=options.configuration,
        others=planned,
        memory=f"{options.target_gib:g} GiB",
        median_shape=median_shape and median_shape[::-1],
    )
    warned = [fault for fault in report.faults if fault.is_warning and fault.rule not in _ON_PAGE]
    return render_data_page(
        read_task(folder),
        plan,
        story,
        warnings_found=[(fault.file.removeprefix(f"{folder}/"), fault.what) for fault in warned],
        num_workers=options.num_workers,
    )


def _check(
    data: Path,
    reports: list[DataReport],
    *,
    trust_label_voxels: bool,
    num_workers: int | None,
    headers_only: bool = False,
) -> None:
    """Refuse data that is unsound, before nnU-Net reads it: a truncated image it takes for a whole one."""
    report = check_segmentation(
        data,
        trust_label_voxels=trust_label_voxels,
        headers_only=headers_only,
        num_workers=0 if headers_only else num_workers,
    )
    reports.append(report)
    if faults := [fault for fault in report.faults if not fault.is_warning]:
        more = f" (and {len(faults) - 1} more: patchgrow verify_data {data})" if len(faults) > 1 else ""
        raise DataError(f"{faults[0]}{more}")
    content = read_json(data)
    parse_channels(content, data / JSON)
    parse_labels(content, data / JSON)


def _check_configuration(content: Mapping[str, Any], configuration: str, data: Path) -> None:
    planned = [name for name in CONFIGURATIONS if name in content["configurations"]]
    if configuration not in planned:
        raise ValueError(f"{data}: nnU-Net planned no {configuration} for it, but {', '.join(planned)}")


def _planned_orientation(content: Mapping[str, Any], images: Sequence[Path], say: Say) -> str:
    """The axes that nnU-Net planned for, which takes them as most images are stored."""
    if content["image_reader_writer"] == _TURNS_IMAGES:
        return "RAS"
    codes, count = usual_orientation(images)
    if count < len(images):
        say(f"note: {count} of {len(images)} images are stored along {codes}, to which the bundle turns the others")
    return codes
