"""The phantom task: small synthetic Decathlon-style scans, whose structures only context tells apart."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_patchgrow.data.synthetic.task_folder import save_nifti, write_task_folder

__all__ = ["PHANTOM_SPACING", "phantom_case", "write_phantom_task"]

Floats = NDArray[np.float64]

PHANTOM_SPACING = (1.0, 1.0, 1.5)
"""Voxel size of every phantom along x, y and z, in mm."""

_GENERATOR = 1  # raise it with any change that alters a voxel: older folders are then told apart
_MIN_SHAPE, _MAX_SHAPE = (30, 38, 26), (34, 42, 30)
_NUM_BLOBS, _BLOB_TRIES = 5, 200
_GAP_MM = 3.0
_EDGE_MM = 0.25
_MIN_ALIGNMENT = 0.8  # cosine between tube and y axis: as in anatomy, it lies roughly one way
_HEAD_SHARE = 0.45  # of the centre line's length
_TISSUE, _CONTRAST, _TEXTURE, _NOISE = 400.0, 200.0, 20.0, 35.0
_BIAS = 0.14
_LABELS = {"0": "background", "1": "head", "2": "tail"}


def phantom_case(index: int, *, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.uint8], Floats]:
    """Draw one scan: a bent, tapered tube (large head, small tail) among blobs that look like pieces of it.

    Head and tail touch and have the same mean intensity, and so have the blobs, which are background. The
    tube lies anywhere, roughly along y, head at either end. A smooth bias field multiplies all; noise adds.

    Args:
        index: number of the case, from 0; each is drawn independently of the others.
        seed: of the whole task.

    Returns:
        The image `(X, Y, Z)` float32, whole numbers that fit int16; the label `(X, Y, Z)` uint8,
        0 background, 1 head, 2 tail; the affine `(4, 4)` to mm, centred, with spacing `PHANTOM_SPACING`.

    Raises:
        ValueError: index or seed is negative.

    Example:
        >>> image, label, affine = phantom_case(0, seed=0)
        >>> image.shape == label.shape, image.dtype.name, label.dtype.name
        (True, 'float32', 'uint8')
        >>> affine.diagonal().tolist()
        [1.0, 1.0, 1.5, 1.0]
    """
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed must not be negative, got index {index} and seed {seed}")
    rng = np.random.default_rng([seed, index])
    shape = tuple(int(n) for n in rng.integers(_MIN_SHAPE, _MAX_SHAPE, endpoint=True))
    voxels = np.indices(shape).reshape(3, -1).T * np.asarray(PHANTOM_SPACING)
    extent = (np.asarray(shape) - 1) * np.asarray(PHANTOM_SPACING)
    distance, position = _tube_distance(voxels, *_draw_tube(rng, extent))
    label = np.where(distance > 0, 0, np.where(position < _HEAD_SHARE, 1, 2)).astype(np.uint8)
    image = _render(rng, voxels, _add_blobs(rng, voxels, extent, distance))
    affine = np.diag([*PHANTOM_SPACING, 1.0])
    affine[:3, 3] = -extent / 2
    return image.reshape(shape), label.reshape(shape), affine


def write_phantom_task(directory: str | os.PathLike[str], *, num_cases: int = 40, seed: int = 0) -> Path:
    """Write a phantom task in Decathlon layout: dataset.json, imagesTr (int16), labelsTr (uint8) as .nii.gz.

    The same arguments give the same bytes. The folder appears whole or not at all; one that already holds
    this very task is reused.

    Args:
        directory: folder to write; its parents are made.
        num_cases: number of cases, at least 1.
        seed: of `phantom_case`.

    Returns:
        The folder.

    Raises:
        ValueError: num_cases is below 1 or the seed is negative.
        DataError: the folder holds something else.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     task = write_phantom_task(Path(folder) / "phantom", num_cases=2)
        ...     sorted(path.name for path in task.rglob("imagesTr/*"))
        ['phantom_000.nii.gz', 'phantom_001.nii.gz']
    """
    if num_cases < 1 or seed < 0:
        raise ValueError(f"num_cases must be 1 or more and seed 0 or more, got {num_cases} and {seed}")
    description = _describe_task(num_cases, seed)
    files = [file for pair in description["training"] for file in pair.values()]
    write_files = partial(_write_files, description=description, seed=seed)
    return write_task_folder(directory, description, files=files, write_files=write_files)


def _draw_tube(rng: np.random.Generator, extent: Floats) -> tuple[Floats, Floats]:
    """Centre line `(N, 3)`, an arc from head to tail inside the scan, and its radii `(N,)`, all in mm."""
    position = np.linspace(0.0, 1.0, 40)
    length, turn = rng.uniform(25, 30), np.radians(rng.uniform(50, 100))
    angle = turn * (position - 0.5)
    arc = length / turn * np.stack([np.sin(angle), np.cos(angle) - 1.0, np.zeros_like(angle)], axis=1)
    radii = np.interp(position, [0.0, 0.2, 0.4, 0.5, 1.0], [4.8, 6.4, 6.2, 3.6, 3.0]) * rng.uniform(0.9, 1.1)
    while True:  # turned until it fits
        rotation = _draw_rotation(rng)
        if abs(rotation[1, 0]) < _MIN_ALIGNMENT:
            continue
        line = arc @ rotation.T
        low, high = (line - radii[:, None]).min(axis=0), (line + radii[:, None]).max(axis=0)
        room = extent - (high - low)
        if (room > 0).all():
            return line - low + rng.uniform(0, 1, 3) * room, radii


def _draw_rotation(rng: np.random.Generator) -> Floats:
    """Uniform random rotation `(3, 3)`, from a random unit quaternion."""
    quaternion = rng.standard_normal(4)
    w, x, y, z = quaternion / np.sqrt((quaternion**2).sum())
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def _tube_distance(voxels: Floats, line: Floats, radii: Floats) -> tuple[Floats, Floats]:
    """Per voxel `(V,)`: mm to the surface, negative inside; the nearest point's place, 0 (head) to 1."""
    distances = np.stack([np.sqrt(((voxels - c) ** 2).sum(axis=1)) - r for c, r in zip(line, radii, strict=True)])
    return distances.min(axis=0), distances.argmin(axis=0) / (len(line) - 1)


def _add_blobs(rng: np.random.Generator, voxels: Floats, extent: Floats, distance: Floats) -> Floats:
    """The distance `(V,)` to the nearest surface in mm once blobs, clear of each other, are added."""
    placed = 0
    for _ in range(_BLOB_TRIES):
        centre, axes = rng.uniform(0, 1, 3) * extent, rng.uniform(2.5, 4.0, 3)
        scaled = (voxels - centre) @ _draw_rotation(rng) / axes
        norm = np.sqrt((scaled**2).sum(axis=1))
        # first-order distance to an ellipsoid: exact on its surface, close enough for a gap of some mm
        blob = norm * (norm - 1) / np.maximum(np.sqrt(((scaled / axes) ** 2).sum(axis=1)), 1e-9)
        if blob[distance < 0].min() > _GAP_MM:
            distance, placed = np.minimum(distance, blob), placed + 1
        if placed == _NUM_BLOBS:
            break
    return distance


def _render(rng: np.random.Generator, voxels: Floats, distance: Floats) -> NDArray[np.float32]:
    """Intensities `(V,)`: textured tissue, brighter inside the surfaces, times a bias field, plus noise."""
    texture = _TEXTURE * _draw_waves(rng, voxels, wavelengths=(8.0, 20.0), count=24)
    bias = np.exp(_BIAS * _draw_waves(rng, voxels, wavelengths=(60.0, 120.0), count=4))
    inside = 1 / (1 + np.exp(np.clip(distance / _EDGE_MM, -50, 50)))
    clean = (_TISSUE + texture + _CONTRAST * inside) * bias
    noisy = clean + rng.normal(0.0, _NOISE, len(voxels))
    # whole numbers, so that the int16 file holds exactly what this function returned
    return np.clip(np.rint(noisy), 0, np.iinfo(np.int16).max).astype(np.float32)


def _draw_waves(rng: np.random.Generator, voxels: Floats, *, wavelengths: tuple[float, float], count: int) -> Floats:
    """Smooth random field `(V,)` of about unit variance: plane waves of such wavelengths, in mm."""
    field = np.zeros(len(voxels))
    for _ in range(count):
        wave = _draw_rotation(rng)[0] * (2 * np.pi / rng.uniform(*wavelengths))
        field += np.cos(voxels @ wave + rng.uniform(0, 2 * np.pi))
    return field * np.sqrt(2 / count)


def _describe_task(num_cases: int, seed: int) -> dict[str, Any]:
    """The content of dataset.json, in which `phantom` records what the files were made from."""
    names = [f"phantom_{index:03d}.nii.gz" for index in range(num_cases)]
    return {
        "name": "Phantom",
        "description": "A bent, tapered tube of head and tail, among blobs of the same intensity; synthetic",
        "tensorImageSize": "3D",
        "modality": {"0": "synthetic"},
        "labels": _LABELS,
        "numTraining": num_cases,
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"} for name in names],
        "test": [],
        "phantom": {"generator": _GENERATOR, "num_cases": num_cases, "seed": seed},
    }


def _write_files(folder: Path, description: dict[str, Any], seed: int) -> None:
    for index, pair in enumerate(description["training"]):
        image, label, affine = phantom_case(index, seed=seed)
        save_nifti(folder / pair["image"], image.astype(np.int16), affine)
        save_nifti(folder / pair["label"], label, affine)
