"""How the bundle's scripts tell what is wrong: one line, and exit code 1 where the process is a command."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

__all__ = ["complain", "ended_by_sigterm", "held_by_thread", "hold_back", "is_command", "reason_of", "stop", "warn"]

_LOGGER = logging.getLogger("patchgrow")


def stop(message: str) -> NoReturn:
    """End a command with one line and exit code 1; any other process gets a ValueError."""
    line = " ".join(message.split())
    raise SystemExit(f"error: {line}") if is_command() else ValueError(line)


def complain(message: str, *, kind: str = "error") -> None:
    """Tell of an error after which the work goes on; a thread that holds messages back tells later."""
    held = held_by_thread()
    if held is not None:
        held.append(partial(complain, message, kind=kind))
        return
    line = " ".join(message.split())
    _LOGGER.log(logging.ERROR if kind == "error" else logging.WARNING, line)
    if is_command():
        print(f"{kind}: {line}", file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Tell of what the user should know, though nothing failed."""
    complain(message, kind="warning")


def hold_back(messages: list[Callable[[], Any]], function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a thread that appends to `messages`, to be called, what it would tell."""
    thread = vars(threading.current_thread())  # the one place that all copies of this script share
    thread["held"] = messages
    try:
        return function(*arguments)
    finally:
        del thread["held"]


def held_by_thread() -> list[Callable[[], Any]] | None:
    """The messages that this thread holds back; None: it tells them at once."""
    return vars(threading.current_thread()).get("held")


def reason_of(error: BaseException) -> str:
    """The first cause of an error in one line; MONAI wraps it in the names of its transforms."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # An error from a loader's worker is a whole traceback, whose last line is the error.
    line = (lines[-1] if "Traceback" in str(error) else lines[0]) if lines else ""
    return f"{type(error).__name__}: {line}"


def is_command() -> bool:
    """Whether this process is `python -m monai.bundle` or `python scripts/predict.py`, not a host such as a server."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).startswith("monai.bundle")
    return Path(getattr(main, "__file__", None) or "").resolve().parent == Path(__file__).resolve().parent


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end a command as Ctrl-C does, not in the midst of a file, with the exit code that a shell knows."""
    if not is_command():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
