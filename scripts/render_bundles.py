"""Renders the bundles from the package's templates and the task tables beside the bundles, in place.

python scripts/render_bundles.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_patchgrow.tools.render.bundle import BundleCard, bundle_name, render_bundle
from monai_patchgrow.tools.render.classification import render_classification
from monai_patchgrow.tools.render.nnunet_plans import plan_of
from monai_patchgrow.tools.render.segmentation_plan import SegmentationPlan
from monai_patchgrow.tools.render.trained_weights import TrainedWeights

BUNDLES = Path(__file__).parents[1] / "bundles"


def main() -> None:
    for name, files in rendered_bundles().items():
        for path, text in files.items():
            target = BUNDLES / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


def rendered_bundles() -> dict[str, dict[str, str]]:
    """The files of each bundle, by the bundle's name."""
    segmentation = {bundle_name(card): render_bundle(plan, card) for plan, card in read_tasks().values()}
    return {**segmentation, **rendered_classification()}


def rendered_classification() -> dict[str, dict[str, str]]:
    """The files of each classification bundle, by the bundle's name."""
    table = json.loads((BUNDLES / "classification_tasks.json").read_text(encoding="utf-8"))
    return {f"{name}_classification_patchgd": render_classification(name, task) for name, task in table.items()}


def read_tasks() -> dict[str, tuple[SegmentationPlan, BundleCard]]:
    """The task table: plan and card by the data set's name."""
    table = json.loads((BUNDLES / "tasks.json").read_text(encoding="utf-8"))["tasks"]
    return {dataset: (_plan(dataset, task), _card(task["card"])) for dataset, task in table.items()}


def _card(texts: dict[str, Any]) -> BundleCard:
    weights = texts.get("weights")
    return BundleCard(**{**texts, "weights": weights and TrainedWeights(**weights)})


def _plan(dataset: str, task: dict[str, Any]) -> SegmentationPlan:
    return plan_of(
        task["configuration"],
        dataset=dataset,
        channels=task["channels"],
        labels={int(value): name for value, name in task["labels"].items()},
        intensities=task["intensities"],
    )


if __name__ == "__main__":
    main()
