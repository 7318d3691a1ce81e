"""The settings of a segmentation bundle's training, parsed once from the flat keys of its config."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal

import torch

from monai_patchgrow.bundle.plain_settings import (
    LARGEST_SEED,
    as_plain,
    check_extension,
    parse_compile,
    parse_device,
    parse_file,
    parse_folder,
    parse_list,
    parse_number,
    parse_resume,
    parse_switch,
)
from monai_patchgrow.bundle.segmentation_classes import parse_channels, parse_labels, parse_normalisation
from monai_patchgrow.bundle.segmentation_levels import parse_levels
from monai_patchgrow.bundle.split_settings import parse_fold
from monai_patchgrow.label_classes import LabelClasses
from monai_patchgrow.schedules import GrowthSchedule
from monai_patchgrow.schedules.arguments import Sizes, parse_int, parse_sizes
from monai_patchgrow.transforms import AugmentationRecipe

__all__ = ["OPTIONAL", "SegmentationSettings"]

OPTIONAL = MappingProxyType(
    {
        **{"smallest_patch": None, "full_patch_share": None, "trust_label_voxels": False},
        **{"split_file": None, "extend_to": None, "checkpoint_minutes": 10, "deterministic": True},
        **{"regions_class_order": None, "pretrained": None},
    }
)
"""Settings that bundles lack which were rendered before them, with the values that such bundles had."""

_ID = MappingProxyType({"max_epochs": "train#trainer#max_epochs"})  # MONAI's consumers set it there
_ORIENTATION = ({"L", "R"}, {"A", "P"}, {"I", "S"})
_SWITCHES = (
    *("verify_data", "trust_label_voxels", "augment", "batch_dice"),
    *("channels_last", "deterministic"),
)
_FOLDERS = ("dataset_dir", "output_dir", "ckpt_dir", "cache_dir")
_PACING = ("curriculum", "smallest_patch", "full_patch_share")
_FREE = frozenset(  # what a run may be resumed with another one of, or is compared elsewhere
    [
        *(*_FOLDERS, "max_epochs", "planned_epochs", "iterations_per_epoch", "extend_to", "seed"),
        *("split_file", "pretrained", "resume", "checkpoint_minutes", "verify_data", "num_workers", "cache_memory_gib"),
        *("device", "amp", "channels_last", "compile", "deterministic"),
    ]
)
_COUNTS = ("batch_size", "max_epochs", "planned_epochs", "iterations_per_epoch", "val_interval")


@dataclass(frozen=True, kw_only=True)
class SegmentationSettings:
    """What a training is told, each value checked; ``print`` shows one per line.

    Sizes are voxels per array axis, (x, y, z) or (x, y); the bundle's card says what each setting means.

    >>> SegmentationSettings.ids()[:3]
    ['dataset_dir', 'output_dir', 'ckpt_dir']
    """

    dataset_dir: str
    output_dir: str
    ckpt_dir: str
    cache_dir: str
    curriculum: str
    smallest_patch: Sizes | None
    full_patch_share: float | None
    patch_size: Sizes
    total_stride: Sizes
    axis_order: Sizes
    batch_size: int
    max_epochs: int
    planned_epochs: int
    iterations_per_epoch: int
    val_interval: int
    fold: int | Literal["all"]
    split_file: str | None
    seed: int
    learning_rate: float
    pretrained: str | None
    batch_dice: bool
    deep_supervision_weights: tuple[float, ...]
    augment: bool
    mirror_axes: Sizes
    channels: tuple[str, ...]
    labels: LabelClasses
    regions_class_order: Sizes | None
    spacing: tuple[float, ...]
    orientation: str
    normalisation: tuple[Mapping[str, Any], ...]
    strides: tuple[Sizes, ...]
    kernel_sizes: tuple[Sizes, ...]
    features: Sizes
    resume: bool | Literal["auto"]
    extend_to: int | None
    checkpoint_minutes: float | None
    verify_data: bool
    trust_label_voxels: bool
    num_workers: int
    cache_memory_gib: float | None
    device: torch.device
    amp: bool
    channels_last: bool
    deterministic: bool
    compile: bool | Literal["reduce-overhead", "cuda-graphs"]

    @classmethod
    def ids(cls) -> list[str]:
        """Where the config has the settings, in the order of the fields."""
        return [_ID.get(field.name, field.name) for field in fields(cls)]

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> SegmentationSettings:
        """Parse the values of a config's keys.

        Args:
            values: by id, as :meth:`ids` lists them. None for `deep_supervision_weights` means nnU-Net's, for `amp` a
                GPU's default, for `cache_memory_gib` half of what is free.

        Raises:
            ValueError: a value that can't be used, in one line that names its key.
        """
        raw = {field.name: {**OPTIONAL, **values}[_ID.get(field.name, field.name)] for field in fields(cls)}
        parsed: dict[str, Any] = {name: parse_folder(raw[name], name=name) for name in _FOLDERS}
        parsed |= {name: parse_int(raw[name], name=name, minimum=1) for name in _COUNTS}
        parsed |= {name: parse_switch(raw[name], name=name) for name in _SWITCHES} | _plan(raw)
        file = raw["pretrained"]
        parsed["pretrained"] = None if file is None else parse_file(file, name="pretrained")
        return cls(**{**parsed, **parse_levels(raw), **_data(raw), **_machine(raw), **_checkpoints(raw)})

    @property
    def is_on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def compiler(self) -> dict[str, Any] | None:
        """Options of ``torch.compile``, None where nothing is compiled."""
        if self.compile in (False, "cuda-graphs"):
            return None
        return {"dynamic": False, "mode": None if self.compile is True else self.compile}

    @property
    def num_heads(self) -> int:
        """Decoder levels below the finest that get a head in training."""
        return len(self.deep_supervision_weights) - 1

    @property
    def class_names(self) -> list[str]:
        """Of the labels above background, or of the regions, in order."""
        return list(self.labels.structures)

    @property
    def resumed(self) -> dict[str, Any]:
        """What a run that is resumed must have in common with the one before, beside its epochs and its cases."""
        names = [field.name for field in fields(self) if field.name not in _FREE]
        labels = self.labels.as_config()
        values = {name: getattr(self, name) for name in names}
        values["labels"] = list(labels.items()) if self.labels.regions else labels  # the order of regions counts
        return {name: as_plain(value) for name, value in values.items()}

    @property
    def outputs(self) -> list[str]:
        """Files and folders that a run writes beside its checkpoint."""
        weights = [f"{self.ckpt_dir}/model{suffix}" for suffix in (".safetensors", ".pt")]
        return [*weights, f"{self.output_dir}/history.jsonl", f"{self.output_dir}/tensorboard"]

    def __str__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)} | {"labels": self.labels.as_config()}
        return "\n".join(f"{name:25} {value}" for name, value in values.items())


def _plan(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What stages and augmentation follow from."""
    names = ("patch_size", "total_stride", "batch_size", "axis_order", *_PACING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of merged stages, which comes with the schedule that is trained
        schedule = GrowthSchedule.plan(max_epochs=raw["planned_epochs"], **{name: raw[name] for name in names})
    mirror_axes, smallest = parse_list(raw["mirror_axes"], name="mirror_axes"), raw["smallest_patch"]
    AugmentationRecipe.nnunet(schedule.patch_size, mirror_axes=mirror_axes)
    return {
        **{name: raw[name] for name in _PACING},
        "smallest_patch": smallest and parse_sizes(smallest, name="smallest_patch"),
        "patch_size": schedule.patch_size,
        "total_stride": parse_sizes(raw["total_stride"], name="total_stride"),
        "axis_order": tuple(raw["axis_order"]),
        "mirror_axes": mirror_axes,
        "learning_rate": parse_number(raw["learning_rate"], name="learning_rate", above=0),
    }


def _data(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What the cases are, and how they are prepared."""
    spacing = parse_list(raw["spacing"], name="spacing", length=len(raw["patch_size"]))
    channels, codes = parse_channels(raw["channels"]), raw["orientation"]
    file, order = raw["split_file"], raw["regions_class_order"]
    labels = parse_labels(raw["labels"], order)
    if not isinstance(codes, str) or any(len(pair & set(codes)) != 1 for pair in _ORIENTATION) or len(codes) != 3:
        raise ValueError(f"orientation must have a letter each of LR, AP and IS, as RAS, got {codes!r}")
    return {
        "channels": channels,
        "labels": labels,
        "regions_class_order": labels.regions_class_order or None,
        "spacing": tuple(parse_number(mm, name="spacing", above=0) for mm in spacing),
        "orientation": codes,
        "normalisation": parse_normalisation(raw["normalisation"], num_channels=len(channels)),
        "fold": parse_fold(raw["fold"], has_file=file is not None),
        "split_file": None if file is None else parse_file(file, name="split_file"),
    }


def _checkpoints(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What a run keeps, and what it goes on from."""
    resume, epochs, minutes = parse_resume(raw["resume"], name="resume"), raw["extend_to"], raw["checkpoint_minutes"]
    check_extension(epochs, resume=resume)
    return {
        "resume": resume,
        "extend_to": None if epochs is None else parse_int(epochs, name="extend_to", minimum=1),
        "checkpoint_minutes": None if minutes is None else parse_number(minutes, name="checkpoint_minutes", above=0),
    }


def _machine(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Where and how it runs, and from which random numbers."""
    device, memory = parse_device(raw["device"]), raw["cache_memory_gib"]
    return {
        "seed": parse_int(raw["seed"], name="seed", minimum=0, maximum=LARGEST_SEED),
        "num_workers": parse_int(raw["num_workers"], name="num_workers", minimum=0),
        "cache_memory_gib": None if memory is None else parse_number(memory, name="cache_memory_gib", minimum=0),
        "device": device,
        "compile": parse_compile(raw["compile"], name="compile", device=device),
        "amp": device.type == "cuda" if raw["amp"] is None else parse_switch(raw["amp"], name="amp"),
    }
