"""The settings of a classification bundle, parsed once from the flat keys of its config."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch

from monai_patchgrow.bundle.patchgd.parsers import PARSERS
from monai_patchgrow.bundle.patchgd.rules import check_digits, check_grid, check_growth, check_names, check_turning
from monai_patchgrow.bundle.plain_settings import as_plain, check_extension
from monai_patchgrow.bundle.split_settings import parse_fold
from monai_patchgrow.data.synthetic.ultramnist import DIGIT_COUNTS
from monai_patchgrow.engines.patchgd.chunks import Sampling
from monai_patchgrow.losses.image_target import ImageTarget
from monai_patchgrow.networks.encoders.by_name import backbone_rule
from monai_patchgrow.schedules.patch_grid import PatchGrid

__all__ = ["ClassificationSettings", "DataKind"]

DataKind = Literal["digits", "slides", "volumes"]
Sizes = tuple[int, ...]

_ID = {"max_epochs": "train#trainer#max_epochs"}  # MONAI's consumers set it there
_FREE = frozenset(  # what a run may be resumed with another one of, or is compared elsewhere
    [
        *("data", "dataset_dir", "output_dir", "ckpt_dir", "ckpt_path", "cache_dir", "pretrained", "class_names"),
        *("max_epochs", "planned_epochs", "extend_to", "train_images", "seed", "resume", "checkpoint_minutes"),
        *("verify_data", "verify_tiles", "cache_memory_gib", "num_workers", "chunk_size", "evidence", "device", "amp"),
        *("split_file", "channels_last", "deterministic"),
    ]
)
_WHITE = 255


@dataclass(frozen=True, kw_only=True)
class ClassificationSettings:
    """What a training, an evaluation or an inference is told, each value checked; ``print`` shows one per line.

    Sizes are voxels per array axis; the bundle's card says what each setting means. What a program doesn't have, such
    as the learning rate of an evaluation, is None here.

    >>> ClassificationSettings.ids()[:3]
    ['dataset_dir', 'output_dir', 'ckpt_dir']
    """

    data: DataKind
    dataset_dir: Any = None
    output_dir: str
    ckpt_dir: str | None = None
    ckpt_path: str | None = None
    patch_size: Sizes
    stride: Sizes | None
    image_size: Sizes | None
    channels: tuple[str, ...]
    target: Literal["classes", "grades", "value"]
    num_classes: int
    class_names: tuple[str, ...]
    class_weights: tuple[float, ...] | None = None
    backbone: str
    backbone_options: Mapping[str, Any]
    latent_dim: int
    head: str
    head_options: Mapping[str, Any]
    pretrained: str | None = None
    padding: float
    allow_smaller: bool
    skip_background: bool
    ignore_background: bool = False
    level: int | None = None
    background_threshold: float | None = None
    spacing: tuple[float, ...] | None = None
    orientation: str | None = None
    percentiles: tuple[float, float] | None = None
    intensity_range: tuple[float, float] | None = None
    cache_dir: str | None = None
    cache_memory_gib: float | None = None
    train_images: int | None = None
    val_images: int | None = None
    digit_pixels: tuple[int, int] | None = None
    digit_counts: tuple[int, ...] = DIGIT_COUNTS
    data_seed: int | None = None
    fold: int | Literal["all", "test"] | None = None
    split_file: str | None = None
    verify_data: bool = False
    verify_tiles: bool = False
    chunk_size: int | None
    sampling: float | None = None
    inner_steps: int | None = None
    accumulation: int | None = None
    exact: bool | None = None
    true_gradient: bool = False
    curriculum: str | None = None
    batch_size: int
    max_epochs: int | None = None
    planned_epochs: int | None = None
    val_interval: int | None = None
    learning_rate: float | None = None
    warm_up_epochs: int | None = None
    max_gradient_norm: float | None = None
    mirror_axes: Sizes = ()
    rotate90: bool = False
    evidence: bool = False
    seed: int | None = None
    channels_last: bool = False
    deterministic: bool = True
    resume: bool | Literal["auto"] = False
    extend_to: int | None = None
    checkpoint_minutes: float | None = None
    num_workers: int
    device: torch.device
    amp: bool | None

    @classmethod
    def ids(cls) -> list[str]:
        """Where a config has the settings that it has, in the order of the fields."""
        return [_ID.get(field.name, field.name) for field in fields(cls) if field.name != "data"]

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, data: DataKind) -> ClassificationSettings:
        """Parse the values of a config's keys.

        Args:
            values: by id, as :meth:`ids` lists them; those that the program has. None for `amp` means a GPU's default.
            data: what is classified, which says in which unit `padding` is.

        Raises:
            ValueError: a value that can't be used, in one line that names its key.
        """
        names = {place: name for name, place in _ID.items()}
        raw = {names.get(place, place): value for place, value in values.items()}
        parsed = {name: PARSERS[name](value, name=name) for name, value in raw.items()}
        settings = cls(data=data, **parsed)
        settings._check()
        return settings

    @property
    def memory_format(self) -> torch.memory_format:
        """Of the network's weights, which the patches follow."""
        formats = {2: torch.channels_last, 3: torch.channels_last_3d}
        return formats[len(self.patch_size)] if self.channels_last else torch.preserve_format

    @property
    def is_training(self) -> bool:
        """Whether the program trains."""
        return self.max_epochs is not None

    @property
    def uses_amp(self) -> bool:
        """Whether forward passes are in half precision."""
        return self.device.type == "cuda" if self.amp is None else self.amp

    @property
    def grid_shape(self) -> Sizes | None:
        """Cells per axis, where all images have one size."""
        return None if self.image_size is None else PatchGrid(self.image_size, self.patch_size, self.stride).shape

    @property
    def border(self) -> float:
        """`padding` as the network gets it: of pictures and slides, 0 to 255, it is 0 to 1."""
        return self.padding if self.data == "volumes" else self.padding / _WHITE

    @property
    def is_better(self) -> Callable[[float, float], bool]:
        """Compares a new key metric with the best one so far."""
        return operator.lt if self.target == "value" else operator.gt

    @property
    def outputs(self) -> list[str]:
        """Files and folders that a training writes beside its checkpoint."""
        weights = [f"{self.ckpt_dir}/model{suffix}" for suffix in (".safetensors", ".pt")]
        return [*weights, f"{self.output_dir}/history.jsonl", f"{self.output_dir}/tensorboard"]

    @property
    def resumed(self) -> dict[str, Any]:
        """What a run that is resumed must have in common with the one before, beside its epochs and its images."""
        values = {field.name: as_plain(getattr(self, field.name)) for field in fields(self) if field.name not in _FREE}
        if self.data == "digits":
            values["digits"] = "those of scikit-learn" if self.dataset_dir is None else "those of a folder"
        return values

    def __str__(self) -> str:
        return "\n".join(f"{field.name:25} {getattr(self, field.name)}" for field in fields(self))

    def _check(self) -> None:
        """Check what goes together."""
        weights = None if self.class_weights is None else list(self.class_weights)
        ImageTarget(self.target, self.num_classes, class_weights=weights)
        check_names(self.class_names, self.num_classes)
        check_grid(self.image_size, self.patch_size, self.stride, self.head, leaves_out=self.ignore_background)
        backbone_rule(self.backbone, spatial_dims=len(self.patch_size))
        self._check_data()
        if self.is_training:
            self._check_training()

    def _check_data(self) -> None:
        is_inference = self.fold is None and self.train_images is None
        others = (tuple,) if is_inference else (type(None),) if self.data == "digits" else ()
        if not isinstance(self.dataset_dir, (str, *others)):
            wanted = "a folder, of an image, or a list of them" if is_inference else "one folder"
            raise ValueError(f"dataset_dir must be the path of {wanted}, got {self.dataset_dir!r}")
        if self.fold is not None:
            parse_fold(self.fold, has_file=self.split_file is not None, has_test=not self.is_training)
        if self.data != "volumes" and not 0 <= self.padding <= _WHITE:
            raise ValueError(f"padding must be a grey value from 0 to {_WHITE}, got {self.padding}")
        if self.spacing is not None and len(self.spacing) != len(self.patch_size):
            raise ValueError(f"spacing must have an entry per axis, {len(self.patch_size)}, got {list(self.spacing)}")
        if self.pretrained is not None and not os.path.isfile(self.pretrained):
            raise ValueError(f"pretrained: no weights at {self.pretrained}")
        if self.train_images is not None and self.val_images is not None:
            check_digits(
                image_size=self.image_size,
                num_classes=self.num_classes,
                target=self.target,
                digit_pixels=self.digit_pixels,
                digit_counts=self.digit_counts,
                num_images=(self.train_images, self.val_images),
                seed=self.data_seed or 0,
            )

    def _check_training(self) -> None:
        sampling = Sampling(self.sampling, self.inner_steps, self.accumulation)  # type: ignore[arg-type]
        insisting = "exact=True" if self.exact else "true_gradient=True" if self.true_gradient else None
        if insisting and (self.exact is False or not sampling.is_one_group(1)):
            raise ValueError(f"{insisting} needs one step of the optimiser for all inner steps, and exact not False")
        check_extension(self.extend_to, resume=self.resume)
        check_growth(
            *(self.patch_size, self.backbone, self.head),
            {"batch_size": self.batch_size, "max_epochs": self.planned_epochs, "curriculum": self.curriculum},
        )
        check_turning(
            mirror_axes=self.mirror_axes,
            rotate90=self.rotate90,
            patch_size=self.patch_size,
            image_size=self.image_size,
        )
