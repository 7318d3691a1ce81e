"""Finds the MONAI config that is being evaluated: the one module that looks at the frames of the interpreter.

An expression of a bundle's JSON is evaluated by a :class:`monai.bundle.ConfigParser`, most often for a
:class:`monai.bundle.ConfigWorkflow`. MONAI hands neither to the expression, so what the expression calls looks for
them among the objects whose methods are running. Checked with MONAI 1.6.1, of which it needs
``ConfigWorkflow.config_root_path`` and ``ConfigParser.get_parsed_content``.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from typing import Any

from monai.bundle import ConfigParser, ConfigWorkflow

from monai_patchgrow.bundle.known_keys import check_keys
from monai_patchgrow.bundle.one_line import one_line_config_errors, reason_of

__all__ = ["bundle_root", "callers", "check_config", "read_keys", "running_parser"]

_logger = logging.getLogger(__name__)


def callers() -> list[object]:
    """Return the objects whose methods are running, the innermost first.

    >>> callers() == []
    False
    """
    frame, found = inspect.currentframe(), []
    while frame is not None:
        if (caller := frame.f_locals.get("self")) is not None:
            found.append(caller)
        frame = frame.f_back
    return found


def running_parser() -> ConfigParser:
    """Return the parser that is evaluating the expression from which this is called.

    Raises:
        ValueError: no expression is being evaluated.

    >>> ConfigParser(
    ...     {
    ...         "imports": ["$from monai_patchgrow.bundle.running_config import running_parser"],
    ...         "seed": 3,
    ...         "twice": "$2 * running_parser()['seed']",
    ...     }
    ... ).get_parsed_content("twice")
    6
    """
    parser = next((caller for caller in callers() if isinstance(caller, ConfigParser)), None)
    if parser is None:
        raise ValueError("no config is being evaluated: call this from an expression of a bundle's config")
    return parser


def bundle_root() -> str:
    """Return the folder of the bundle whose config is running: the one above the folder of its first config file.

    Without a workflow, as in a plain :class:`ConfigParser`, it is ``"."``, the working directory: such a program sets
    ``bundle_root`` itself.

    >>> bundle_root()
    '.'
    """
    workflow = next((caller for caller in callers() if isinstance(caller, ConfigWorkflow)), None)
    return "." if workflow is None else str(workflow.config_root_path.resolve().parent)


def check_config() -> None:
    """Check the running config's keys, references and targets; on a fault exit with one line and code 1.

    It evaluates nothing, so a bundle calls it first of all. See :mod:`monai_patchgrow.bundle.known_keys`.

    Raises:
        SystemExit: any fault, with the line as its message; a ValueError in a process that hosts the bundle.
    """
    with one_line_config_errors():
        check_keys(callers())


def read_keys(names: Iterable[str]) -> dict[str, Any]:
    """Evaluate keys of the running config.

    Args:
        names: ids, as ``max_epochs`` or ``train#trainer#max_epochs``; none may depend on what calls this.

    Returns:
        The values by name, as the config has them.

    Raises:
        ValueError: a key that is missing, or whose value can't be evaluated, in one line that names it.
    """
    parser, values = running_parser(), {}
    for name in names:
        if name not in parser:
            raise ValueError(f"{name}: the config has no such key")
        try:
            values[name] = parser.get_parsed_content(name)
        except Exception as error:
            _logger.debug("%s can't be evaluated", name, exc_info=True)
            what = f"{parser[name]!r} can't be evaluated: " if isinstance(parser[name], str) else ""
            raise ValueError(f"{name}: {what}{reason_of(error)}") from error
    return values
