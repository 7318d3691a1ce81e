"""References of a config, ``@id``, as MONAI 1.6 puts them in place: by text, before Python parses an expression."""

from __future__ import annotations

import re

__all__ = ["REFERENCES", "absolute", "references_in", "substituted"]

REFERENCES = "__local_refs"
"""The name of the dictionary that MONAI reads references from."""

_SEPARATOR = "::"
_REFERENCE = re.compile(rf"@\w*(?:{_SEPARATOR}\w*)*")
_RELATIVE = re.compile(rf"[@%](?:{_SEPARATOR})+")


def absolute(text: str, key: str) -> str:
    """Text with ``::`` for ``#`` and with relative references made absolute.

    Args:
        text: a value of a config.
        key: its place, parts separated by ``#``.

    Raises:
        ValueError: a reference leads out of the config.

    >>> absolute("$@#0 + @##size", "train#steps#1")
    '$@train::steps::0 + @train::size'
    """
    text = text.replace("#", _SEPARATOR)
    place = key.split("#")
    for prefix in sorted(set(_RELATIVE.findall(text)), reverse=True):
        levels = prefix.count(_SEPARATOR)
        if levels > len(place):
            raise ValueError("a relative reference leads out of the config")
        above = "".join(f"{part}{_SEPARATOR}" for part in place[:-levels])
        text = text.replace(prefix, prefix[0] + above)
    return text


def references_in(text: str) -> list[str]:
    """The ids that an absolute text refers to, where all of it is one reference or where it is an expression."""
    if text.startswith("$"):
        return [found[1:] for found in _REFERENCE.findall(text)]
    return [text[1:]] if _REFERENCE.fullmatch(text) else []


def substituted(text: str) -> str:
    """The Python expression that MONAI evaluates for an absolute text that begins with ``$``.

    >>> substituted("$len(@train::sizes)")
    "len(__local_refs['train::sizes'])"
    """
    for found in sorted(_REFERENCE.findall(text), key=len, reverse=True):
        text = text.replace(found, f"{REFERENCES}['{found[1:]}']")
    return text[1:]
