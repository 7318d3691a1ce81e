"""Mends, in a copy of a data set, what can be mended without losing a voxel or a meaning."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.decathlon import read_task
from monai_patchgrow.data.tasks.faults import Fault, FaultList
from monai_patchgrow.data.tasks.nifti_file import NiftiFile, read_header, read_voxels
from monai_patchgrow.data.tasks.rules import RULES
from monai_patchgrow.data.tasks.task import JSON
from monai_patchgrow.files import whole_folder, write_whole

__all__ = ["repair"]

_GZIP = b"\x1f\x8b"
_CODES = ("xyzt_units", "qform_code", "sform_code")
_PLACES = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z")
_LABEL_TYPES = (np.uint8, np.int16, np.int32)


def repair(folder: Path, target: Path, faults: Sequence[Fault]) -> list[Fault]:
    """Copy a data set for segmentation, and mend in the copy what is harmless.

    Args:
        folder: of the data set, which stays as it is.
        target: folder of the copy; new or empty.
        faults: of the data set, as `check_data` finds them.

    Returns:
        The faults that were mended.

    Raises:
        DataError: a target that holds something, or lies within the data set.
    """
    if target.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{target}: lies within {folder}: give another folder")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target}: there is something already: give a new folder")
    images = {case.label: case.images[0] for case in read_task(folder, report=FaultList().report).cases}
    broken = {fault.file for fault in faults if fault.rule == "label-not-whole"}
    by_file = defaultdict[Path, list[Fault]](list)
    for fault in faults:
        if RULES[fault.rule].is_harmless and not (fault.rule == "label-float" and fault.file in broken):
            by_file[Path(fault.file)].append(fault)
    mended = list[Fault]()
    with whole_folder(target) as partial:
        shutil.copytree(folder, partial, dirs_exist_ok=True)
        for file, found in by_file.items():
            if not file.is_relative_to(folder):
                continue
            copy = partial / file.relative_to(folder)
            rules = {fault.rule for fault in found}
            if file.name == JSON:
                _mend_json(copy)
            elif not _mend_nifti(copy, rules, images.get(file)):
                continue
            mended += found
    return mended


def _mend_json(path: Path) -> None:
    """Leave out entries that are there twice, and count the others."""
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    entries = content["training"]
    content["training"] = [entry for place, entry in enumerate(entries) if entry not in entries[:place]]
    content["numTraining"] = len(content["training"])
    write_whole(json.dumps(content, indent=2, ensure_ascii=False), path)


def _mend_nifti(path: Path, rules: set[str], image: Path | None) -> bool:
    """Mend a file by rewriting its header, and the voxels of a label of floats; returns whether it could."""
    _write(path, _read(path))  # packed as it is called
    file = read_header(path)
    content, header = _read(path), file.raw.copy()
    start = header.get_data_offset()
    if "label-float" in rules:
        voxels = np.rint(read_voxels(file))
        kind = next(kind for kind in _LABEL_TYPES if voxels.max() <= np.iinfo(kind).max)
        header.set_data_dtype(kind)
        header["scl_slope"], header["scl_inter"] = 1, 0
        content = content[:start] + voxels.astype(np.dtype(kind).newbyteorder(header.endianness)).tobytes(order="F")
    if "label-extra-axis" in rules:
        header.set_data_shape(file.shape[:3])
    if "scale-ignored" in rules:
        header["scl_slope"], header["scl_inter"] = 1, 0
    if "label-grid" in rules:
        if image is None:
            return False
        _copy_grid(read_header(image), header)
    elif rules & {"form-codes", "qform-unlike-sform", "spacing-unlike-affine"}:
        _settle_grid(header, file.header)
    _write(path, bytes(header.binaryblock) + content[len(header.binaryblock) :])
    return True


def _copy_grid(image: NiftiFile, label: Any) -> None:
    raw = image.raw.copy()
    if max(int(raw["sform_code"]), int(raw["qform_code"])) <= 0:  # as in the image's own copy
        _settle_grid(raw, image.header)
    for key in (*_CODES, *_PLACES):
        label[key] = raw[key]
    label["pixdim"][:4] = raw["pixdim"][:4]


def _settle_grid(header: Any, read: Any) -> None:
    """Let spacing, qform and sform say what is read of them."""
    affine = read.get_best_affine()
    codes = [max(int(header[key]), 1) for key in ("sform_code", "qform_code")]
    header["pixdim"][1:4] = np.linalg.norm(affine[:3, :3], axis=0)
    header.set_sform(affine, codes[0])
    header.set_qform(affine, codes[1], strip_shears=True)


def _read(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(_GZIP) else content


def _write(path: str | os.PathLike[str], content: bytes) -> None:
    packed = str(path).lower().endswith(".gz")
    Path(path).write_bytes(gzip.compress(content, mtime=0) if packed else content)
