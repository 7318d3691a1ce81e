"""The plan of nnU-Net that a bundle is made of, as files in the bundle: what it takes to go back to nnU-Net."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_patchgrow.tools.render.dataset_names import parse_channels, parse_labels
from monai_patchgrow.tools.render.nnunet_plans import read_json

__all__ = ["DATASET_IN_BUNDLE", "PLANS_IN_BUNDLE", "described_for_nnunet", "plan_files"]

PLANS_IN_BUNDLE = "docs/nnUNetPlans.json"
"""Where a bundle has the plan that it was made of."""

DATASET_IN_BUNDLE = "docs/dataset.json"
"""Where it has nnU-Net's description of the data set."""

_OF_NNUNET = ("channel_names", "labels", "regions_class_order", "file_ending", "overwrite_image_reader_writer")
_ENDING = ".nii.gz"


def plan_files(plans: str | os.PathLike[str], dataset: str | os.PathLike[str]) -> dict[str, str]:
    """The plan as it is, and the data set's description in nnU-Net's words: text by path within the bundle.

    Args:
        plans: nnU-Net's ``nnUNetPlans.json``.
        dataset: the data set's ``dataset.json``, nnU-Net's or the Decathlon's.

    Raises:
        ValueError: a file that can't be read, or names neither channels nor labels.
    """
    described = described_for_nnunet(read_json(dataset), dataset)
    return {
        PLANS_IN_BUNDLE: Path(plans).read_text(encoding="utf-8-sig"),
        DATASET_IN_BUNDLE: json.dumps(described, indent=4, ensure_ascii=False) + "\n",
    }


def described_for_nnunet(content: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
    """A dataset.json in nnU-Net's words, without the list of cases.

    Args:
        content: of nnU-Net's dataset.json, or the Decathlon's.
        path: of the file, which an error names.

    Raises:
        ValueError: neither channels nor labels.
    """
    if "channel_names" in content:
        return {"file_ending": _ENDING, **{key: content[key] for key in _OF_NNUNET if key in content}}
    channels, classes = parse_channels(content, path), parse_labels(content, path)
    described = {"channel_names": dict(zip(map(str, range(len(channels))), channels, strict=True))}
    if classes.regions:
        order = {"regions_class_order": list(classes.regions_class_order)}
        return {**described, "labels": classes.as_config(), **order, "file_ending": _ENDING}
    # The Decathlon's names may stand for two values, which nnU-Net's can't.
    names = classes.names if len(set(classes.names.values())) == len(classes.names) else {}
    labels = {names.get(value, str(value)): value for value in classes.names}
    return {**described, "labels": labels, "file_ending": _ENDING}
