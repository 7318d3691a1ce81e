"""Draws growth.svg, the picture of README and bundle card, from a real schedule: MSD Task04 under `efficiency`."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from monai_patchgrow import GrowthSchedule
from monai_patchgrow.schedules.table import format_size

TARGET = Path(__file__).parents[1] / "bundles" / "hippocampus_segmentation_patchgrow" / "docs" / "growth.svg"
COLOUR, PALE = "#2a6f97", "#a9d6e5"
EPOCHS_PER_VOXEL = 1.35  # width of a drawn patch on the axis of epochs


def main() -> None:
    """Draw the picture."""
    schedule = GrowthSchedule.plan(
        patch_size=(40, 56, 40), total_stride=(8, 8, 8), batch_size=9, max_epochs=1000, curriculum="efficiency"
    )
    # Named ids and no date, so that the same schedule gives the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "growth", "font.size": 9})
    figure = Figure(figsize=(9, 4.4), layout="constrained")
    patches, cost = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1.3])
    _draw_patches(patches, schedule)
    _draw_cost(cost, schedule)
    figure.savefig(TARGET, metadata={"Date": None})


def _draw_patches(axes, schedule: GrowthSchedule) -> None:
    for stage in schedule.stages:
        z, y, _ = stage.patch_size
        centre = stage.first_epoch + stage.num_epochs / 2
        width = z * EPOCHS_PER_VOXEL
        axes.add_patch(Rectangle((centre - width / 2, 0), width, y, facecolor=PALE, edgecolor=COLOUR))
        axes.text(centre, y + 3, format_size(stage.patch_size), ha="center", fontsize=6.5, rotation=30)
    axes.set_ylim(0, 84)
    axes.set_axis_off()
    axes.set_title("training patch of each stage, voxels (z, y, x); validation and inference use the last one")


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
