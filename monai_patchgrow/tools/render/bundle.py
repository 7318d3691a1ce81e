"""Renders a plan into the files of a self-contained MONAI bundle."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from monai_patchgrow.files import whole_folder
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.arguments import format_size
from monai_patchgrow.tools.render.bundle_scripts import bundle_scripts
from monai_patchgrow.tools.render.segmentation_plan import SCHEMES, SegmentationPlan
from monai_patchgrow.tools.render.trained_weights import TrainedWeights

__all__ = [
    "BundleCard",
    "bundle_name",
    "check_new_folder",
    "default_schedule",
    "render_bundle",
    "render_templates",
    "write_bundle",
]

TEMPLATES = Path(__file__).parent / "templates" / "segmentation"
"""The templates: Jinja2 in all files but code and licence."""

_PARTS = "parts"  # what templates include: no files of a bundle
_VERBATIM = (".py", "")  # suffixes of code, and of LICENSE
MAX_EPOCHS = 1000
"""nnU-Net's, and the bundles'."""


@dataclass(frozen=True, kw_only=True)
class BundleCard:
    """What a bundle's card and metadata say beside the plan.

    name: of the task, one word in lower case.
    title: headline.
    structures: what is segmented.
    images: kind of images, as "portal venous CT".
    modality: DICOM's code, "CT" or "MR".
    institution: where the Decathlon's data comes from; None: the data is another.
    labelled_cases: how many the data set has.
    nnunet_dice, nnunet_dice_per_class: of nnU-Net v2 in 1000 epochs, percent, mean of five folds.
    nnunet_hours: of nnU-Net v2 per fold, on one H100.
    weights: that the bundle comes with; None: it is to be trained.
    origin: where weights come from of which no more is known; None: there are none.
    fixed_axis: array axis along which labels know a direction, and which is not mirrored; None: all are.
    """

    name: str
    title: str
    structures: str
    images: str
    modality: str
    institution: str | None = None
    labelled_cases: int | None = None
    nnunet_dice: float | None = None
    nnunet_dice_per_class: tuple[float, ...] = ()
    nnunet_hours: float | None = None
    weights: TrainedWeights | None = None
    origin: str | None = None
    fixed_axis: int | None = None

    @property
    def is_decathlon(self) -> bool:
        """Whether the data is one of the Medical Segmentation Decathlon's ten tasks."""
        return self.institution is not None

    @classmethod
    def of(cls, plan: SegmentationPlan, *, origin: str | None = None) -> BundleCard:
        """The card of a data set of which no more is known than its plan, and where its weights come from."""
        name = re.sub(r"[^a-z0-9]", "", re.sub(r"^(Dataset|Task)\d+_", "", plan.dataset).lower()) or "task"
        is_ct = any(entry["scheme"] == "CTNormalization" for entry in plan.normalisation)
        return cls(
            name=name,
            title=f"Segmentation of {plan.dataset}",
            structures=", ".join(plan.classes.structures),
            images=", ".join(plan.channels),
            modality="CT" if is_ct else "MR",
            origin=origin,
        )


def bundle_name(card: BundleCard) -> str:
    """The folder's name, after which consumers such as MONAI Label tell the kind of bundle.

    >>> card = BundleCard(name="spleen", title="Spleen segmentation", structures="spleen", images="CT", modality="CT")
    >>> bundle_name(card)
    'spleen_segmentation_patchgrow'
    """
    return f"{card.name}_segmentation_patchgrow"


def render_bundle(plan: SegmentationPlan, card: BundleCard) -> dict[str, str]:
    """The bundle's files: text by path within the bundle.

    Args:
        plan: the task and its network.
        card: what the texts say beside it.
    """
    values = {"plan": plan, "card": card, "name": bundle_name(card), **_texts(plan), **_mirroring(plan, card)}
    return {**render_templates(TEMPLATES, values), **bundle_scripts()}


def render_templates(folder: Path, values: Mapping[str, Any]) -> dict[str, str]:
    """The files of a bundle whose templates lie in a folder: text by path within the bundle.

    Args:
        folder: of the templates; what lies in its ``parts`` is there to be included, and one that renders to nothing
            is no file.
        values: what the templates name.
    """
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # no HTML is made
    )
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, allow_nan=False)
    files = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if not path.is_file() or relative.parts[0] == _PARTS or "__pycache__" in relative.parts:
            continue
        if path.suffix in _VERBATIM:
            files[relative.as_posix()] = path.read_text(encoding="utf-8")
        else:
            files[relative.as_posix()] = environment.get_template(relative.as_posix()).render(values)
    return {name: text for name, text in files.items() if text}


def write_bundle(
    files: Mapping[str, str], target: str | os.PathLike[str], *, finish: Callable[[Path], None] | None = None
) -> Path:
    """Write a bundle's files to a new folder, which appears whole or not at all.

    Args:
        files: as :func:`render_bundle` gives them.
        target: folder; it must be new or empty.
        finish: writes what is no text into the folder, before it appears.

    Returns:
        The folder.

    Raises:
        ValueError: the folder holds something.
    """
    folder = Path(target).absolute()
    check_new_folder(target)
    with whole_folder(folder) as partial:
        for name, text in files.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        if finish is not None:
            finish(partial)
    return folder


def check_new_folder(target: str | os.PathLike[str]) -> None:
    """Refuse a folder that holds something.

    Args:
        target: folder of a bundle that is to be written.

    Raises:
        ValueError: it is there, and is no folder or not empty.
    """
    folder = Path(target)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{target} is there already: name a new folder")


def default_schedule(plan: SegmentationPlan) -> GrowthSchedule:
    """The schedule of the bundle's default settings.

    Args:
        plan: the task and its network.
    """
    return GrowthSchedule.plan(
        patch_size=plan.patch_size,
        total_stride=plan.total_stride,
        batch_size=plan.batch_size,
        max_epochs=MAX_EPOCHS,
        curriculum="efficiency",
        axis_order=plan.axes[::-1],
    )


def _texts(plan: SegmentationPlan) -> dict[str, Any]:
    """What several templates say of a plan."""
    schedule = default_schedule(plan)
    return {
        "stage_sizes": [format_size(stage.patch_size) for stage in schedule.stages],
        "relative_voxels": f"{schedule.relative_voxels:.2f}",
        "channel_def": {str(number): channel for number, channel in enumerate(plan.channels)},
        # A norm needs more than one voxel at the bottleneck.
        "spatial_shape": [f"{stride * 2 if axis == 0 else stride}*n" for axis, stride in enumerate(plan.total_stride)],
        "input_text": _describe_inputs(plan),
        "label_text": _describe_labels(plan),
        "output_text": _describe_labels(plan) if plan.regions_class_order else ", ".join(plan.classes.outputs),
        "output_def": {str(number): name for number, name in enumerate(plan.classes.outputs)},
    }


def _mirroring(plan: SegmentationPlan, card: BundleCard) -> dict[str, Any]:
    """Which axes a bundle mirrors, and why."""
    mirrored = [axis for axis in plan.axes if axis != card.fixed_axis]
    labels = " and ".join(plan.classes.structures)
    if card.fixed_axis is not None:
        text = f"not axis {card.fixed_axis}, along which {labels} lie, whose places mirroring exchanges"
    elif card.is_decathlon:
        text = "all, as nnU-Net; no two labels of this task differ by their direction alone"
    else:
        text = "all, as nnU-Net; leave out an axis along which labels know a direction, as left and right"
    return {"mirror_axes": mirrored, "mirror_text": text}


def _describe_labels(plan: SegmentationPlan) -> str:
    """The values of a label map and their names; of regions, the values that each is made of."""
    classes = plan.classes
    ignored = "" if classes.ignored is None else f", {classes.ignored}: not annotated"
    if not classes.regions:
        return ", ".join(f"{value}: {name}" for value, name in enumerate(classes.outputs)) + ignored
    regions = (f"{' or '.join(map(str, values))}: {name}" for name, values in classes.regions.items())
    return f"0: {classes.names[0]}, {', '.join(regions)}{ignored}"


def _describe_inputs(plan: SegmentationPlan) -> str:
    """The channels and how they are normalised, once where it is the same for all."""
    texts = [
        SCHEMES[entry["scheme"]] + (" that is not 0" if entry.get("masked_to_nonzero") else "")
        for entry in plan.normalisation
    ]
    if len(set(texts)) == 1:
        return f"{', '.join(plan.channels)}: {texts[0]}"
    return "; ".join(f"{channel}: {text}" for channel, text in zip(plan.channels, texts, strict=True))
