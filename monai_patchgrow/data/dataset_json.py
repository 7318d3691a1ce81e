"""The dataset.json of a folder: read, and its faults told in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from monai_patchgrow.data.task import DataError

__all__ = ["check_numbers", "json_error", "parse_names", "read_json"]


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
        return json.loads(path.read_text(encoding="utf-8"))
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
