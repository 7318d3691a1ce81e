"""Cases that are unlike the others of their data set: in size, in intensity, in spacing, in what is labelled."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monai_patchgrow.label_classes import LabelClasses
from monai_patchgrow.tools.page.case_survey import CaseSurvey
from monai_patchgrow.tools.page.text import axis_name, number

__all__ = ["Group", "Suspect", "find_suspects", "outliers"]

_FEWEST = 5  # cases of which something is usual
_DEVIATIONS = 3.5  # robust ones: 1.4826 times the median distance from the median
_MAD = 1.4826
_GRID_FACTOR, _SIZE_FACTOR, _WIDTH_FACTOR = 1.5, 3.0, 3.0  # what is nearer to the median than this is usual
_SHIFT = 0.5  # of the usual range of intensities
_NEARLY_ALL = 0.9  # of the cases
_MOST_SINGLE, _MOST_SHARE = 2, 0.1  # cases that are unusual in one thing; more of them are a group
_NARROWEST = 1e-12


@dataclass(frozen=True)
class Suspect:
    """One thing that is unusual about a case.

    case: its name.
    kind: what it is about: spacing, size, intensity or label.
    what: in words, with the case's figure and the usual ones.
    """

    case: str
    kind: str
    what: str


@dataclass(frozen=True)
class Group:
    """Cases that differ from the others in one thing, and are too many to be suspicious one by one.

    kind, what: as a `Suspect` has them.
    cases: their names.
    """

    kind: str
    what: str
    cases: tuple[str, ...]


@dataclass(frozen=True)
class _Measure:
    """A figure of each case, of which some are unusual.

    kind: what it is about.
    words: before and behind the figure.
    values: by the place of the case.
    unusual: places of the cases.
    """

    kind: str
    words: tuple[str, str]
    values: Mapping[int, float]
    unusual: Sequence[int]

    @property
    def is_group(self) -> bool:
        return len(self.unusual) > max(_MOST_SINGLE, _MOST_SHARE * len(self.values))

    def tell(self, places: Sequence[int]) -> str:
        """What these cases have, and what most of the others do."""
        before, behind = self.words
        others = [
            value for place, value in self.values.items() if place not in (self.unusual if self.is_group else places)
        ]
        own = _range([self.values[place] for place in places], (0, 100))
        return f"{before}{own}{behind}; usual are {_range(others, (10, 90))}{behind}"


def find_suspects(
    cases: Sequence[CaseSurvey], classes: LabelClasses, channels: Sequence[str], *, orientation: str
) -> tuple[list[Suspect], list[Group]]:
    """All that is unusual, by the cases' order; and what too many cases have to call it so.

    Args:
        cases: as they were surveyed.
        classes: what the label values stand for.
        channels: names.
        orientation: codes of the axes of shapes and spacings.
    """
    measures = [*_grids(cases, orientation), *_intensities(cases, channels), *_sizes(cases, classes)]
    suspects, groups = [*_labels(cases, classes)], []
    for one in (measure for measure in measures if measure.unusual):
        if one.is_group:
            names = tuple(cases[place].name for place in one.unusual)
            groups.append(Group(one.kind, one.tell(one.unusual), names))
        else:
            suspects += [Suspect(cases[place].name, one.kind, one.tell([place])) for place in one.unusual]
    order = {case.name: place for place, case in enumerate(cases)}
    return sorted(suspects, key=lambda suspect: order[suspect.case]), groups


def outliers(values: Sequence[float], *, least: float) -> list[int]:
    """Places of values far from the median: more than 3.5 robust deviations, and more than `least`.

    Source: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993), the modified z-score.

    Args:
        values: one per case; fewer than five have no outlier.
        least: distance that is usual however alike the others are.

    >>> outliers([1.0, 1.1, 0.9, 1.0, 1.2, 9.0], least=0.5)
    [5]
    """
    if len(values) < _FEWEST:
        return []
    distances = np.abs(np.asarray(values, float) - np.median(values))
    limit = max(least, _DEVIATIONS * _MAD * float(np.median(distances)))
    return np.flatnonzero(distances > limit).tolist()


def _grids(cases: Sequence[CaseSurvey], orientation: str) -> Iterator[_Measure]:
    for axis, code in enumerate(orientation):
        for kind, told in (("spacing", "spacing"), ("size", "extent")):
            values = [getattr(case, told)[axis] for case in cases]
            unusual = outliers(np.log(values).tolist(), least=math.log(_GRID_FACTOR))
            yield _Measure(kind, (f"{axis_name(code)} {told} ", " mm"), dict(enumerate(values)), unusual)


def _intensities(cases: Sequence[CaseSurvey], channels: Sequence[str]) -> Iterator[_Measure]:
    for channel, name in enumerate(channels):
        surveys = [case.channels[channel] for case in cases]
        widths = [one.high - one.low for one in surveys]
        shift, told = _SHIFT * float(np.median(widths)), set[int]()
        for key, words in (("median", "median"), ("high", "99.5th percentile"), ("low", "0.5th percentile")):
            values = [getattr(one, key) for one in surveys]
            unusual = [place for place in outliers(values, least=shift) if place not in told]
            told.update(unusual)
            yield _Measure("intensity", (f"{name}: {words} ", ""), dict(enumerate(values)), unusual)
        logs = [math.log(max(width, _NARROWEST)) for width in widths]
        unusual = [place for place in outliers(logs, least=math.log(_WIDTH_FACTOR)) if place not in told]
        yield _Measure("intensity", (f"{name}: range ", ""), dict(enumerate(widths)), unusual)


def _sizes(cases: Sequence[CaseSurvey], classes: LabelClasses) -> Iterator[_Measure]:
    for name, values in zip(classes.structures, classes.values, strict=True):
        sizes = {place: size for place, case in enumerate(cases) if (size := case.millilitres(values))}
        found = outliers(np.log([*sizes.values()]).tolist(), least=math.log(_SIZE_FACTOR))
        places = [*sizes]
        yield _Measure("label", (f"{name}: ", " ml"), sizes, [places[place] for place in found])


def _labels(cases: Sequence[CaseSurvey], classes: LabelClasses) -> Iterator[Suspect]:
    labelled = [case for case in cases if any(case.counts[1 : classes.num_labels])]
    for case in cases:
        if not any(case.counts[: classes.num_labels]):
            yield Suspect(case.name, "label", "no voxel is annotated: all are to be ignored")
        elif not any(case.counts[1 : classes.num_labels]):
            yield Suspect(case.name, "label", "empty: background alone")
    for name, values in zip(classes.structures, classes.values, strict=True):
        having = [case for case in labelled if case.millilitres(values)]
        if len(having) >= _NEARLY_ALL * len(labelled):
            what = f"{name}: none, which {len(having)} of the {len(labelled)} cases with labels have"
            yield from (Suspect(case.name, "label", what) for case in labelled if not case.millilitres(values))


def _range(values: Sequence[float], ends: tuple[float, float]) -> str:
    low, high = (number(float(end)) for end in np.percentile(values, ends))
    return low if low == high else f"{low} to {high}"
