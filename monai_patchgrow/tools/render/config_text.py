"""Reads the text of a plan: names that neither a config nor a command line takes for anything but text."""

from __future__ import annotations

import re
from typing import Any

from monai_patchgrow.tools.render.plan_values import shown

__all__ = ["CONFIG_KEYS", "parse_folder_name", "parse_name"]

CONFIG_KEYS = ("_target_", "_disabled_", "_requires_", "_desc_", "_mode_")
"""Keys by which MONAI's config parser tells what it is to call, and how."""

_LONGEST = 200  # characters; a folder's name has 255 bytes at most
# Expressions, references and macros start so; relative ones are replaced in the midst of text, too, and where two
# texts are put together by a colon.
_EVALUATED = re.compile(r"^[$@%]|[@%][#:]")
_FOLDER_NAME = re.compile(r"\w[\w.+-]*")


def parse_name(value: Any, *, key: str) -> str:
    """The name of a channel or label, which becomes text in a config.

    MONAI's config parser evaluates text that starts with ``$`` (Python), ``@`` (a reference) or ``%`` (a macro),
    replaces ``@#`` and ``%#`` anywhere, and has no escape. A ``|`` would end a column of the card's tables.

    Args:
        value: of any type.
        key: that an error names.

    Raises:
        ValueError: no text, an empty or a long one, one with control characters, or one that MONAI would evaluate.

    >>> parse_name("left lung", key="labels")
    'left lung'
    >>> parse_name("_target_", key="labels")
    Traceback (most recent call last):
    ValueError: labels: names must not be _target_, _disabled_, _requires_, _desc_, _mode_, got '_target_'
    """
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST:
        raise ValueError(f"{key}: names must be text of 1 to {_LONGEST} characters, got {shown(value)}")
    if _EVALUATED.search(value) or "|" in value or not value.isprintable():
        fault = "must not start with $, @ or %, nor hold @#, @:, %#, %:, | or a line's end"
        raise ValueError(f"{key}: names {fault}, got {shown(value)}")
    if value in CONFIG_KEYS:
        raise ValueError(f"{key}: names must not be {', '.join(CONFIG_KEYS)}, got {shown(value)}")
    return value


def parse_folder_name(value: Any, *, key: str) -> str:
    """The name of a data set's folder, which becomes a path in a config and a word of the card's command lines.

    Args:
        value: of any type.
        key: that an error names.

    Raises:
        ValueError: a path, or a name that a shell would not take for one word.

    >>> parse_folder_name("Dataset101_PetCt", key="dataset_name")
    'Dataset101_PetCt'
    """
    name = parse_name(value, key=key)
    if not _FOLDER_NAME.fullmatch(name):
        legal = "a folder's name of letters, digits, _, -, + and ., as Dataset101_PetCt"
        raise ValueError(f"{key} must be {legal}, got {shown(name)}")
    return name
