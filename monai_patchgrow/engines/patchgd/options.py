"""How images are read and how their patches are encoded: two values that go through every level as they are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, TypedDict, TypeVar

import torch
from torch import Tensor

from monai_patchgrow.engines.patchgd.chunks import parse_chunk_size
from monai_patchgrow.schedules.arguments import parse_int, parse_sizes

__all__ = [
    "EncodingOptions",
    "ImageReading",
    "PatchEncoding",
    "ReadingOptions",
    "keywords_of",
    "refuse_unknown",
    "take_options",
]

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class ImageReading:
    """How images become cells, and the voxels of a cell a patch.

    stride: voxels from one cell to the next, per axis; None: the patch.
    padding: the value of voxels beyond the border of tensors and arrays, in the unit of their own voxels, before
        `normalise`; a tile source has its own.
    allow_smaller: pad images that are smaller than the patch instead of refusing them.
    prefetch: read the next chunk while one is encoded, where images are not in memory, by so many threads; True: by
        one, and for an encoder on a GPU by up to eight, as many as there are CPUs.

    Raises:
        ValueError: a stride that is no positive integer per axis, or a number of threads below 0.
    """

    stride: Sequence[int] | None = None
    padding: float = 0
    allow_smaller: bool = False
    prefetch: bool | int = True

    def __post_init__(self) -> None:
        """Check stride and threads."""
        if not isinstance(self.prefetch, bool):
            parse_int(self.prefetch, name="prefetch", minimum=0)
        if self.stride is not None:
            parse_sizes(self.stride, name="stride")


@dataclass(frozen=True, kw_only=True)
class PatchEncoding:
    """How patches become latent vectors.

    chunk_size: the most patches that are encoded at a time, of all images together; None: as many as a chunk holds.
    normalise: called with patches on the device, in the type that they were read in, before the encoder; None: unsigned
        integers to 0..1, others as they are.
    skip_background: encode one of the patches that hold one and the same constant for all of them.
    ignore_background: leave the cells whose patches hold a constant out of the head's mask, but of an image that has no
        others.
    device: where encoder and head compute; None: where the encoder's first parameter lies.
    autocast: makes the context of each forward pass, for AMP.

    Raises:
        ValueError: a `chunk_size` that is no integer of at least 1.
    """

    chunk_size: int | None = None
    normalise: Callable[[Tensor], Tensor] | None = None
    skip_background: bool = False
    ignore_background: bool = False
    device: torch.device | str | None = None
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext

    def __post_init__(self) -> None:
        """Parse the number."""
        object.__setattr__(self, "chunk_size", parse_chunk_size(self.chunk_size))


class ReadingOptions(TypedDict, total=False):
    """The keywords of :class:`ImageReading`, for functions that take them one by one."""

    stride: Sequence[int] | None
    padding: float
    allow_smaller: bool
    prefetch: bool | int


class EncodingOptions(TypedDict, total=False):
    """The keywords of :class:`PatchEncoding`, for functions that take them one by one."""

    chunk_size: int | None
    normalise: Callable[[Tensor], Tensor] | None
    skip_background: bool
    ignore_background: bool
    device: torch.device | str | None
    autocast: Callable[[], AbstractContextManager[Any]]


def take_options(value: type[Value], options: dict[str, Any], *, leave: Collection[str] = ()) -> Value:
    """Make a value of those options that are fields of it, and take them out of `options`.

    Args:
        value: a dataclass.
        options: by name; what is no field stays.
        leave: fields that somebody else sets.

    >>> options = {"padding": 255, "max_epochs": 3}
    >>> take_options(ImageReading, options), options
    (ImageReading(stride=None, padding=255, allow_smaller=False, prefetch=True), {'max_epochs': 3})
    """
    names = {field.name for field in fields(value)} - {*leave}  # type: ignore[arg-type]
    return value(**{name: options.pop(name) for name in sorted(names & options.keys())})


def refuse_unknown(options: Mapping[str, Any], known: Iterable[str], *, name: str) -> None:
    """Refuse options that a function doesn't have.

    Args:
        options: that were given, by name.
        known: names of those that there are.
        name: of the function.

    Raises:
        TypeError: as Python's own for a wrong keyword, with the nearest name.

    >>> refuse_unknown({"chunksize": 8}, ["chunk_size", "padding"], name="patchgd_pass")
    Traceback (most recent call last):
    TypeError: patchgd_pass has no option chunksize: did you mean chunk_size?
    """
    known = sorted(known)
    for option in options:
        if option not in known:
            nearest = get_close_matches(option, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"it has {', '.join(known)}"
            raise TypeError(f"{name} has no option {option}: {hint}")


def keywords_of(*functions: Callable[..., Any]) -> set[str]:
    """The names of all keywords of some functions; of a class, those of its constructor.

    >>> sorted(keywords_of(ImageReading))
    ['allow_smaller', 'padding', 'prefetch', 'stride']
    """
    variadic = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = [parameter for function in functions for parameter in inspect.signature(function).parameters.values()]
    return {parameter.name for parameter in parameters if parameter.kind not in variadic}
