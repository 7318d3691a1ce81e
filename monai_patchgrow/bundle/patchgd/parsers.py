"""How each setting of a classification bundle is read by itself, before it is compared with others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from monai_patchgrow.bundle.plain_settings import (
    LARGEST_SEED,
    parse_device,
    parse_file,
    parse_folder,
    parse_list,
    parse_number,
    parse_resume,
    parse_switch,
)
from monai_patchgrow.data.synthetic.ultramnist import parse_digit_counts
from monai_patchgrow.schedules.arguments import parse_int, parse_sizes

__all__ = ["PARSERS", "known"]

Parser = Callable[..., Any]

_ANATOMICAL_AXES = ({"L", "R"}, {"A", "P"}, {"I", "S"})


def _or_none(parse: Parser) -> Parser:
    """A parser that lets None through."""

    def parse_or_none(value: Any, *, name: str) -> Any:
        return None if value is None else parse(value, name=name)

    return parse_or_none


def _as_it_is(value: Any, *, name: str) -> Any:
    """What is compared with other settings, or with what a library knows, later."""
    return value


def _word(value: Any, *, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} must be a name, got {value!r}")
    return value


def _places(value: Any, *, name: str) -> str | tuple[str, ...] | None:
    """A folder or a file, or a list of both."""
    if value is None:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        return tuple(parse_folder(place, name=name) for place in value)
    return parse_folder(value, name=name)


def _names(value: Any, *, name: str) -> tuple[str, ...]:
    names = parse_list(value, name=name)
    if not all(isinstance(one, str) for one in names):
        raise ValueError(f"{name} must be a list of names, got {value!r}")
    return names


def _channels(value: Any, *, name: str) -> tuple[str, ...]:
    if not (names := _names(value, name=name)):
        raise ValueError(f'{name} must be a list of names, as ["grey"], got {value!r}')
    return names


def _options(value: Any, *, name: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError(f"{name} must be options by name, as {{'dropout': 0}}, got {value!r}")
    return dict(value)


def _numbers(value: Any, *, name: str, above: float | None = None, length: int | None = None) -> tuple[float, ...]:
    entries = parse_list(value, name=name, length=length)
    return tuple(parse_number(entry, name=name, above=above) for entry in entries)


def _range(value: Any, *, name: str, within: tuple[float, float] | None = None) -> tuple[float, ...]:
    low, high = ends = _numbers(value, name=name, length=2)
    if low >= high or (within is not None and (low < within[0] or high > within[1])):
        legal = "" if within is None else f" from {within[0]:g} to {within[1]:g}"
        raise ValueError(f"{name} must be two numbers{legal}, the lower one first, got {value!r}")
    return ends


def _digit_pixels(value: Any, *, name: str) -> tuple[int, int]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise ValueError(f"{name} must be the smallest and the largest digit, as [28,56], got {value!r}")
    smallest, largest = (parse_int(pixels, name=name) for pixels in value)
    return smallest, largest


def _orientation(value: Any, *, name: str) -> str:
    is_code = isinstance(value, str) and len(value) == len(_ANATOMICAL_AXES)
    if not is_code or any(len(pair & set(value)) != 1 for pair in _ANATOMICAL_AXES):
        raise ValueError(f"{name} must have a letter each of LR, AP and IS, as RAS, got {value!r}")
    return value


_above_zero = partial(parse_number, above=0)
_count = partial(parse_int, minimum=1)
_count_from_zero = partial(parse_int, minimum=0)
_maybe_count = _or_none(_count)

PARSERS: Mapping[str, Parser] = {
    "dataset_dir": _places,
    "output_dir": parse_folder,
    "ckpt_dir": parse_folder,
    "ckpt_path": parse_file,
    "cache_dir": parse_folder,
    "cache_memory_gib": _or_none(partial(parse_number, minimum=0)),
    "patch_size": parse_sizes,
    "stride": _or_none(parse_sizes),
    "image_size": _or_none(parse_sizes),
    "channels": _channels,
    "target": _word,
    "num_classes": _count,
    "class_names": _as_it_is,
    "class_weights": _or_none(partial(_numbers, above=0)),
    "backbone": _word,
    "backbone_options": _options,
    "latent_dim": _count,
    "head": _word,
    "head_options": _options,
    "pretrained": _or_none(parse_file),
    "padding": parse_number,
    "allow_smaller": parse_switch,
    "skip_background": parse_switch,
    "ignore_background": parse_switch,
    "level": _count_from_zero,
    "background_threshold": _or_none(_above_zero),
    "spacing": _or_none(partial(_numbers, above=0)),
    "orientation": _orientation,
    "percentiles": partial(_range, within=(0, 100)),
    "intensity_range": _or_none(_range),
    "train_images": _count,
    "val_images": _count,
    "digit_pixels": _or_none(_digit_pixels),
    "digit_counts": parse_digit_counts,
    "data_seed": partial(parse_int, minimum=0, maximum=LARGEST_SEED - 1),  # the validation images' is the next one
    "fold": _as_it_is,
    "split_file": _or_none(parse_file),
    "verify_data": parse_switch,
    "verify_tiles": parse_switch,
    "chunk_size": _maybe_count,
    "sampling": _as_it_is,
    "inner_steps": _maybe_count,
    "accumulation": _maybe_count,
    "exact": _or_none(parse_switch),
    "true_gradient": parse_switch,
    "curriculum": _word,
    "batch_size": _count,
    "max_epochs": _count,
    "planned_epochs": _count,
    "val_interval": _count,
    "learning_rate": _above_zero,
    "warm_up_epochs": _count_from_zero,
    "max_gradient_norm": _or_none(_above_zero),
    "mirror_axes": _as_it_is,
    "rotate90": parse_switch,
    "evidence": parse_switch,
    "seed": partial(parse_int, minimum=0, maximum=LARGEST_SEED),
    "channels_last": parse_switch,
    "deterministic": parse_switch,
    "resume": parse_resume,
    "extend_to": _maybe_count,
    "checkpoint_minutes": _or_none(_above_zero),
    "num_workers": _count_from_zero,
    "device": parse_device,
    "amp": _or_none(parse_switch),
}
"""By the name of the setting: takes the value and, as ``name``, what a fault calls it."""


def known(value: Any) -> Any:
    """Return a setting that the running program has.

    Raises:
        ValueError: it has none.
    """
    if value is None:
        raise ValueError("the running config lacks a setting of training or data")
    return value
