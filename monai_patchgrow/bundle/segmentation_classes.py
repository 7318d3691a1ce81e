"""A segmentation bundle's channels and labels: what they may be, and whether they are the data set's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_patchgrow.bundle.plain_settings import parse_list, parse_number
from monai_patchgrow.data.errors import DataError
from monai_patchgrow.data.tasks.task import DecathlonTask
from monai_patchgrow.label_classes import LabelClasses, has_regions_or_ignore, parse_label_classes

__all__ = ["check_classes", "parse_channels", "parse_labels", "parse_normalisation"]

_BACKGROUND = "background"


def parse_channels(value: Any) -> tuple[str, ...]:
    """Return the names of the input channels.

    Raises:
        ValueError: no list of names.

    >>> parse_channels(["T2", "ADC"])
    ('T2', 'ADC')
    """
    channels = parse_list(value, name="channels")
    if not channels or not all(isinstance(name, str) and name for name in channels):
        raise ValueError(f'channels must be a list of names, as ["CT"], got {value!r}')
    return channels


def parse_labels(value: Any, regions_class_order: Any = None) -> LabelClasses:
    """Return what the labels stand for.

    Args:
        value: names by value, or values by name where some are regions; the highest value may be "ignore".
        regions_class_order: the value that each region is written as; None where there are no regions.

    Raises:
        ValueError: no such mapping, values other than 0, 1, 2, ..., or a background that isn't 0; an order of regions
            without regions, or the other way round.

    >>> dict(parse_labels({"0": "background", "1": "spleen"}).names)
    {0: 'background', 1: 'spleen'}
    """
    if has_regions_or_ignore(value):
        classes = parse_label_classes(value, regions_class_order)
    else:
        classes = LabelClasses(_parse_names(value))
    if regions_class_order is not None and not classes.regions:
        raise ValueError(f"regions_class_order is for labels that are regions, got {dict(value)}")
    if wrong := [number for number, name in classes.names.items() if number and name.lower() == _BACKGROUND]:
        raise ValueError(f"labels: background must be 0, got {wrong[0]}: {dict(value)}")
    return classes


def _parse_names(value: Any) -> dict[int, str]:
    example = 'as {"0": "background", "1": "spleen"}'
    if not isinstance(value, Mapping) or not all(str(number).isdecimal() for number in value):
        raise ValueError(f"labels must be names by value, {example}, got {value!r}")
    labels = {number: str(name) for number, name in sorted((int(key), name) for key, name in value.items())}
    if list(labels) != list(range(len(labels))) or len(labels) < 2:
        raise ValueError(f"labels must be numbered 0 (background), 1, 2, ... without gaps, {example}, got {value!r}")
    return labels


def parse_normalisation(value: Any, *, num_channels: int) -> tuple[Mapping[str, Any], ...]:
    """Return how each channel is normalised.

    Raises:
        ValueError: another number of entries than of channels, or figures that can't be used.

    >>> parse_normalisation([{"scheme": "ZScoreNormalization"}], num_channels=1)
    ({'scheme': 'ZScoreNormalization'},)
    """
    entries = parse_list(value, name="normalisation")
    if len(entries) != num_channels or not all(isinstance(entry, Mapping) and "scheme" in entry for entry in entries):
        wanted = f'one entry with a "scheme" per channel ({num_channels})'
        raise ValueError(f"normalisation must have {wanted}, got {value!r}")
    for number, entry in enumerate(entries):
        name = f"normalisation#{number}"
        if "std" in entry:
            parse_number(entry["std"], name=f"{name}#std", above=0)
            parse_number(entry["mean"], name=f"{name}#mean")
        if "clip" in entry:
            low, high = parse_list(entry["clip"], name=f"{name}#clip", length=2)
            parse_number(high, name=f"{name}#clip#1", above=parse_number(low, name=f"{name}#clip#0"))
    return entries


def check_classes(task: DecathlonTask, *, folder: str, channels: tuple[str, ...], labels: LabelClasses) -> None:
    """Check that a data set has a bundle's channels and labels.

    Names may differ, as long as no name stands for two values; regions must have the same values in the same order.

    Args:
        task: the data set.
        folder: that it was read from.
        channels: the bundle's.
        labels: the bundle's.

    Raises:
        DataError: another number of channels, other values, regions or ignored ones, or a name that is another value's
            in the data set.
    """
    if len(task.channels) != len(channels):
        raise DataError(f"{folder}: has the channels {task.channels}, the bundle takes {channels}")
    theirs = task.classes
    if theirs.regions or labels.regions:
        _check_regions(theirs, labels, folder)
    elif sorted(theirs.names) != sorted(labels.names) or theirs.ignored != labels.ignored:
        raise DataError(f"{folder}: has the labels {dict(theirs.names)}, the bundle knows {dict(labels.names)}")
    values = {name.lower(): value for value, name in theirs.names.items()}
    for value, name in labels.names.items():
        if values.get(name.lower(), value) != value:
            known = f"{folder} has {name} as {values[name.lower()]}"
            raise DataError(f"labels: {name} is {value} here, but {known}: give the labels as dataset.json has them")


def _check_regions(theirs: LabelClasses, ours: LabelClasses, folder: str) -> None:
    told, known = (
        [*zip(one.values, one.regions_class_order if one.regions else (), strict=False), one.num_values, one.ignored]
        for one in (theirs, ours)
    )
    if told != known:
        shown = (
            f"{dict(one.regions or one.names)}"
            + (f" in the order {list(one.regions_class_order)}" if one.regions else "")
            + ("" if one.ignored is None else f", to ignore {one.ignored}")
            for one in (theirs, ours)
        )
        raise DataError("{}: has the labels {}, the bundle knows {}".format(folder, *shown))
