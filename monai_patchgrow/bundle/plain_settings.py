"""Checks of a bundle's settings that are numbers or switches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_patchgrow.schedules.arguments import parse_int

__all__ = ["check_above_zero", "check_numbers", "check_switches"]


def check_above_zero(name: str, value: Any) -> None:
    """Check a setting that is a number.

    Raises:
        ValueError: no number, or one that isn't above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ValueError(f"{name} must be a number above 0, got {value!r}")


def check_numbers(numbers: Mapping[str, Any], *, minimum: int) -> None:
    """Check settings that are integers of at least `minimum`.

    Raises:
        ValueError: one that isn't, by its name.
    """
    for name, value in numbers.items():
        parse_int(value, name=name, minimum=minimum)


def check_switches(switches: Mapping[str, Any]) -> None:
    """Check settings that are true or false; on a command line either spelling arrives.

    Raises:
        ValueError: one that is something else, by its name.
    """
    for name, switch in switches.items():
        if str(switch).lower() not in ("true", "false"):
            raise ValueError(f"{name} must be True or False, got {switch!r}")
