"""What the values of a label map stand for: classes, or regions that may overlap, and perhaps voxels to ignore."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["IGNORE", "LabelClasses", "has_regions_or_ignore", "parse_label_classes"]

IGNORE = "ignore"
"""The name by which nnU-Net knows the label of voxels that nobody has annotated."""

_EXAMPLE = '{"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}'


@dataclass(frozen=True)
class LabelClasses:
    """The values of a label map, and what a network predicts of them.

    Each value is a class; or there are regions, each the union of some values, and a network has one output for each of
    them. A label map is written region by region in their order, each as one value.

    Source: nnU-Net v2's documentation, "region-based training" and "ignore label".

    names: of the values 0 (background), 1, 2, ...; the last one is to be ignored where its name is `IGNORE`.
    regions: values of each region by its name; empty: each value is a class.
    regions_class_order: the value that each region is written as.

    >>> brain = LabelClasses({0: "background", 1: "whole", 2: "whole, core"}, {"whole": (1, 2), "core": (2,)}, (1, 2))
    >>> brain.num_outputs, brain.structures
    (2, ('whole', 'core'))
    """

    names: Mapping[int, str] = field(hash=False)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    regions_class_order: tuple[int, ...] = ()

    @property
    def ignored(self) -> int | None:
        """The value of voxels that are to be ignored; None: there is none."""
        last = max(self.names, default=0)
        return last if last and self.names[last] == IGNORE else None

    @property
    def num_values(self) -> int:
        """Values that a label map may have, the ignored one too."""
        return len(self.names)

    @property
    def num_labels(self) -> int:
        """Values that can be predicted, the background too."""
        return len(self.names) - (self.ignored is not None)

    @property
    def num_outputs(self) -> int:
        """Channels of a network's output: one per region, or one per class and the background's."""
        return len(self.regions) or self.num_labels

    @property
    def structures(self) -> tuple[str, ...]:
        """Names of the regions, or of the classes above the background."""
        return tuple(self.regions) or tuple(self.names[value] for value in range(1, self.num_labels))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output's channels."""
        return self.structures if self.regions else (self.names[0], *self.structures)

    @property
    def values(self) -> tuple[tuple[int, ...], ...]:
        """The values of each structure, as `structures` has them."""
        return tuple(self.regions.values()) or tuple((value,) for value in range(1, self.num_labels))

    @property
    def places(self) -> tuple[tuple[int, ...], ...]:
        """Groups of values that patches are centred on: the background, and each structure."""
        return ((0,), *self.values)

    @property
    def annotated(self) -> tuple[int, ...] | None:
        """The values of voxels that are not to be ignored; None: all are."""
        return None if self.ignored is None else tuple(range(self.num_labels))

    def as_config(self) -> dict[Any, Any]:
        """The labels as a bundle's config has them: names by value, or values by name where some are regions."""
        if not self.regions:
            return dict(self.names)
        values = {name: own[0] if len(own) == 1 else list(own) for name, own in self.regions.items()}
        ignored = {} if self.ignored is None else {IGNORE: self.ignored}
        return {self.names[0]: 0, **values, **ignored}

    @property
    def is_written_back(self) -> bool:
        """Whether writing the true regions in their order gives a label map with the same regions."""
        return all(self._regions_of(value) == self._regions_of(self._written(value)) for value in self.names)

    def _regions_of(self, value: int) -> list[str]:
        return [name for name, values in self.regions.items() if value in values]

    def _written(self, value: int) -> int:
        written = 0
        for values, one in zip(self.regions.values(), self.regions_class_order, strict=True):
            written = one if value in values else written
        return written


def has_regions_or_ignore(labels: Any) -> bool:
    """Whether the labels of a dataset.json have a region, or one that is to be ignored.

    >>> has_regions_or_ignore({"background": 0, "spleen": 1}), has_regions_or_ignore({"0": "background", "1": "ignore"})
    (False, True)
    """
    if not isinstance(labels, Mapping):
        return False
    return IGNORE in labels or any(value == IGNORE or isinstance(value, list | tuple) for value in labels.values())


def parse_label_classes(labels: Any, regions_class_order: Any = None) -> LabelClasses:
    """What labels with regions, or with one to ignore, stand for.

    Args:
        labels: values by name, lists of them for regions; where there are no regions also names by value.
        regions_class_order: the value that each region is written as, in the regions' order; needed for regions.

    Raises:
        ValueError: anything else; values with gaps, no background at 0, or an ignored one that isn't the highest.

    >>> labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    >>> classes = parse_label_classes(labels, [1, 2])
    >>> classes.ignored, classes.values, classes.names[2]
    (3, ((1, 2), (2,)), 'whole, core')
    """
    values = dict(_values_by_name(labels))
    ignored = values.pop(IGNORE, None)
    background = [name for name, own in values.items() if 0 in own]
    if len(background) != 1 or values[background[0]] != (0,):
        raise ValueError(f"labels must have one name for 0, the background, and no region with 0, got {dict(labels)}")
    known = sorted({value for own in values.values() for value in own})
    if ignored is not None and ignored != (known[-1] + 1,):
        raise ValueError(f'labels: "ignore" must be the highest value, {known[-1] + 1} here, got {labels}')
    if known != list(range(len(known))) or len(known) < 2:
        raise ValueError(f"labels must have the values 0 (background), 1, 2, ... without gaps, got {known}")
    regions = {name: own for name, own in values.items() if own != (0,)}
    names = {value: ", ".join(name for name, own in values.items() if value in own) for value in known}
    if ignored is not None:
        names[ignored[0]] = IGNORE
    if all(len(own) == 1 for own in regions.values()):
        if len(regions) != len(known) - 1:
            raise ValueError(f"labels: each value must have one name, got {dict(labels)}")
        return LabelClasses(names)
    return LabelClasses(names, regions, _parse_order(regions_class_order, regions, known))


def _values_by_name(labels: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    if not isinstance(labels, Mapping) or not labels:
        raise ValueError(f"labels must be values by name, as {_EXAMPLE}, got {labels!r}")
    if all(isinstance(name, str) for name in labels.values()):
        labels = {name: int(value) if str(value).isdecimal() else value for value, name in labels.items()}
    for name, value in labels.items():
        values = tuple(value) if isinstance(value, list | tuple) else (value,)
        if not isinstance(name, str) or not name.strip() or not values or not all(map(_is_value, values)):
            raise ValueError(f"labels must be values by name, or lists of them, as {_EXAMPLE}, got {name!r}: {value!r}")
        if len(set(values)) < len(values) or (name == IGNORE and len(values) > 1):
            raise ValueError(
                f"labels: {name!r} must have {'one value' if name == IGNORE else 'each value once'}: {value}"
            )
        yield name, tuple(sorted(values))


def _is_value(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse_order(order: Any, regions: Mapping[str, Any], known: Sequence[int]) -> tuple[int, ...]:
    told = f"one value per region ({', '.join(regions)}), as which it is written, the largest region first"
    if not isinstance(order, list | tuple) or len(order) != len(regions):
        raise ValueError(f"regions_class_order must have {told}, got {order!r}")
    if not all(_is_value(value) and value in known[1:] for value in order):
        raise ValueError(f"regions_class_order must have values out of {list(known[1:])}, got {list(order)}")
    return tuple(order)
