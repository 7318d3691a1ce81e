"""What a data set is to the rest of the package: a named task of labelled cases."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import DataError

__all__ = ["Case", "DecathlonTask", "check_numbers", "json_error", "parse_names", "read_json"]


@dataclass(frozen=True)
class Case:
    """One image with its label, NIfTI files; the image may be several files, one per channel in order."""

    name: str
    image: Path | tuple[Path, ...]
    label: Path

    @property
    def images(self) -> tuple[Path, ...]:
        """The files of the image, also where it is a single one."""
        return self.image if isinstance(self.image, tuple) else (self.image,)

    def as_item(self) -> dict[str, str | list[str]]:
        """The case as MONAI's dictionary transforms take it; ``LoadImaged`` stacks the files of a list.

        Example:
            >>> Case("scan_1", Path("imagesTr/scan_1.nii.gz"), Path("labelsTr/scan_1.nii.gz")).as_item()
            {'image': 'imagesTr/scan_1.nii.gz', 'label': 'labelsTr/scan_1.nii.gz'}
        """
        files = [str(path) for path in self.image] if isinstance(self.image, tuple) else str(self.image)
        return {"image": files, "label": str(self.label)}


@dataclass(frozen=True)
class DecathlonTask:
    """What a dataset.json says: channels in order, names of label values (0: background), cases by name."""

    name: str
    channels: tuple[str, ...]
    labels: Mapping[int, str] = field(hash=False)
    cases: tuple[Case, ...]


def json_error(folder: Path, message: str) -> DataError:
    """The error of a fault in a folder's dataset.json."""
    return DataError(f"{folder / 'dataset.json'}: {message}")


def read_json(folder: Path) -> Any:
    """The content of a folder's dataset.json.

    Raises:
        DataError: no such folder, no dataset.json in it, or no JSON.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder")
    if not (path := folder / "dataset.json").is_file():
        raise DataError(f"{folder}: no dataset.json; needed are dataset.json, imagesTr and labelsTr")
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a byte order mark first
    except (OSError, ValueError) as error:
        raise json_error(folder, f"not valid JSON ({error})") from None


def parse_names(folder: Path, content: dict[str, Any], key: str) -> dict[int, str]:
    """The names under a key by number, from 0 without gaps; JSON has the numbers as strings.

    Raises:
        DataError: anything else.
    """
    try:
        names = dict(sorted((int(number), str(name)) for number, name in content[key].items()))
    except (AttributeError, ValueError):
        raise json_error(folder, f'"{key}" must map numbers to names, such as {{"0": "name"}}') from None
    check_numbers(folder, key, list(names))
    return names


def check_numbers(folder: Path, key: str, numbers: list[int]) -> None:
    """Refuse sorted numbers that aren't 0, 1, 2, ..."""
    if not numbers or numbers != list(range(len(numbers))):
        raise json_error(folder, f'"{key}" must be numbered 0, 1, 2, ... without gaps, got {numbers}')
