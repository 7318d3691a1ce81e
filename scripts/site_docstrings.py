"""Extension of griffe: makes Markdown of what our docstrings hold for doctest and for reading in an editor.

Examples become code blocks, names in Sphinx' roles become links, and the fields that a class lists become a section.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

_ROLE = re.compile(r":\w+:`~?([\w.]+)`")
_FIELDS = re.compile(r"\w+(?:, \w+)*: ")


class SiteDocstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one module, class, function or attribute."""
        if obj.docstring is None:
            return
        text = _with_linked_names(_with_fenced_examples(obj.docstring.value))
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


def _with_linked_names(text: str) -> str:
    """A name in a role becomes a link where the site documents it, and code elsewhere; so do names in two backticks."""
    text = _ROLE.sub(
        lambda role: f'<autoref identifier="{role[1]}" optional>`{role[1].rpartition(".")[2]}`</autoref>', text
    )
    return re.sub(r"(?<!`)``(?!`)([^`\n]+)``(?!`)", r"`\1`", text)


def _with_listed_fields(text: str, obj: griffe.Object) -> str:
    """A paragraph of `name: what it is` lines, whose first name is an attribute, becomes a section."""
    paragraphs = text.split("\n\n")
    for number, paragraph in enumerate(paragraphs):
        first = _FIELDS.match(paragraph)
        if first and first[0].split(",")[0].rstrip(": ") in obj.members:
            paragraphs[number] = "Attributes:\n" + "\n".join(f"    {line}" for line in paragraph.splitlines())
    return "\n\n".join(paragraphs)
