"""Writes a task's folder, which appears whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from monai_patchgrow.data.errors import DataError
from monai_patchgrow.files import whole_folder

__all__ = ["save_nifti", "write_task_folder"]


def write_task_folder(
    directory: str | os.PathLike[str],
    description: dict[str, Any],
    *,
    files: Sequence[str],
    write_files: Callable[[Path], None],
) -> Path:
    """Write a folder with dataset.json, imagesTr and labelsTr; one that already holds this very task is reused.

    Args:
        directory: folder to write; its parents are made.
        description: content of dataset.json, from which all else follows.
        files: all others, by their path within the folder.
        write_files: writes them into the folder that it is given, which has imagesTr and labelsTr.

    Returns:
        The folder.

    Raises:
        DataError: the folder holds something else.
    """
    target = Path(directory).absolute()
    if _is_free(target, description, files):
        try:
            with whole_folder(target) as partial:
                for name in ("imagesTr", "labelsTr"):
                    (partial / name).mkdir()
                write_files(partial)
                (partial / "dataset.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        except OSError:
            if _is_free(target, description, files):  # otherwise another process has finished the same task meanwhile
                raise
    return target


def save_nifti(path: Path, voxels: np.ndarray, affine: np.ndarray) -> None:
    """Write voxels `(X, Y, Z)` or `(X, Y, Z, C)` with an affine to mm."""
    nifti = nib.Nifti1Image(voxels, affine)
    nifti.header.set_xyzt_units("mm")
    nib.save(nifti, path)


def _is_free(target: Path, description: dict[str, Any], files: Sequence[str]) -> bool:
    """Whether the task has yet to be written: False when all of it is there; anything else is refused."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return True
    try:
        found = json.loads((target / "dataset.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if found == description and all((target / file).is_file() for file in files):
        return False
    raise DataError(f"{target} holds something else than this phantom task: delete it or name another folder")
