"""Checks images with one label each, listed by a table or in a folder per class."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged

from monai_patchgrow.bundle.patchgd.images import causes, name_fault
from monai_patchgrow.bundle.patchgd.volumes import CheckNiftid, CheckVoxelsd
from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.suffixes import PICTURES, VOLUMES, split_suffix
from monai_patchgrow.data.tasks.faults import Fault, FaultList
from monai_patchgrow.data.tasks.labelled_images import find_images, read_labelled_images
from monai_patchgrow.data.tasks.outliers import far_voxel, tell_far
from monai_patchgrow.data.tasks.verification import CheckedCase, check_image
from monai_patchgrow.data.tiles.constant import white_value
from monai_patchgrow.data.tiles.file import check_readable
from monai_patchgrow.data.tiles.open import open_tiles, read_picture
from monai_patchgrow.data.tiles.source import TensorTiles, TileSource
from monai_patchgrow.schedules.patch_grid import PatchGrid
from monai_patchgrow.tools.verify.parallel import check_all
from monai_patchgrow.tools.verify.report import DataReport
from monai_patchgrow.tools.verify.split import check_split
from monai_patchgrow.tools.verify.whole_set import check_channel_counts, check_classes_present, check_duplicates

__all__ = ["check_classification"]

_PATCH = {1: 2**20, 2: 512, 3: 64}  # voxels per axis that are read at a time, by the number of axes
_RGB = 3
_ONE_COLOUR = 0.05  # of white: glass is no wider
_LOAD = (LoadImaged("image", reader="NibabelReader"), EnsureChannelFirstd("image"))


def check_classification(
    folder: Path,
    *,
    num_classes: int | None = None,
    headers_only: bool = False,
    num_workers: int | None = None,
    split_file: str | None = None,
) -> DataReport:
    """Find all that is wrong with a folder of labelled images.

    Args:
        folder: with train.csv or labels.csv and the images, or with a folder per class.
        num_classes: labels are 0 to num_classes - 1; default: those that there are.
        headers_only: open the images, and read no more.
        num_workers: processes; default: one per core, at most 8.
        split_file: of one's own, which is checked too.
    """
    faults = FaultList()
    try:
        classes = _classes(folder) if num_classes is None else num_classes
        items = read_labelled_images(folder, classes or 2, values=not classes, report=faults.report)
    except DataError as error:
        if error.rule is None:
            raise
        file, _, what = str(error).partition(": ")
        faults.report(error.rule, file, what)
        return DataReport(folder, folder.name, "not read", tuple(faults))
    checked = check_all(partial(_check, headers_only), items, unit="image", num_workers=num_workers)
    images = {item["image"]: one for item, one in zip(items, checked, strict=True)}
    faults += [fault for one in checked for fault in one.faults]
    check_duplicates(images, faults.report)
    check_channel_counts(images, faults.report)
    labels = [item["label"] for item in items]
    if classes:
        check_classes_present(str(folder), dict.fromkeys(range(classes), ""), set(labels), faults.report)
    for place in sorted({Path(image).parent for image in images}):
        for image in _all_images(place):
            if Path(image).parent == place and image not in images:
                faults.report("file-unlisted", image, "has no label")
    names = [item["name"] for item in items]
    split = {} if split_file is None else check_split(split_file, names, faults.report)
    summary = {**_summary(labels, classes), **split}
    return DataReport(folder, folder.name, f"{len(items)} images", tuple(faults), summary)


def _classes(folder: Path) -> int:
    """How many classes there are, from 0 to the highest; 0 where labels are any numbers."""
    if any((folder / name).is_file() for name in ("train.csv", "labels.csv")):
        labels = [item["label"] for item in read_labelled_images(folder, 2, values=True, report=FaultList().report)]
        are_whole = all(float(label).is_integer() for label in labels)
        return max(2, 1 + int(max(labels, default=0))) if are_whole else 0
    folders = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    return sum(any(item for item in _all_images(path)) for path in folders)


def _all_images(folder: Path) -> list[str]:
    try:
        return [item["image"] for item in find_images(folder)]
    except DataError:
        return []


def _check(headers_only: bool, item: Mapping[str, Any]) -> CheckedCase:
    """Check one image by what training does with it, and find what is wrong."""
    path, name = Path(item["image"]), item["name"]
    try:
        check_readable(path)
        if path.is_file() and not path.stat().st_size:
            raise DataError(f"{path}: it is empty", rule="file-empty")
        if split_suffix(path.name)[1] in VOLUMES:
            return _check_volume(path, name, headers_only=headers_only)
        picture = split_suffix(path.name)[1] in PICTURES
        source = TensorTiles(read_picture(path, channels=_RGB)) if picture else open_tiles(path)
        if headers_only:
            return CheckedCase(name, (), tuple(source.shape))
        return _check_tiles(path, name, source)
    except Exception as error:  # of many types: it depends on what is broken
        return CheckedCase(name, (_fault_of(error, path),))


def _check_volume(path: Path, name: str, *, headers_only: bool) -> CheckedCase:
    header = check_image(name, [path], num_channels=None, headers_only=True)
    faults = FaultList(header.faults)
    if headers_only or faults.grave:
        return CheckedCase(name, tuple(faults))
    transform = Compose([CheckNiftid("image"), *_LOAD, CheckVoxelsd("image")])
    try:
        voxels = transform({"image": str(path)})["image"].as_subclass(torch.Tensor)
    except Exception as error:  # of many types: it depends on what is broken
        return CheckedCase(name, (*faults, _fault_of(error, path)))
    if (far := far_voxel(voxels.numpy())) is not None:
        faults.report("image-outlier", path, tell_far(far))
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, voxels)
    return CheckedCase(name, tuple(faults), tuple(voxels.shape), digest=digest.hexdigest())


def _check_tiles(path: Path, name: str, source: TileSource) -> CheckedCase:
    faults, digest = FaultList(), hashlib.blake2b(digest_size=16)
    low, high, width = math.inf, -math.inf, 0.0
    for patch in _patches(source):
        low, high = min(low, float(patch.min())), max(high, float(patch.max()))
        width = 0.0 if patch.is_floating_point() else _ONE_COLOUR * white_value(patch.dtype)
        _add(digest, patch)
    if high - low <= width:
        faults.report("slide-blank", path, f"all of it is {low:g} to {high:g}")
    return CheckedCase(name, tuple(faults), tuple(source.shape), digest=digest.hexdigest())


def _patches(source: TileSource) -> Iterator[torch.Tensor]:
    grid = PatchGrid(source.shape[1:], (_PATCH[len(source.shape) - 1],) * (len(source.shape) - 1))
    for cell in range(grid.num_cells):
        axes = zip(grid.slices(cell), grid.image_size, strict=True)
        yield source.read([tuple(slice(axis.start, min(axis.stop, size)) for axis, size in axes)])


def _add(digest: Any, voxels: torch.Tensor) -> None:
    digest.update(repr(tuple(voxels.shape)).encode())
    digest.update(voxels.contiguous().numpy())


def _fault_of(error: BaseException, path: Path) -> Fault:
    told = name_fault(error, {"image": str(path)})
    rule = next(filter(None, (getattr(cause, "rule", None) for cause in causes(error))), "image-unreadable")
    return Fault(rule, str(path), str(told).removeprefix(f"{path}: "))


def _summary(labels: list[float], classes: int) -> dict[str, str]:
    if not labels:
        return {}
    if not classes:
        return {"values": f"{min(labels):g} to {max(labels):g}"}
    return {"labels": ", ".join(f"{label}: {labels.count(label)}" for label in range(classes))}
