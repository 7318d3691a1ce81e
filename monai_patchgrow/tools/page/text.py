"""How a page writes numbers, sizes and axes."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["axis_name", "number", "sizes"]

_AXES = {"R": "right", "L": "left", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
_OTHER = {"R": "L", "L": "R", "A": "P", "P": "A", "S": "I", "I": "S"}


def number(value: float) -> str:
    """A number with three figures, more where it is whole.

    >>> number(0.04321), number(31.25), number(1234567.0), number(-3.0)
    ('0.0432', '31.2', '1,234,567', '-3')
    """
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.2e}"


def sizes(values: Sequence[float]) -> str:
    """A size per axis.

    >>> sizes([40, 56.5, 40])
    '40 x 56.5 x 40'
    """
    return " x ".join(map(number, values))


def axis_name(code: str) -> str:
    """An axis by its ends.

    >>> axis_name("R")
    'left-right'
    """
    return f"{_AXES[_OTHER[code]]}-{_AXES[code]}"
