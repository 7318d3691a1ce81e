"""Renders an entry of the classification task table into the files of a self-contained MONAI bundle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_patchgrow.losses.image_target import ImageTarget
from monai_patchgrow.networks.encoders.by_name import backbone_rule
from monai_patchgrow.tools.render.bundle import render_templates

__all__ = ["render_classification"]

TEMPLATES = Path(__file__).parent / "templates" / "classification"
"""The templates: Jinja2 in all files but the licence."""


def render_classification(key: str, task: Mapping[str, Any]) -> dict[str, str]:
    """The bundle's files: text by path within the bundle.

    Args:
        key: of the table: the task's name, one word in lower case.
        task: the entry.
    """
    return render_templates(TEMPLATES, {"key": key, "task": task, **_texts(key, task)})


def _texts(key: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """What several templates say of a task."""
    outputs = ImageTarget(task["target"], task["num_classes"]).num_outputs
    stride = backbone_rule(task["backbone"], spatial_dims=len(task["patch_size"])).total_stride
    size = task["image_size"] or [f"{voxels}*n" for voxels in task["patch_size"]]
    word = {"classes": "class", "grades": "grade above", "value": "value"}[task["target"]]
    return {
        "name": f"{key}_classification_patchgd",
        "kind": "digits" if task["data"] == "ultramnist" else task["data"],
        "num_outputs": outputs,
        "spatial_shape": size,
        "channel_def": {str(number): channel for number, channel in enumerate(task["channels"])},
        "output_def": {str(number): f"{word} {number}" for number in range(outputs)},
        "total_stride": list(stride),
    }
