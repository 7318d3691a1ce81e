"""Reads a bundle's settings one by one: numbers, switches, a device, folders, lists."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from .arguments import parse_int

__all__ = [
    "LARGEST_SEED",
    "as_plain",
    "check_above_zero",
    "check_extension",
    "check_numbers",
    "check_switches",
    "parse_compile",
    "parse_device",
    "parse_file",
    "parse_folder",
    "parse_list",
    "parse_number",
    "parse_resume",
    "parse_switch",
]

LARGEST_SEED = 2**32 - 1
"""The largest seed that NumPy takes."""


def parse_switch(value: Any, *, name: str) -> bool:
    """Return a setting that is true or false; on a command line it may arrive as text.

    Raises:
        ValueError: it is something else.

    >>> parse_switch("true", name="resume")
    True
    >>> parse_switch(2, name="amp")
    Traceback (most recent call last):
    ValueError: amp must be True or False, got 2
    """
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return str(value).lower() == "true"


def parse_number(value: Any, *, name: str, above: float | None = None, minimum: float | None = None) -> float:
    """Return a setting that is a finite number.

    Args:
        value: of the setting.
        name: of the setting.
        above: what the number must exceed.
        minimum: the least number.

    Raises:
        ValueError: text, nan, an infinite number, or one that is too small.

    >>> parse_number(0.01, name="learning_rate", above=0)
    0.01
    >>> parse_number(float("nan"), name="learning_rate", above=0)
    Traceback (most recent call last):
    ValueError: learning_rate must be a finite number above 0, got nan
    """
    legal = "" if above is None else f" above {above:g}"
    legal += "" if minimum is None else f" of at least {minimum:g}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
    if not is_number or (above is not None and value <= above) or (minimum is not None and value < minimum):
        raise ValueError(f"{name} must be a finite number{legal}, got {value!r}")
    return value


def parse_resume(value: Any, *, name: str) -> bool | Literal["auto"]:
    """Return whether a run resumes: true, false, or "auto", where there is something to resume.

    Raises:
        ValueError: anything else.

    >>> parse_resume("auto", name="resume"), parse_resume("True", name="resume")
    ('auto', True)
    """
    if value == "auto":
        return "auto"
    try:
        return parse_switch(value, name=name)
    except ValueError:
        raise ValueError(f"{name} must be true, false or auto, got {value!r}") from None


def parse_compile(value: Any, *, name: str, device: torch.device) -> bool | Literal["reduce-overhead", "cuda-graphs"]:
    """Return how iterations are made faster: not, by ``torch.compile``, by its mode of this name, or by CUDA graphs.

    Raises:
        ValueError: anything else, or what needs a GPU on another device.

    >>> parse_compile("False", name="compile", device=torch.device("cpu"))
    False
    """
    if value in ("reduce-overhead", "cuda-graphs"):
        if device.type != "cuda":
            raise ValueError(f"{name}={value} needs an NVIDIA GPU, but the device is {device}")
        return value
    try:
        return parse_switch(value, name=name)
    except ValueError:
        raise ValueError(f"{name} must be true, false, reduce-overhead or cuda-graphs, got {value!r}") from None


def check_extension(extend_to: int | None, *, resume: bool | str) -> None:
    """Check that a run that is to be longer is one that is resumed.

    Raises:
        ValueError: it isn't.
    """
    if extend_to is not None and not resume:
        raise ValueError(f"extend_to lengthens a run that is resumed, got {extend_to} without resume: give both")


def as_plain(value: Any) -> Any:
    """Return a setting as what JSON and a checkpoint hold: lists, dictionaries by text, numbers and text.

    >>> as_plain({0: (1, 2)})
    {'0': [1, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): as_plain(one) for key, one in value.items()}
    return [as_plain(one) for one in value] if isinstance(value, list | tuple) else value


def parse_device(value: Any, *, name: str = "device") -> torch.device:
    """Return a device that is there.

    Raises:
        ValueError: no device's name, or a device that this machine lacks.

    >>> parse_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(value)
        torch.zeros(1, device=device).item()  # a meta device holds no numbers
        if device.type == "cpu" and device.index is not None:
            raise ValueError("there is one cpu only, without a number")
    except Exception as error:  # of several types: of the name, of the driver, of a torch without CUDA
        reason = str(error).strip().partition("\n")[0].partition(". ")[0]
        raise ValueError(f"{name} must be one that is there, such as cpu, got {str(value)!r}: {reason}") from error
    return device


def parse_folder(value: Any, *, name: str) -> str:
    """Return the path of a folder; whether it is there is another question.

    Raises:
        ValueError: no path, or an empty one, which would mean the working directory or the root of the disk.

    >>> parse_folder("runs/a", name="output_dir")
    'runs/a'
    >>> parse_folder("", name="output_dir")
    Traceback (most recent call last):
    ValueError: output_dir must be the path of a folder, got ''
    """
    if not isinstance(value, str | os.PathLike) or str(value).strip() in ("", "None"):
        raise ValueError(f"{name} must be the path of a folder, got {value!r}")
    return os.fspath(value)


def parse_file(value: Any, *, name: str) -> str:
    """Return the path of a file; whether it is there is another question.

    Raises:
        ValueError: no path, or an empty one.

    >>> parse_file(0, name="split_file")
    Traceback (most recent call last):
    ValueError: split_file must be the path of a file, got 0
    """
    if not isinstance(value, str | os.PathLike) or not str(value).strip():
        raise ValueError(f"{name} must be the path of a file, got {value!r}")
    return os.fspath(value)


def parse_list(value: Any, *, name: str, length: int | None = None) -> tuple[Any, ...]:
    """Return a setting that is a list.

    Args:
        value: of the setting.
        name: of the setting.
        length: how many entries it must have; None: any number.

    Raises:
        ValueError: text or another single value, or a list of another length.

    >>> parse_list([1.0, 1.5], name="spacing", length=3)
    Traceback (most recent call last):
    ValueError: spacing must be a list of 3, got [1.0, 1.5]
    """
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    if not is_list or length not in (None, len(value)):
        raise ValueError(f"{name} must be a list{'' if length is None else f' of {length}'}, got {value!r}")
    return tuple(value)


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
        parse_switch(switch, name=name)
