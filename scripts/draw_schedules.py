"""Draws growth.svg, the picture of each bundle's card, from the schedule of its plan under `efficiency`.

python scripts/draw_schedules.py
"""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from render_bundles import BUNDLES, read_tasks

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.tools.render.bundle import bundle_name, default_schedule

COLOUR, PALE = "#2a6f97", "#a9d6e5"
WIDEST = 54  # epochs on the axis that the largest patch of a picture takes


def main() -> None:
    for plan, card in read_tasks().values():
        draw(default_schedule(plan), BUNDLES / bundle_name(card) / "docs" / "growth.svg")


def draw(schedule: GrowthSchedule, target) -> None:
    # Named ids and no date, so that the same schedule gives the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "growth", "font.size": 9})
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    patches, cost = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.3])
    _draw_patches(patches, schedule)
    _draw_cost(cost, schedule)
    figure.savefig(target, metadata={"Date": None})


def _draw_patches(axes, schedule: GrowthSchedule) -> None:
    x_full, y_full = schedule.patch_size[:2]
    for stage in schedule.stages:
        x, y = stage.patch_size[:2]
        centre = stage.first_epoch + stage.num_epochs / 2
        width = x * WIDEST / x_full
        axes.add_patch(Rectangle((centre - width / 2, 0), width, y / y_full, facecolor=PALE, edgecolor=COLOUR))
        axes.text(centre, y / y_full + 0.05, format_size(stage.patch_size), ha="center", fontsize=6.5, rotation=30)
    axes.set_ylim(0, 1.5)
    axes.set_axis_off()
    axes.set_title("training patch of each stage, voxels (x, y, z); validation and inference use the last one")


def _draw_cost(axes, schedule: GrowthSchedule) -> None:
    full = schedule.stages[-1].voxels
    for stage in schedule.stages:
        span = (stage.first_epoch - 0.5, stage.last_epoch + 0.5)
        axes.fill_between(span, 0, 100 * stage.voxels / full, color=PALE, edgecolor=COLOUR, linewidth=0.8)
    axes.axhline(100, color="0.3", linestyle="--", linewidth=1)
    axes.text(10, 90, "constant: the full patch in every epoch", color="0.3")
    axes.text(10, 55, f"efficiency: {schedule.relative_voxels:.0%} of its voxels", color=COLOUR, fontsize=12)
    axes.set(xlim=(0, schedule.max_epochs + 1), ylim=(0, 108), xlabel="epoch", ylabel="voxels per iteration, %")


if __name__ == "__main__":
    main()
