"""Extension of griffe: makes Markdown of what our docstrings hold for doctest and for reading in an editor.

Examples become code blocks, names in Sphinx' roles become links, and the fields that a class lists become a section.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

import griffe

_ROLE = re.compile(r":\w+:`~?([\w.]+)`")
_FIELDS = re.compile(r"\A\w+(?:, \w+)*: ")
_NAMES_ON_TWO_LINES = re.compile(r"^( +\w+(?:, \w+)*),\n +(?=\w+(?:, \w+)*: )", re.MULTILINE)


class SiteDocstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring is None:
            return
        text = _NAMES_ON_TWO_LINES.sub(r"\1, ", obj.docstring.value)
        text = _with_linked_names(_with_fenced_examples(text), obj)
        obj.docstring.value = _with_listed_fields(text, obj) if obj.is_class else text


def _with_fenced_examples(text: str) -> str:
    """Each run of lines from a prompt to the next empty line becomes a code block."""
    lines: list[str] = []
    indent: str | None = None
    for line in [*text.splitlines(), ""]:
        if indent is None and line.lstrip().startswith(">>>"):
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}```pycon")
        elif indent is not None and not line.strip():
            lines.append(f"{indent}```")
            indent = None
        lines.append(line)
    return "\n".join(lines).rstrip()


def _with_linked_names(text: str, obj: griffe.Object) -> str:
    """A name in a role becomes a link where the site documents it, and code elsewhere; so do names in two backticks."""

    def linked(role: re.Match[str]) -> str:
        path = role[1]
        if "." not in path:
            with suppress(griffe.NameResolutionError):
                path = obj.resolve(path)
        return f'<autoref identifier="{path}" optional>`{role[1].rpartition(".")[2]}`</autoref>'

    return re.sub(r"(?<!`)``(?!`)([^`\n]+)``(?!`)", r"`\1`", _ROLE.sub(linked, text))


def _with_listed_fields(text: str, obj: griffe.Object) -> str:
    """A paragraph of `name: what it is` lines, whose first name is an attribute, becomes a section."""
    paragraphs = text.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        first = _FIELDS.match(paragraph)
        if first and first[0].split(",")[0].rstrip(": ") in obj.members:
            # Griffe takes what stands behind a space for a type.
            lines = [
                _FIELDS.sub(lambda names: names[0][:-1].replace(" ", "\N{NO-BREAK SPACE}") + " ", line)
                for line in paragraph.splitlines()
            ]
            paragraphs[number] = "Attributes:\n" + "\n".join(f"    {line}" for line in lines)
    return "\n\n".join(paragraphs)
