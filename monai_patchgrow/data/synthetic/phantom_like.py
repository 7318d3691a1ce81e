"""Phantoms of another task's kind: its channels, labels, spacing and intensity scale on few voxels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from monai_patchgrow.data.synthetic.task_folder import save_nifti, write_task_folder

__all__ = ["PhantomKind", "write_phantom_like"]

_GENERATOR = 1  # raise it with any change that alters a voxel: older folders are then told apart
_AIR_HU, _AIR_NOISE_HU, _DARKEST_HU = -1000.0, 5.0, -900.0  # the last one inside of a body
_BODY_SHARE = 0.46  # semi-axes of the body, of the shape: a margin of air on all sides
_ORGAN_SHARES = (0.24, 0.30)
_SHIFT_SHARE = 0.08  # of the organ's centre from the body's
_SPREAD, _NOISE = 0.8, 0.5  # of the classes' means, and within a class
_BODY_OFFSET = -1.5  # of the tissue around the organ
_SCAN_SCALES = (0.8, 1.25)  # MRI has no unit: each channel of each scan has a scale of its own


@dataclass(frozen=True, kw_only=True)
class PhantomKind:
    """What the scans of a phantom task are like.

    In each scan an ellipsoid organ lies in an ellipsoid body, one shell per class, the last innermost: every class is
    in every scan, and each differs from its neighbours in mean intensity, in another way in each channel.

    Args:
        channels: names of the channels.
        labels: names by value, 0 the background.
        spacing: mm along x, y and z.
        shape: voxels along x, y and z.
        modality: "CT" has air of -1000 HU around the body, "MRI" positive values of any unit.
        mean, std: intensity of the organ, all classes together; HU in CT.
        masked: MRI only: 0 outside of the body, as after brain extraction.
        spacing_spread: largest relative deviation of a scan's spacing, per axis.

    Raises:
        ValueError: arguments that can't be met, as more classes than shells fit into the shape.
    """

    channels: Sequence[str] = ("MRI",)
    labels: Mapping[int, str] | Mapping[str, str]
    spacing: Sequence[float] = (1.0, 1.0, 1.0)
    shape: Sequence[int] = (32, 32, 32)
    modality: Literal["MRI", "CT"] = "MRI"
    mean: float = 400.0
    std: float = 100.0
    masked: bool = False
    spacing_spread: float = 0.0

    def __post_init__(self) -> None:
        values = sorted(int(value) for value in self.labels)
        if values != list(range(len(values))) or len(values) < 2 or not self.channels:
            raise ValueError(f"labels must be numbered 0, 1, ... and channels named, got {values}, {self.channels}")
        if len(self.shape) != 3 or len(self.spacing) != 3 or min(self.shape) < 8 or min(self.spacing) <= 0:
            raise ValueError(f"shape needs 3 axes of at least 8, spacing 3 of mm, got {self.shape}, {self.spacing}")
        if max(self.shape) * _ORGAN_SHARES[0] < len(values) - 1:
            raise ValueError(f"{len(values) - 1} classes do not fit into {tuple(self.shape)} voxels: enlarge one axis")
        if self.modality not in ("MRI", "CT") or (self.modality == "CT" and self.masked):
            raise ValueError(f'modality must be "MRI" or "CT", masked only with "MRI", got {self.modality!r}')
        if self.std <= 0 or not 0 <= self.spacing_spread < 1:
            raise ValueError(f"std must be above 0, spacing_spread in 0 to 1, got {self.std}, {self.spacing_spread}")

    def draw_case(self, index: int, *, seed: int = 0) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray]:
        """Draw one scan, independently of the others.

        Returns:
            The image `(C, X, Y, Z)`, the label `(X, Y, Z)`, the affine `(4, 4)` to mm, centred.

        Example:
            >>> kind = PhantomKind(channels=["T2", "ADC"], labels={0: "background", 1: "PZ", 2: "TZ"})
            >>> image, label, affine = kind.draw_case(0)
            >>> image.shape, label.shape, sorted(set(label.ravel().tolist()))
            ((2, 32, 32, 32), (32, 32, 32), [0, 1, 2])
        """
        rng = np.random.default_rng([seed, index])
        body, label = self._draw_shapes(rng)
        image = np.stack([self._draw_channel(rng, body, label) for _ in self.channels])
        spread = rng.uniform(-self.spacing_spread, self.spacing_spread, 3)
        spacing = np.asarray(self.spacing) * (1 + spread)
        affine = np.diag([*spacing, 1.0])
        affine[:3, 3] = -(np.asarray(self.shape) - 1) * spacing / 2
        return image, label, affine

    def _draw_shapes(self, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.uint8]]:
        """Where the body is, and the label."""
        shape = np.asarray(self.shape)
        grid = np.indices(self.shape)
        # on a voxel, so that the innermost class has at least that one
        centre = np.rint((shape - 1) / 2 + rng.uniform(-_SHIFT_SHARE, _SHIFT_SHARE, 3) * shape)
        radius = _norm(grid, centre, rng.uniform(*_ORGAN_SHARES, 3) * shape)
        classes = len(self.labels) - 1
        label = np.where(radius < 1, classes - np.floor(radius * classes), 0).astype(np.uint8)
        return (_norm(grid, (shape - 1) / 2, _BODY_SHARE * shape) < 1) | (label > 0), label

    def _draw_channel(
        self, rng: np.random.Generator, body: NDArray[np.bool_], label: NDArray[np.uint8]
    ) -> NDArray[np.int16]:
        """One channel `(X, Y, Z)`: its classes' means are those of no other."""
        classes, organ = len(self.labels) - 1, label > 0
        means = rng.permutation(np.linspace(-_SPREAD, _SPREAD, classes)) if classes > 1 else np.zeros(1)
        offsets = np.concatenate([[0.0], means])[label] + rng.normal(0, _NOISE, label.shape)
        offsets = (offsets - np.where(organ, offsets[organ].mean(), -_BODY_OFFSET)) / offsets[organ].std()
        tissue = self.mean + self.std * offsets
        if self.modality == "CT":
            image = np.where(body, np.maximum(tissue, _DARKEST_HU), rng.normal(_AIR_HU, _AIR_NOISE_HU, label.shape))
        else:
            outside = 0.0 if self.masked else np.abs(rng.normal(0, 0.05 * self.mean, label.shape))
            image = np.where(body, np.maximum(tissue * rng.uniform(*_SCAN_SCALES), 1.0), outside)
        limits = np.iinfo(np.int16)
        return np.clip(np.rint(image), limits.min, limits.max).astype(np.int16)


def write_phantom_like(
    directory: str | os.PathLike[str],
    *,
    num_cases: int = 5,
    seed: int = 0,
    layout: Literal["decathlon", "nnunet"] = "decathlon",
    **kind: Any,
) -> Path:
    """Write a small task of a given kind: images (int16) and labels (uint8) as .nii.gz.

    Decathlon's layout has several channels on the 4th axis of one file, nnU-Net's a file for each.

    Args:
        directory: folder to write; one that holds this very task is reused.
        num_cases: number of cases, at least 1.
        seed: of the whole task, 0 or more.
        layout: of files and dataset.json.
        **kind: of the scans, as :class:`PhantomKind` takes it.

    Returns:
        The folder.

    Raises:
        ValueError: what :class:`PhantomKind` refuses; no cases, a negative seed, another layout.
        DataError: the folder holds something else.

    Example:
        >>> import tempfile
        >>> labels = {0: "background", 1: "liver", 2: "cancer"}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     task = write_phantom_like(folder, channels=["CT"], labels=labels, modality="CT", layout="nnunet")
        ...     sorted(path.name for path in task.rglob("imagesTr/*"))[:2]
        ['phantom_000_0000.nii.gz', 'phantom_001_0000.nii.gz']
    """
    if num_cases < 1 or seed < 0:
        raise ValueError(f"num_cases must be 1 or more and seed 0 or more, got {num_cases} and {seed}")
    if layout not in ("decathlon", "nnunet"):
        raise ValueError(f'layout must be "decathlon" or "nnunet", got {layout!r}')
    scans = PhantomKind(**kind)
    cases = [_name_files(f"phantom_{index:03d}", scans, layout) for index in range(num_cases)]
    description = _describe(scans, cases, layout) | {
        "phantom": {"generator": _GENERATOR, "num_cases": num_cases, "seed": seed, **_plain(asdict(scans))}
    }
    files = [file for images, label in cases for file in (*images, label)]
    write_files = partial(_write_files, scans=scans, cases=cases, seed=seed)
    return write_task_folder(directory, description, files=files, write_files=write_files)


def _norm(grid: NDArray, centre: NDArray, axes: NDArray) -> NDArray:
    """Per voxel, the distance from the centre in semi-axes: 1 on the surface of the ellipsoid."""
    columns = (slice(None), None, None, None)
    return np.sqrt((((grid - centre[columns]) / axes[columns]) ** 2).sum(axis=0))


def _name_files(name: str, scans: PhantomKind, layout: str) -> tuple[list[str], str]:
    """The files of a case's image, and that of its label."""
    channels = [f"_{number:04d}" for number in range(len(scans.channels))] if layout == "nnunet" else [""]
    return [f"imagesTr/{name}{channel}.nii.gz" for channel in channels], f"labelsTr/{name}.nii.gz"


def _describe(scans: PhantomKind, cases: list[tuple[list[str], str]], layout: str) -> dict[str, Any]:
    """The content of dataset.json."""
    channels = {str(number): name for number, name in enumerate(scans.channels)}
    labels = dict(sorted((int(value), name) for value, name in scans.labels.items()))
    shared = {"name": "Phantom", "description": "An organ of nested shells; synthetic", "numTraining": len(cases)}
    if layout == "nnunet":
        by_name = {name: value for value, name in labels.items()}
        return {**shared, "channel_names": channels, "labels": by_name, "file_ending": ".nii.gz"}
    return {
        **shared,
        "tensorImageSize": "4D" if len(channels) > 1 else "3D",
        "modality": channels,
        "labels": {str(value): name for value, name in labels.items()},
        "numTest": 0,
        "training": [{"image": f"./{images[0]}", "label": f"./{label}"} for images, label in cases],
        "test": [],
    }


def _plain(value: Any) -> Any:
    """The value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _write_files(folder: Path, *, scans: PhantomKind, cases: list[tuple[list[str], str]], seed: int) -> None:
    for index, (images, label_file) in enumerate(cases):
        image, label, affine = scans.draw_case(index, seed=seed)
        save_nifti(folder / label_file, label, affine)
        channels = list(image) if len(images) == len(image) else [np.moveaxis(image, 0, -1)]
        for file, voxels in zip(images, channels, strict=True):
            save_nifti(folder / file, voxels, affine)
