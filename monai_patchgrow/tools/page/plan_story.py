"""What was planned for a data set, and why; and the stages that each curriculum makes of it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_patchgrow.schedules import CURRICULA, GrowthSchedule
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.tools.page.case_survey import CaseSurvey
from monai_patchgrow.tools.page.text import number, sizes
from monai_patchgrow.tools.render.bundle import MAX_EPOCHS
from monai_patchgrow.tools.render.segmentation_plan import SCHEMES, SegmentationPlan

__all__ = ["PlanStory", "plan_rows", "schedule_tables"]

_ISOTROPIC = 3  # times that an axis is coarser than the finest, from which on nnU-Net treats it by itself


@dataclass(frozen=True, kw_only=True)
class PlanStory:
    """How a plan came about.

    planner: nnU-Net's class.
    version: of nnU-Net.
    configuration: that the bundle has.
    others: that were planned too.
    memory: that was planned for, in words.
    median_shape: of the cases, cropped to what is not 0, voxels per axis of the patch at the planned spacing;
        None: the plan doesn't tell.
    """

    planner: str
    version: str
    configuration: str
    others: Sequence[str]
    memory: str
    median_shape: Sequence[float] | None


def plan_rows(plan: SegmentationPlan, story: PlanStory, cases: Sequence[CaseSurvey]) -> list[tuple[str, str, str]]:
    """What was planned, its figure, and why.

    Args:
        plan: that was made.
        story: how it came about.
        cases: that it was made for.
    """
    extent = [size * mm for size, mm in zip(plan.patch_size, plan.spacing, strict=True)]
    batch_dice = (
        ("over the batch as a whole", "a patch sees a small part of a case, which may hold little of a structure")
        if plan.batch_dice
        else ("of each patch", "a patch sees a quarter of the median case or more")
    )
    planner = f"{story.planner} of nnU-Net {story.version}"
    others = f"; it planned {', '.join(story.others)} too" if story.others else ""
    return [
        ("configuration", story.configuration, planner + others),
        (
            "memory",
            story.memory,
            "of the GPU, by nnU-Net's own estimate: patch and batch are as large as it lets them be",
        ),
        ("spacing", f"{sizes(plan.spacing)} mm", _why_spacing(plan, cases)),
        ("patch", f"{format_size(plan.patch_size)} voxels, {sizes(extent)} mm", _why_patch(plan, story)),
        ("batch", f"{plan.batch_size} patches", "what the memory leaves beside such a patch: 2 at least"),
        (
            "network",
            f"{len(plan.strides)} levels of {', '.join(map(str, plan.features))} features",
            "a level halves each axis on which the patch still has 8 voxels or more, coarse axes later",
        ),
        ("Dice loss", *batch_dice),
        ("intensities", _intensities(plan), "by the channel's name: CT has a unit of its own, others have none"),
    ]


def _why_spacing(plan: SegmentationPlan, cases: Sequence[CaseSurvey]) -> str:
    middle = np.median([case.spacing for case in cases], axis=0)[: plan.spatial_dims]
    if plan.is_anisotropic:
        more = f"; along an axis {_ISOTROPIC} times coarser than others nnU-Net takes the 10th percentile"
    else:
        more = "" if np.allclose(middle, plan.spacing, rtol=0.01) else "; nnU-Net takes axes as each image stores them"
    return f"the median of the cases is {sizes(middle.tolist())} mm" + more


def _why_patch(plan: SegmentationPlan, story: PlanStory) -> str:
    stride = f"a multiple of the stride {format_size(plan.total_stride)}"
    if story.median_shape is None:
        return stride
    covered = (min(1.0, size / voxels) for size, voxels in zip(plan.patch_size, story.median_shape, strict=True))
    shares = ", ".join(f"{share:.0%}" for share in covered)
    shape = sizes(np.round(story.median_shape).tolist())
    case = f"the median case, which has {shape} voxels at that spacing once it is cropped to what is not 0"
    return f"{shares} of {case}; {stride}"


def _intensities(plan: SegmentationPlan) -> str:
    told = (
        f"{channel}: {SCHEMES[entry['scheme']]}" + (_figures(entry) if "std" in entry else "")
        for channel, entry in zip(plan.channels, plan.normalisation, strict=True)
    )
    return "; ".join(told)


def _figures(entry: Mapping[str, Any]) -> str:
    low, high = entry["clip"]
    return f" ({number(low)} to {number(high)}; {number(entry['mean'])} and {number(entry['std'])})"


def schedule_tables(plan: SegmentationPlan) -> list[dict[str, Any]]:
    """The stages of each curriculum with the bundle's default settings.

    Args:
        plan: whose patch grows.
    """
    found = []
    for curriculum in CURRICULA:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of merged stages: the table shows them
            schedule = GrowthSchedule.plan(
                patch_size=plan.patch_size,
                total_stride=plan.total_stride,
                batch_size=plan.batch_size,
                max_epochs=MAX_EPOCHS,
                curriculum=curriculum,
                axis_order=plan.axes[::-1],
            )
        drawn = [format_size(size) for size in schedule.candidates] if schedule.is_random else []
        rows = [
            (
                format_size(stage.patch_size),
                sizes([size * mm for size, mm in zip(stage.patch_size, plan.spacing, strict=True)]),
                str(stage.batch_size),
                f"{stage.first_epoch}-{stage.last_epoch}",
                f"{stage.batch_size * stage.voxels:,}",
            )
            for stage in schedule.stages
        ]
        found.append({"name": curriculum, "rows": rows, "voxels": f"{schedule.relative_voxels:.2f}", "random": drawn})
    return found
