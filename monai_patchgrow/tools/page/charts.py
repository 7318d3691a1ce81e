"""Charts of a page: where their marks lie, as numbers that a template draws."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from monai_patchgrow.tools.page.text import number

__all__ = ["RANGES", "STRIP", "Mark", "Ranges", "Strip", "draw_ranges", "draw_strip"]

STRIP, RANGES = 320, 960
"""Widths of the charts, in their own units, about the pixels that they have on a page."""

_LEFT, _RIGHT = 12, 12
_TICKS = 4
_BESIDE = 6  # units that marks need to lie beside each other
_APART, _STACK = 4, 36  # units from a mark to that above it, where they fit, and of the highest column
_WIDE_SPAN = 20  # times that the largest value is the smallest: beyond it a chart is logarithmic


@dataclass(frozen=True)
class Mark:
    """One case in a chart: its place, how it is called, and whether it is suspicious."""

    x: float
    y: float
    title: str
    is_suspect: bool
    y_low: float = 0.0
    y_high: float = 0.0


@dataclass(frozen=True)
class Strip:
    """A value per case along a line, with ticks (place, text) and the median."""

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    median: float
    median_text: str
    is_log: bool


@dataclass(frozen=True)
class Ranges:
    """A range and a middle per case, from left to right by the middle, with ticks (height, text)."""

    marks: tuple[Mark, ...]
    ticks: tuple[tuple[float, str], ...]
    height: float
    is_log: bool


def draw_strip(names: Sequence[str], values: Sequence[float], unit: str, suspects: Collection[str]) -> Strip:
    """Values along a line, logarithmic where they span much; cases at one place lie over each other.

    Args:
        names: of the cases.
        values: one per case.
        unit: of the values, as ``mm``.
        suspects: names of those that are marked.
    """
    low, high = min(values), max(values)
    is_log = low > 0 and high / low > _WIDE_SPAN
    scale = math.log10 if is_log else float
    start, end = scale(low), scale(high)
    span = end - start or 1.0

    def place(value: float) -> float:
        share = (scale(value) - start) / span if end > start else 0.5
        return round(_LEFT + share * (STRIP - _LEFT - _RIGHT), 1)

    columns: dict[int, list[tuple[float, str]]] = {}
    for value, name in sorted(zip(values, names, strict=True)):
        columns.setdefault(int(place(value) // _BESIDE), []).append((value, name))
    step = min(_APART, _STACK / max(map(len, columns.values())))
    marks = [
        Mark(place(value), round(44 - height * step, 1), f"{name}: {number(value)} {unit}", name in suspects)
        for column in columns.values()
        for height, (value, name) in enumerate(column)
    ]
    ticks = _ticks(low, high, is_log) if high > low else [low]
    middle = float(np.median(values))
    return Strip(
        tuple(marks),
        tuple((place(tick), number(tick)) for tick in ticks),
        place(middle),
        f"{number(middle)} {unit}",
        is_log,
    )


def draw_ranges(
    names: Sequence[str],
    ranges: Sequence[tuple[float, float, float]],
    suspects: Collection[str],
    *,
    height: float = 200,
) -> Ranges:
    """Low, middle and high of each case as an upright line with a dot, logarithmic where cases are far apart.

    Args:
        names: of the cases.
        ranges: low, middle and high, one triple per case.
        suspects: names of those that are marked.
        height: of the chart, in its units.
    """
    low, high = min(one[0] for one in ranges), max(one[2] for one in ranges)
    is_log = low > 0 and high > _WIDE_SPAN * min(one[2] for one in ranges)
    scale = math.log10 if is_log else float
    end, span = scale(high), scale(high) - scale(low) or 1.0
    left = 70

    def place(value: float) -> float:
        return round(8 + (end - scale(value)) / span * (height - 16), 1)

    order = sorted(range(len(names)), key=lambda case: ranges[case][1])
    step = (RANGES - left - _RIGHT) / max(len(order), 1)
    marks = []
    for column, case in enumerate(order):
        bottom, middle, top = ranges[case]
        title = f"{names[case]}: {number(bottom)} to {number(top)}, median {number(middle)}"
        x = round(left + (column + 0.5) * step, 1)
        marks.append(Mark(x, place(middle), title, names[case] in suspects, place(bottom), place(top)))
    ticks = tuple((place(tick), number(tick)) for tick in _ticks(low, high, is_log))
    return Ranges(tuple(marks), ticks, height, is_log)


def _ticks(low: float, high: float, is_log: bool) -> list[float]:
    """Round values within a range, five or so."""
    if is_log:
        powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
        if len(powers) > 1:
            return [10.0**power for power in powers]
        steps = (
            factor * 10.0**power
            for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
            for factor in (1, 2, 5)
        )
        return [step for step in steps if low <= step <= high]
    if not high > low:
        return [low]
    rough = (high - low) / _TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first = math.ceil(low / step - 1e-9)
    return [count * step for count in range(first, math.floor(high / step + 1e-9) + 1)] or [low]
