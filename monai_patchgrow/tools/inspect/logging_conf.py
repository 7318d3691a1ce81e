"""Judges logging.conf: Python's `logging.config` evaluates its classes and arguments."""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterator

from monai_patchgrow.tools.inspect.report import Finding

__all__ = ["is_logging_conf", "judge_logging_conf"]

_SECTIONS = re.compile(rb"(?m)^\[(loggers|handlers|formatters)\]")
_OPTIONS = {
    "handler": {"class", "level", "formatter", "args", "kwargs"},
    "formatter": {"format", "datefmt", "style", "class"},
    "logger": {"level", "handlers", "qualname", "propagate", "channel"},
}
_CLASSES = {"StreamHandler", "NullHandler", "Formatter"}  # others write files, or send


def is_logging_conf(name: str, head: bytes) -> bool:
    """Whether a file may be given to `logging.config`: by its name or its sections."""
    return name.lower().endswith((".conf", ".ini", ".cfg")) or _SECTIONS.search(head) is not None


def judge_logging_conf(file: str, content: bytes) -> list[Finding]:
    """What a logging.conf holds that does more than write to the terminal.

    Args:
        file: path in the bundle.
        content: of the file.
    """
    parser = configparser.ConfigParser()
    try:
        parser.read_string(content.decode("utf-8"))
        return list(_judge(file, parser))
    except (configparser.Error, ValueError) as error:
        return [Finding(file, "", " ".join(str(error).split()), "can't be read as a logging config")]


def _judge(file: str, parser: configparser.ConfigParser) -> Iterator[Finding]:
    for section in parser.sections():
        kind = section.partition("_")[0]
        for option in parser[section]:
            raw = kind == "formatter" and option in ("format", "datefmt")
            value = parser.get(section, option, raw=raw).strip()
            key = f"[{section}] {option}"
            if kind in _OPTIONS and option not in _OPTIONS[kind]:
                yield Finding(file, key, value, "an option that our own bundles don't need")
            elif option == "class" and value.removeprefix("logging.") not in _CLASSES:
                yield Finding(file, key, value, "a class that does more than write to the terminal, or none")
            elif option in ("args", "kwargs") and not _is_plain(value):
                yield Finding(file, key, value, "is evaluated, and is no literal")


def _is_plain(text: str) -> bool:
    """Whether an expression is a literal in which ``sys.stdout`` and ``sys.stderr`` may stand."""
    try:
        ast.literal_eval(re.sub(r"\bsys\.std(out|err)\b", "None", text))
    except (SyntaxError, ValueError, RecursionError, MemoryError, TypeError):
        return False
    return True
