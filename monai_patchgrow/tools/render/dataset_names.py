"""Reads the names of channels and labels in a dataset.json, nnU-Net's or the Decathlon's."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from monai_patchgrow.label_classes import LabelClasses, has_regions_or_ignore, parse_label_classes
from monai_patchgrow.tools.render.config_text import parse_name
from monai_patchgrow.tools.render.plan_values import shown

__all__ = ["parse_channels", "parse_labels"]

_logger = logging.getLogger(__name__)

_MANY_LABELS = 20
_LONGEST = 400  # characters of an error


def parse_channels(description: Mapping[str, Any], path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the channels, by their numbers.

    Args:
        description: content of a dataset.json.
        path: of the file, which an error names.

    Raises:
        ValueError: no names by number, a gap in the numbers, or a name that no config can have.

    >>> parse_channels({"channel_names": {"0": "CT", "1": "PET"}}, "dataset.json")
    ('CT', 'PET')
    """
    key = "channel_names" if "channel_names" in description else "modality"
    names = description.get(key)
    if not isinstance(names, Mapping) or not names:
        raise ValueError(f'{path}: needs "channel_names" (nnU-Net) or "modality" (Decathlon), a name by number')
    numbers = [str(number) for number in range(len(names))]
    if set(names) != set(numbers):
        got = shown(dict(names))
        raise ValueError(f'{path}: "{key}" must be names by number from 0 on, such as {{"0": "CT"}}, got {got}')
    return tuple(parse_name(names[number], key=f'{path}: "{key}"') for number in numbers)


def parse_labels(description: Mapping[str, Any], path: str | os.PathLike[str]) -> LabelClasses:
    """What the labels stand for; nnU-Net has values by name, lists of them for regions, the Decathlon names by value.

    Args:
        description: content of a dataset.json.
        path: of the file, which an error names.

    Raises:
        ValueError: no labels, regions without their order, a gap in the values, or a name that no config can have.

    >>> dict(parse_labels({"labels": {"background": 0, "spleen": 1}}, "dataset.json").names)
    {0: 'background', 1: 'spleen'}
    """
    labels, key = description.get("labels"), f'{path}: "labels"'
    if not isinstance(labels, Mapping) or not labels:
        raise ValueError(f'{path}: needs "labels", such as {{"background": 0, "spleen": 1}}')
    if has_regions_or_ignore(labels):
        try:
            classes = parse_label_classes(labels, description.get("regions_class_order"))
        except ValueError as error:
            raise ValueError(f"{path}: {str(error)[:_LONGEST]}") from None
    else:
        classes = LabelClasses(_parse_names(labels, path))
    for name in (*classes.names.values(), *classes.regions):
        parse_name(name, key=key)
    if classes.num_values > _MANY_LABELS:
        count = classes.num_values
        _logger.warning("%s: %d labels: preprocessing takes some 16 bytes per voxel and label", path, count)
    return classes


def _parse_names(labels: Mapping[str, Any], path: str | os.PathLike[str]) -> dict[int, str]:
    # nnU-Net's way: a bool is an int to Python, but no value of a voxel.
    by_name = all(isinstance(value, int) and not isinstance(value, bool) for value in labels.values())
    names = {str(value): name for name, value in labels.items()} if by_name else dict(labels)
    numbers = [str(number) for number in range(len(labels))]
    if set(names) != set(numbers):
        values = shown(list(labels.values() if by_name else labels))
        raise ValueError(f"{path}: labels must be numbered 0, 1, 2, ... without gaps, got {values}")
    if len(names) < 2:
        raise ValueError(f"{path}: labels must have one beside the background, got {shown(dict(labels))}")
    return {int(number): parse_name(names[number], key=f'{path}: "labels"') for number in numbers}
